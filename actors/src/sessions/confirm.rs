//! The process that publishes this node's sessions in the registry again: a shard of the table at a time, at once when the registry
//! was found empty or did not take something, else slowly, all of them in five minutes.

use super::registry::{contested, entry, is_heard_of};
use crate::{env::Env, remote::Cluster, resource::Resource};
use cluster::{Entry, RegistryError, members};
use futures_util::future::join_all;
use std::{convert::Infallible, sync::Arc, time::Duration};
use supervision::{ChildSpec, Cx, Exit, InitError, Process};
use tokio::time::{sleep, timeout};
use xmpp::jid::BareJid;

/// How long it takes for all sessions when nothing is amiss.
const ROUND: Duration = Duration::from_secs(300);
/// How soon it is asked again whose a session is.
const AGAIN: Duration = Duration::from_secs(1);
/// Sessions that are published at once.
const PAGE: usize = 500;

/// The process.
pub struct Confirmer {
    env: Arc<Env>,
}

/// Where it has its place in the tree of a node that is not alone: after the session managers.
pub fn confirmer(env: &Arc<Env>) -> ChildSpec {
    let env = Arc::clone(env);
    ChildSpec::process::<Confirmer>("registry", move || Arc::clone(&env))
}

impl Process for Confirmer {
    type Args = Arc<Env>;
    type Msg = Infallible;
    const NAME: &'static str = "confirmer";
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

impl Confirmer {
    async fn work(&self) {
        let Some(cluster) = &self.env.cluster else { return std::future::pending().await };
        let mut shard = 0;
        loop {
            if let Some(epoch) = cluster.confirms.wanted() {
                match self.all().await {
                    Ok(()) => {
                        cluster.confirms.done(epoch);
                        // others wait for it
                        if let Some(members) = self.env.process::<members::Msg>(members::NAME) {
                            drop(members.cast(members::Msg::Now));
                        }
                        shard = 0;
                    }
                    Err(again) => {
                        cluster.confirms.missed();
                        sleep(again).await;
                    }
                }
                continue;
            }
            let open = cluster.confirms.has_open();
            let pause = match open {
                true => AGAIN,
                false => ROUND / u32::try_from(self.env.table.shards()).unwrap_or(1),
            };
            if timeout(pause, cluster.confirms.bell.notified()).await.is_ok() {
                continue;
            }
            match open {
                true => drop(ask_again(&self.env, cluster).await),
                false => shard = self.next(cluster, shard).await,
            }
        }
    }

    /// Every session. How long to wait before it is tried again, if the registry is away.
    async fn all(&self) -> Result<(), Duration> {
        republish(&self.env).await?;
        if let Some(cluster) = &self.env.cluster {
            cluster.confirms.unheard().iter().for_each(|session| is_heard_of(&self.env, session));
        }
        Ok(())
    }

    /// One shard, and which is the next.
    async fn next(&self, cluster: &Cluster, shard: usize) -> usize {
        match publish(&self.env, shard).await {
            Ok(Some(_)) => shard + 1,
            Ok(None) => 0,
            Err(_) => {
                cluster.confirms.missed();
                shard
            }
        }
    }
}

/// Publishes every session of this node. Those whose places others have, which are about to end.
///
/// # Errors
/// How long to wait before it is tried again.
pub(crate) async fn republish(env: &Arc<Env>) -> Result<Vec<Arc<Resource>>, Duration> {
    let (mut shard, mut all) = (0, Vec::new());
    while let Some(elsewhere) = publish(env, shard).await? {
        all.extend(elsewhere);
        shard += 1;
    }
    Ok(all)
}

/// What came for those who stayed with a node while others took it to be dead is in offline storage: they are to have it.
pub(crate) fn look_again(env: &Env) {
    env.table.all().for_each(|session| is_heard_of(env, &session));
}

/// One shard of the table; `None`: there is no such.
pub(super) async fn publish(
    env: &Arc<Env>,
    shard: usize,
) -> Result<Option<Vec<Arc<Resource>>>, Duration> {
    let Some(all) = env.table.page(shard) else { return Ok(None) };
    let mut elsewhere = Vec::new();
    for page in all.chunks(PAGE) {
        elsewhere.extend(confirm(env, page).await?);
    }
    Ok(Some(elsewhere))
}

async fn confirm(
    env: &Arc<Env>,
    sessions: &[Arc<Resource>],
) -> Result<Vec<Arc<Resource>>, Duration> {
    let mine = sessions.iter().filter_map(|resource| entry(env, resource)).collect();
    match env.registry.confirm(mine).await {
        Ok(others) => {
            let all = others.iter().map(|other| has_ended(env, other));
            Ok(join_all(all).await.into_iter().flatten().collect())
        }
        Err(RegistryError::Unavailable { retry_after }) => Err(retry_after),
        Err(error) => {
            tracing::warn!(%error, "sessions were not published");
            Err(AGAIN)
        }
    }
}

/// Those of which it was not known whose they are. Which have ended.
pub(crate) async fn ask_again(env: &Arc<Env>, cluster: &Cluster) -> Vec<Arc<Resource>> {
    let open = cluster.confirms.take_open();
    let mut ended = Vec::new();
    for page in open.chunks(PAGE) {
        match confirm(env, page).await {
            Ok(elsewhere) => {
                page.iter().for_each(|session| is_heard_of(env, session));
                ended.extend(elsewhere);
            }
            Err(_) => page.iter().for_each(|session| cluster.confirms.is_open(session)),
        }
    }
    ended
}

/// The session here that another node has by now, and which is to end.
async fn has_ended(env: &Env, other: &Entry) -> Option<Arc<Resource>> {
    let user: BareJid = other.user.parse().ok()?;
    let ours = env.table.find(&user, &other.record.resource)?;
    // one that was replaced on this node meanwhile is none
    let is_another = other.record.token.node != env.node;
    (is_another && contested(env, &ours, &other.record).await).then_some(ours)
}
