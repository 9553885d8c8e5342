//! What changes where accounts belong to another application: sessions of users who are disabled or removed there, or have
//! another password, end here, connected or not.

use super::{end_all, remove};
use crate::{env::Env, resource::Ended};
use auth::{Change, Changes, Entry, Seen, Source};
use std::{collections::BTreeSet, convert::Infallible, future::pending, sync::Arc, time::Duration};
use storage::StoreError;
use supervision::{ChildSpec, Cx, Exit, InitError, Process, SupervisorSpec};
use tokio::time::{Instant, sleep, sleep_until};
use xmpp::jid::BareJid;

/// When a source that failed is watched anew.
const AGAIN: Duration = Duration::from_millis(500);
/// When all users are looked at again at the earliest, where it was not told which of them changed: many changes are one look.
const SOON: Duration = Duration::from_millis(200);
/// When all users are looked at again, once one of them gave trouble.
const TROUBLE: Duration = Duration::from_secs(5);
/// Users that are asked for at once.
const CHUNK: usize = 200;

/// Watches the source of one host.
pub(crate) struct Watch {
    env: Arc<Env>,
    host: String,
    source: Arc<dyn Source>,
}

impl Process for Watch {
    type Args = (Arc<Env>, String, Arc<dyn Source>);
    type Msg = Infallible;
    const NAME: &'static str = "accounts";

    async fn init(
        (env, host, source): Self::Args,
        cx: &mut Cx<Infallible>,
    ) -> Result<Self, InitError> {
        cx.publish(&format!("accounts of {host}"));
        cx.trap_exit(true);
        Ok(Self { env, host, source })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        tokio::select! {
            biased;
            reason = cx.stopped() => reason,
            () = self.watch() => Exit::Normal,
        }
    }
}

impl Watch {
    /// Who verifies passwords of hosts whose accounts are elsewhere, and for each of these what its source needs, and a watcher.
    pub(crate) fn children(env: &Arc<Env>) -> Vec<ChildSpec> {
        let of = |(host, source): (&str, &Arc<dyn Source>)| {
            let args = (Arc::clone(env), host.to_owned(), Arc::clone(source));
            let watch = ChildSpec::process::<Self>("watch", move || args.clone());
            let group = SupervisorSpec::one_for_one().intensity(5, Duration::from_secs(10));
            let all = source.children().into_iter().chain([watch]);
            ChildSpec::supervisor(host, all.fold(group, SupervisorSpec::child))
        };
        let hashes = env.accounts.children().into_iter();
        hashes.chain(env.accounts.sources().map(of)).collect()
    }

    async fn watch(&self) {
        let mut failing = false;
        loop {
            let error = match self.source.watch().await {
                Ok(Some(changes)) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!(host = self.host, "accounts are watched again");
                    }
                    self.follow(changes).await
                }
                // who logs on is looked up, and that is all
                Ok(None) => return pending().await,
                Err(error) => error,
            };
            if !std::mem::replace(&mut failing, true) {
                tracing::warn!(host = self.host, %error, "accounts cannot be watched");
            }
            sleep(AGAIN).await;
        }
    }

    /// Until the source fails.
    async fn follow(&self, mut changes: Box<dyn Changes>) -> StoreError {
        // while nobody watched
        let mut look = Some(Instant::now());
        let mut next_look = Instant::now();
        loop {
            // asked to its end: what it has heard by then would be lost
            let mut next = changes.next();
            let change = loop {
                let due = async {
                    match look {
                        Some(at) => sleep_until(at).await,
                        None => pending().await,
                    }
                };
                let looked = tokio::select! {
                    biased;
                    () = due => {
                        look = None;
                        let looked = self.look_at_all().await;
                        next_look = Instant::now() + SOON;
                        looked
                    }
                    change = &mut next => break change,
                };
                match looked {
                    Ok(true) => {}
                    Ok(false) => look = sooner(look, Instant::now() + TROUBLE),
                    Err(error) => return error,
                }
            };
            let done = match change {
                Ok(Change::User(user, entry)) => self.look_at(&user, entry.as_ref()).await,
                Ok(Change::Any) => {
                    look = sooner(look, next_look);
                    Ok(true)
                }
                Err(error) => Err(error),
            };
            match done {
                Ok(true) => {}
                Ok(false) => look = sooner(look, Instant::now() + TROUBLE),
                Err(error) => return error,
            }
        }
    }

    /// As [`look_at`], but that what is wrong with one user is nobody else's trouble: `false` then.
    async fn look_at(&self, user: &BareJid, entry: Option<&Entry>) -> Result<bool, StoreError> {
        match look_at(&self.env, user, entry).await {
            Ok(()) => Ok(true),
            Err(error) if error.is_away() => Err(error),
            Err(error) => {
                tracing::warn!(%user, %error, "an account that was changed elsewhere stays as it was");
                Ok(false)
            }
        }
    }

    /// All users of the host that have a session here; whether none gave trouble.
    async fn look_at_all(&self) -> Result<bool, StoreError> {
        let mut good = true;
        let mut shard = 0;
        while let Some(page) = self.env.table.page(shard) {
            shard += 1;
            let users = page.iter().map(|resource| resource.user());
            let users: BTreeSet<&BareJid> = users.filter(|u| u.domain() == self.host).collect();
            let users: Vec<BareJid> = users.into_iter().cloned().collect();
            for users in users.chunks(CHUNK) {
                let entries = self.source.find_all(users).await?;
                for user in users {
                    let entry = entries.iter().find(|(of, _)| of == user).map(|(_, entry)| entry);
                    good &= self.look_at(user, entry).await?;
                }
            }
        }
        Ok(good)
    }
}

/// When to look: then, or before.
fn sooner(look: Option<Instant>, at: Instant) -> Option<Instant> {
    Some(look.map_or(at, |look| look.min(at)))
}

/// Takes over what a user is now, and ends what follows from it.
pub(super) async fn look_at(
    env: &Arc<Env>,
    user: &BareJid,
    entry: Option<&Entry>,
) -> Result<(), StoreError> {
    match env.accounts.seen(user, entry).await? {
        Seen::Same => {}
        Seen::Revoked => {
            tracing::info!(%user, "the account was changed elsewhere: its sessions end");
            end_all(env, user, None, Ended::Revoked).await;
        }
        Seen::Another => {
            let removed = remove(env, user, None).await;
            removed.map_err(|error| StoreError::Failed(error.to_string()))?;
        }
    }
    Ok(())
}
