//! The process of the store: it does what the start could not, and looks whether the database answers again.

use super::{MongoStore, breaker::AGAIN, failure::why, options::OpenError};
use mongodb::bson::doc;
use std::sync::{Arc, atomic::Ordering};
use supervision::{ChildSpec, Cx, Exit, InitError, Next, Server};

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    store: Arc<MongoStore>,
    /// What was wrong when it looked: said once.
    said: Option<String>,
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
        Ok(Self { store, said: None })
    }

    async fn handle(&mut self, Look: Look, _: &mut Cx<Look>) -> Next {
        if !self.store.ready.load(Ordering::Acquire) {
            let prepared = self.store.prepare().await;
            self.say(prepared);
        } else if self.store.breaker.is_open() {
            self.store.ping().await;
        }
        Next::Continue
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<Look>) {
        self.store.kept.store(false, Ordering::Release);
    }
}

impl Keeper {
    fn say(&mut self, prepared: Result<(), OpenError>) {
        let Err(error) = prepared else {
            tracing::info!("the database is there");
            return;
        };
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
