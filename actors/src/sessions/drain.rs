//! A node gives up its sessions, so many a second: those that can be resumed go over to other nodes, where they wait for their clients, whose
//! connections are closed without a word; of others the clients are told another node (RFC 6120 section 4.9.3.19).

use crate::{
    env::Env,
    remote::{Cluster, outbound},
    resource::{Durability, Ended, Owner, Resource},
};
use futures_util::future::join_all;
use std::{convert::Infallible, sync::Arc, time::Duration};
use supervision::{ChildSpec, Cx, Exit, InitError, Node, Process};
use tokio::time::sleep;

/// Sessions that go together,
const BATCH: usize = 100;
/// and how soon the next ones do.
const PAUSE: Duration = Duration::from_secs(1);

/// The process: where it has its place in the tree.
pub(crate) fn drainer(env: &Arc<Env>) -> ChildSpec {
    let env = Arc::clone(env);
    ChildSpec::process::<Drainer>("drain", move || Arc::clone(&env))
}

struct Drainer {
    env: Arc<Env>,
}

impl Process for Drainer {
    type Args = Arc<Env>;
    type Msg = Infallible;
    const NAME: &'static str = "drain";
    const INBOX: usize = 0;

    async fn init(env: Arc<Env>, _: &mut Cx<Infallible>) -> Result<Self, InitError> {
        Ok(Self { env })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        tokio::select! {
            biased;
            why = cx.stopped() => why,
            () = self.work() => Exit::Normal,
        }
    }
}

impl Drainer {
    async fn work(&self) {
        let Some(cluster) = &self.env.cluster else { return std::future::pending().await };
        loop {
            if !cluster.view.is_draining() {
                cluster.drains.notified().await;
                continue;
            }
            self.round(cluster).await;
            sleep(PAUSE).await;
        }
    }

    async fn round(&self, cluster: &Arc<Cluster>) {
        let open = outbound::ask_around(cluster).await;
        if open.is_empty() {
            tracing::warn!("no other node takes the sessions of this one");
            return;
        }
        let sessions = self.env.table.all().filter(|r| r.owner() != Owner::Ended && !r.is_moving());
        let all = sessions.take(BATCH).zip(open.iter().cycle());
        join_all(all.map(|(resource, to)| self.gives_up(cluster, resource, *to))).await;
    }

    async fn gives_up(&self, cluster: &Cluster, resource: Arc<Resource>, to: Node) {
        let token = resource.with_sm(|sm| sm.as_ref().and_then(|sm| sm.token.clone()));
        let env = &self.env;
        let stores =
            env.queue_limits().durability != Durability::Memory && env.hooks().keeper.is_some();
        match token.filter(|_| stores) {
            // one that it does not take is offered again
            Some(token) => outbound::offer(cluster, to, resource.user(), &token).await,
            None => drop(env.managers.end(&resource, Ended::Drained)),
        }
    }
}
