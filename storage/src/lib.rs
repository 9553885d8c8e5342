//! What a node keeps: one trait an aggregate, backends behind them, one conformance suite for all.
//!
//! A method is a whole operation that the backend makes atomic, not a piece of one. A write that
//! was acknowledged is durable (in SQLite: on disk). Everything is `Arc<dyn ...>` in [`Stores`], so
//! that one can be wrapped; a [`Backend`] is all of one, and an account is created and removed in all of them at once. It knows no rules of XMPP: a session is bytes to it.

pub mod accounts;
pub mod activity;
mod all;
pub mod backend;
pub mod blocklists;
mod cache;
pub mod conformance;
pub mod error;
mod journal;
pub mod memory;
pub mod mongo;
pub mod offline;
pub mod private;
pub mod quarantine;
pub mod rosters;
pub mod sessions;
mod shown;
pub mod sqlite;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod transfer;
mod turns;
pub mod vcards;

pub use accounts::{Account, AccountStore, Origin};
pub use activity::{Activity, ActivityStore};
pub use backend::{Backend, BackendError};
pub use blocklists::{Blocklist, BlocklistStore};
pub use error::StoreError;
pub use memory::{MemoryStore, Snapshot};
pub use mongo::MongoStore;
pub use offline::{OfflineLimits, OfflineMessage, OfflineStore};
pub use private::PrivateStore;
pub use quarantine::{QuarantineStore, Quarantined, Struck};
pub use rosters::{Roster, RosterChange, RosterItem, RosterStore, RosterWrite, Subscription};
pub use sessions::{Sessions, StoredSession, Whose, node_of, token_of};
pub use shown::{Asked, Gauge, Status, Told, Unit};
pub use sqlite::SqliteStore;
pub use transfer::{Everything, Tally, Transfer};
pub use vcards::VcardStore;

use std::{fmt, future::Future, pin::Pin, sync::Arc};

/// A boxed future, so that stores can be used as `Arc<dyn ...>`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The answer of a store.
pub type StoreFuture<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// All stores of a node.
#[derive(Clone)]
pub struct Stores {
    /// Who may log on.
    pub accounts: Arc<dyn AccountStore>,
    /// Contacts.
    pub rosters: Arc<dyn RosterStore>,
    /// Messages for users who are away.
    pub offline: Arc<dyn OfflineStore>,
    /// Sessions that can be resumed, and what they hold of those.
    pub sessions: Arc<dyn Sessions>,
    /// Strikes against those messages, and those that are kept from their user for them.
    pub quarantine: Arc<dyn QuarantineStore>,
    /// vCards.
    pub vcards: Arc<dyn VcardStore>,
    /// Private XML.
    pub private: Arc<dyn PrivateStore>,
    /// Whom a user does not want to hear of.
    pub blocklists: Arc<dyn BlocklistStore>,
    /// When a user was last seen.
    pub activity: Arc<dyn ActivityStore>,
    /// All of that, by user.
    pub transfer: Arc<dyn Transfer>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stores")
    }
}

impl Stores {
    /// All of them from one backend.
    pub fn of<B>(backend: Arc<B>) -> Self
    where
        B: AccountStore
            + RosterStore
            + OfflineStore
            + Sessions
            + QuarantineStore
            + VcardStore
            + PrivateStore
            + BlocklistStore
            + ActivityStore
            + Transfer,
    {
        Self {
            accounts: Arc::clone(&backend) as _,
            rosters: Arc::clone(&backend) as _,
            offline: Arc::clone(&backend) as _,
            sessions: Arc::clone(&backend) as _,
            quarantine: Arc::clone(&backend) as _,
            vcards: Arc::clone(&backend) as _,
            private: Arc::clone(&backend) as _,
            blocklists: Arc::clone(&backend) as _,
            activity: Arc::clone(&backend) as _,
            transfer: backend as _,
        }
    }
}
