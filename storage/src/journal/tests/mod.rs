//! A database that may be away, and the journal before it.

mod basics;
mod damage;
mod fake;
mod kill;
mod random;

use super::{Journaled, Options};
use crate::sqlite::OpenError;
use crate::{OfflineLimits, OfflineMessage, OfflineStore, StoreError, Stores, conformance};
use fake::{Fake, Fault};
use std::{path::Path, sync::Arc, time::Duration};
use supervision::{SupervisorRef, SupervisorSpec, System};
use xmpp::{
    jid::BareJid,
    stanza::{Kind, Stanza, Type},
};

const ANY: OfflineLimits = OfflineLimits::messages(usize::MAX);

/// Nobody asks by themselves whether the database is back.
const STILL: Options = Options {
    max_bytes: 1 << 20,
    queue: 4096,
    deadline: Duration::from_secs(60),
    at_once: 8,
    retry: Duration::from_secs(3600),
};

/// Opens it. A process that another test starts has all locks for a moment, until it is another program.
async fn open(
    dir: &Path,
    options: Options,
    fake: &Arc<Fake>,
) -> Result<Arc<Journaled<Fake>>, OpenError> {
    loop {
        match Journaled::open(dir, options, Arc::clone(fake)) {
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            opened => return opened,
        }
    }
}

/// One at work.
struct Running {
    fake: Arc<Fake>,
    journaled: Arc<Journaled<Fake>>,
    system: System,
    root: SupervisorRef,
}

impl Running {
    async fn start(dir: &Path, options: Options, fake: &Arc<Fake>) -> Self {
        let journaled = open(dir, options, fake).await.unwrap();
        let system = System::new("test");
        let tree = SupervisorSpec::one_for_one().child(Journaled::child(&journaled));
        let root = system.start(tree).await.unwrap();
        Self { fake: Arc::clone(fake), journaled, system, root }
    }

    async fn stop(self) {
        self.root.stop().await;
        assert_eq!(self.system.alive(), 0);
    }

    fn gauge(&self, name: &str, label: &str) -> f64 {
        let gauges = self.journaled.gauges();
        let found = gauges.iter().find(|g| g.name == name && g.label.1 == label);
        found.unwrap().value
    }

    fn waiting(&self) -> usize {
        self.gauge("mangrove_journal_waiting", "journal") as usize
    }

    /// How many were journaled, drained and dropped.
    fn totals(&self) -> [usize; 3] {
        ["journaled", "drained", "dropped"]
            .map(|what| self.gauge("mangrove_journal_operations", what) as usize)
    }

    async fn push(&self, user: &BareJid, id: &str) -> Result<u64, StoreError> {
        self.journaled.push(user, 1, message(id), ANY).await
    }

    /// The names of what waits for a user.
    async fn names(&self, user: &BareJid) -> Result<Vec<String>, StoreError> {
        let page = OfflineStore::page(&*self.journaled, user, 0, usize::MAX, usize::MAX).await?;
        Ok(names(&page))
    }

    async fn drained(&self) {
        while self.waiting() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn message(id: &str) -> Stanza {
    Stanza::new(Kind::Message, Type::Chat).with_id(id)
}

fn names(page: &[OfflineMessage]) -> Vec<String> {
    page.iter().filter_map(|m| m.stanza.head.id.as_deref().map(str::to_owned)).collect()
}

fn user(name: &str) -> BareJid {
    name.parse().unwrap()
}

/// A store with these accounts.
fn fake(accounts: &[&str]) -> Arc<Fake> {
    let fake = Fake::new();
    accounts.iter().for_each(|name| fake.account(&user(name)));
    Arc::new(fake)
}

#[tokio::test]
async fn it_passes_the_suite_before_a_store_that_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), Options::default(), &fake(&[])).await;
    let journaled = &running.journaled;
    let stores = Stores {
        offline: Arc::clone(journaled) as _,
        sessions: Arc::clone(journaled) as _,
        ..Stores::of(Arc::clone(&running.fake.store))
    };
    conformance::suite(&stores).await;
    assert_eq!(running.totals(), [0; 3]);
    running.stop().await;
}
