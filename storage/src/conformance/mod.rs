//! One suite of cases that every backend passes, so that a fake cannot drift from the real thing.
//!
//! For tests, also those of other crates: it panics where a backend does not keep a promise of the
//! traits. What only one backend promises (reopening, crashes) is tested beside that backend.

mod accounts;
mod held;
mod lists;
mod moving;
mod offline;
mod quarantine;
mod rosters;
mod sessions;
mod transfer;

pub(crate) use crate::all::all;
use crate::{Account, StoreError, Stores};
use std::error::Error;
use xmpp::jid::BareJid;

/// A case: an error that is not expected ends it.
type Case = Result<(), Box<dyn Error + Send + Sync>>;

/// Runs each case in turn, and names the one that failed.
macro_rules! cases {
    ($stores:expr, $($case:ident)+) => {
        $(
            let result: $crate::conformance::Case = Box::pin($case($stores)).await;
            assert!(result.is_ok(), concat!(module_path!(), "::", stringify!($case), ": {:?}"), result);
        )+
    };
}
use cases;

/// Runs all cases, one after the other, each with users of its own. The stores must be empty.
///
/// # Panics
/// When a case fails.
pub async fn suite(stores: &Stores) {
    Box::pin(accounts::suite(stores)).await;
    Box::pin(rosters::suite(stores)).await;
    Box::pin(offline::suite(stores)).await;
    Box::pin(sessions::suite(stores)).await;
    Box::pin(moving::suite(stores)).await;
    Box::pin(held::suite(stores)).await;
    Box::pin(quarantine::suite(stores)).await;
    Box::pin(lists::suite(stores)).await;
    Box::pin(transfer::suite(stores)).await;
}

fn user(text: &str) -> Result<BareJid, xmpp::jid::JidError> {
    text.parse()
}

/// An account of that name.
async fn account(stores: &Stores, text: &str) -> Result<BareJid, Box<dyn Error + Send + Sync>> {
    let user = user(text)?;
    stores.accounts.create(vec![(user.clone(), Account::default())]).await?;
    Ok(user)
}

/// Nothing is left of a user but the account.
pub(crate) async fn forget(stores: &Stores, user: &BareJid) -> Result<(), StoreError> {
    stores.accounts.remove(user, 0).await?;
    stores.accounts.create(vec![(user.clone(), Account::default())]).await.map(drop)
}

/// Characters that are special somewhere: in SQL, JSON, XML, patterns, or not ASCII.
const STRANGE: &str =
    "'\"; DROP TABLE x --\\ % _ \u{0} \t\n<&>]]> $where {a:1} é ß 中文 🦀 \u{202e}";

/// [`STRANGE`] without what XML cannot hold.
fn strange() -> String {
    STRANGE.replace('\u{0}', "")
}

/// Lets others go first, as often as a backend that answers at once would not.
async fn give_way() {
    tokio::task::yield_now().await;
}

fn full<T>(limit: usize) -> Result<T, StoreError> {
    Err(StoreError::Full { limit })
}
