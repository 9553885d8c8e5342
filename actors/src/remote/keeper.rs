//! The process that has messages in [custody](super::custody) go on when it is known where they belong.

use super::outbound::{Located, locate};
use crate::{
    env::Env,
    routing::{Trip, message_to, offline},
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use supervision::{ChildSpec, Cx, Exit, InitError, Process, Shutdown};
use tokio::time::sleep;
use xmpp::payload::delay::delayed;

/// How long it may take to store what waits when the node stops.
const LAST: Duration = Duration::from_secs(30);

/// How often it is looked again.
const AGAIN: Duration = Duration::from_millis(500);

/// The process.
pub struct Keeper {
    env: Arc<Env>,
}

impl Keeper {
    /// Where it has its place in the tree.
    pub fn child(env: &Arc<Env>) -> ChildSpec {
        let env = Arc::clone(env);
        let spec = ChildSpec::process::<Self>("custody", move || Arc::clone(&env));
        spec.shutdown(Shutdown::Timeout(LAST))
    }

    async fn work(&self) {
        let Some(cluster) = &self.env.cluster else { return std::future::pending().await };
        loop {
            let users = cluster.custody.users();
            if users.is_empty() {
                cluster.custody.bell.notified().await;
                continue;
            }
            let mut stuck = false;
            for user in users {
                while let Some((stanza, _)) = cluster.custody.first(&user) {
                    let Located::Known(records) = locate(&self.env, cluster, &user).await else {
                        stuck = true;
                        break;
                    };
                    let found = (Trip::NOW, Some(records));
                    if let Some(later) = message_to(&self.env, user.clone(), stanza, found) {
                        later.await;
                    }
                    cluster.custody.done(&user);
                }
            }
            if stuck {
                sleep(AGAIN).await;
            }
        }
    }
}

impl Keeper {
    /// The node stops: what waits is for whoever comes next.
    async fn give_up(&self) {
        let Some(cluster) = &self.env.cluster else { return };
        for user in cluster.custody.users() {
            while let Some((stanza, at)) = cluster.custody.first(&user) {
                let stanza = delayed(&stanza, user.domain(), at, "Not delivered before");
                offline(Arc::clone(&self.env), user.clone(), stanza).await;
                cluster.custody.done(&user);
            }
        }
    }
}

impl Process for Keeper {
    type Args = Arc<Env>;
    type Msg = Infallible;
    const NAME: &'static str = "custody";
    const INBOX: usize = 0;

    async fn init(env: Arc<Env>, _: &mut Cx<Infallible>) -> Result<Self, InitError> {
        Ok(Self { env })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        tokio::select! {
            biased;
            why = cx.stopped() => {
                self.give_up().await;
                why
            }
            () = self.work() => Exit::Normal,
        }
    }
}
