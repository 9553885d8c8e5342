//! What only this backend promises.

mod basics;
mod damage;
mod health;
mod kill;
mod plans;
mod sessions;
mod upgrade;

use super::{Options, SqliteStore};
use crate::{Account, AccountStore, Stores, conformance};
use std::{path::Path, sync::Arc};
use supervision::{SupervisorRef, SupervisorSpec, System};
use xmpp::jid::BareJid;

/// A store at work.
struct Running {
    store: Arc<SqliteStore>,
    stores: Stores,
    system: System,
    root: SupervisorRef,
}

impl Running {
    async fn start(dir: &Path, options: Options) -> Self {
        let store = SqliteStore::open(dir, options).unwrap();
        let system = System::new("test");
        let tree = SupervisorSpec::one_for_one().child(SqliteStore::child(&store));
        let root = system.start(tree).await.unwrap();
        Self { stores: Stores::of(Arc::clone(&store)), store, system, root }
    }

    async fn account(&self, text: &str) -> BareJid {
        let user: BareJid = text.parse().unwrap();
        self.store.create(vec![(user.clone(), Account::default())]).await.unwrap();
        user
    }

    async fn stop(self) -> Arc<SqliteStore> {
        self.root.stop().await;
        assert_eq!(self.system.alive(), 0);
        self.store
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default()).await;
    conformance::suite(&running.stores).await;
    running.stop().await;
}

#[tokio::test]
async fn it_passes_the_suite_without_caches() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { cached_users: 0, cached_contacts: 0, ..Options::default() };
    let running = Running::start(dir.path(), options).await;
    conformance::suite(&running.stores).await;
    running.stop().await;
}
