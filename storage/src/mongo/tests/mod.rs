//! What only this backend promises.

mod asked;
mod damage;
mod faults;
mod known;
mod large;
mod nodes;
mod once;
mod plans;
mod routers;
mod start;

use super::{MongoStore, Options};
use crate::{Account, AccountStore, Stores, conformance};
use std::{sync::Arc, time::Duration};
use supervision::{SupervisorRef, SupervisorSpec, System};
use xmpp::{jid::BareJid, stanza::Stanza};

/// A store at work.
struct Running {
    store: Arc<MongoStore>,
    stores: Stores,
    root: SupervisorRef,
}

impl Running {
    /// With a deadline for machines that have other things to do.
    async fn start(options: Options) -> Self {
        let options = Options { deadline: Duration::from_secs(30), ..options };
        let running = Self::start_hasty(options).await;
        running.store.is_back().await;
        running
    }

    async fn start_hasty(options: Options) -> Self {
        let store = MongoStore::open(options).await.unwrap();
        let tree = SupervisorSpec::one_for_one().child(MongoStore::child(&store));
        let root = System::new("test").start(tree).await.unwrap();
        Self { stores: Stores::of(Arc::clone(&store)), store, root }
    }

    async fn account(&self, text: &str) -> BareJid {
        let user: BareJid = text.parse().unwrap();
        self.store.create(vec![(user.clone(), Account::default())]).await.unwrap();
        user
    }
}

fn message(body: &str) -> Stanza {
    let xml = format!("<message from='a@x/r' to='b@x'><body>{body}</body></message>");
    Stanza::parse(xml.as_bytes()).unwrap()
}
