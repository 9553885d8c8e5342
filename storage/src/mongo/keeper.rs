//! The process of the store: it does what the start could not, and looks whether the database answers again.

use super::{
    MongoStore,
    breaker::AGAIN,
    failure::{Failure, why},
    options::OpenError,
};
use crate::StoreError;
use mongodb::bson::{DateTime, Document, doc};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use supervision::{ChildSpec, Cx, Exit, InitError, Next, Server};

/// How often it notes that the node's name is taken.
const CLAIM: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Arc<MongoStore>,
    /// What was wrong when it looked: said once.
    said: Option<String>,
    /// This process among those of the node's name.
    process: String,
    /// When it noted that it has that name.
    claimed: Option<Instant>,
}

/// It is time to look.
pub(super) struct Look;

impl Server for Keeper {
    type Args = Arc<MongoStore>;
    type Msg = Look;
    const NAME: &'static str = "mongo";

    async fn init(store: Self::Args, cx: &mut Cx<Look>) -> Result<Self, InitError> {
        store.kept.store(true, Ordering::Release);
        store.breaker.wake();
        cx.publish(&format!("database {}", store.db.name()));
        cx.send_every(AGAIN, || Look);
        let process = format!("{} {:?}", std::process::id(), store.numbers.take(1));
        Ok(Self { store, said: None, process, claimed: None })
    }

    async fn handle(&mut self, Look: Look, _: &mut Cx<Look>) -> Next {
        if !self.store.ready.load(Ordering::Acquire) {
            if let Err(error) = self.store.prepare().await {
                self.say(&error);
            }
        } else if self.store.breaker.is_open() {
            self.store.ping().await;
        } else if self.claimed.is_none_or(|then| then.elapsed() >= CLAIM) {
            self.claim().await;
        }
        Next::Continue
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<Look>) {
        self.store.kept.store(false, Ordering::Release);
    }
}

impl Keeper {
    /// Another process of the name that was there since the last time is still there: what each tries again may be done twice.
    async fn claim(&mut self) {
        let Ok(other) = self.store.claim(&self.process).await else { return };
        if self.claimed.replace(Instant::now()).is_some() && other.is_some() {
            let why = format!(
                "another node has the name {:?} in this database: give each its own (server.node)",
                self.store.options.node
            );
            if self.said.as_ref() != Some(&why) {
                tracing::error!(why, "what is tried again may be done twice");
            }
            self.said = Some(why.clone());
            self.store.breaker.note(why);
        }
    }

    fn say(&mut self, error: &OpenError) {
        let why = error.to_string();
        let known = matches!(error, OpenError::Away { .. }) || self.said.as_ref() == Some(&why);
        if !known {
            tracing::error!(why, "the database cannot be used");
            self.said = Some(why.clone());
        }
        self.store.breaker.note(why);
    }
}

impl MongoStore {
    /// The process that looks whether the database is there. While it does not run, every call is answered with
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    pub fn child(store: &Arc<Self>) -> ChildSpec {
        let store = Arc::clone(store);
        ChildSpec::server::<Keeper>("mongo", move || Arc::clone(&store))
    }

    /// Notes that this process has the node's name now, past the breaker; which other one had noted that since the last time.
    pub(super) async fn claim(&self, process: &str) -> Result<Option<String>, StoreError> {
        let this = doc! { "_id": format!("node {}", self.node) };
        let us = doc! { "$set": { "process": process, "at": DateTime::now() } };
        let meta = self.of::<Document>("meta");
        let claim = meta.find_one_and_update(this, us).upsert(true);
        let claimed = tokio::time::timeout(self.options.deadline, claim).await;
        let before = claimed.map_err(|_| StoreError::Timeout)?;
        let before = before.map_err(|error| Failure::from(error).tell(true))?;
        let before = before.and_then(|node| node.get_str("process").map(str::to_owned).ok());
        Ok(before.filter(|before| before != process))
    }

    /// Asks the database for nothing, past the breaker, which is told.
    async fn ping(&self) {
        let ping = self.db.run_command(doc! { "ping": 1 });
        match tokio::time::timeout(self.options.deadline, ping).await {
            Ok(Ok(_)) => self.breaker.worked(),
            Ok(Err(error)) => self.breaker.note(why(&error)),
            Err(_) => self.breaker.note("no answer to a ping".to_owned()),
        }
    }
}
