//! When a user was last seen (XEP-0012 section 4).

use crate::StoreFuture;
use serde::{Deserialize, Serialize};
use xmpp::jid::BareJid;

/// The last time a user's last resource went away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// In milliseconds of the epoch.
    pub at: u64,
    /// The status of the unavailable presence; empty for none.
    pub status: String,
}

/// Last activity by user. May lose the last seconds in a crash: nobody was promised anything.
pub trait ActivityStore: Send + Sync + 'static {
    /// The last activity, if any is known.
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Activity>>;

    /// Replaces that of several users at once; those who have no account are passed over.
    fn set(&self, all: Vec<(BareJid, Activity)>) -> StoreFuture<'_, ()>;
}
