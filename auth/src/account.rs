//! What an account of another application is here, given what is kept of it and what is there.

use crate::source::{Entry, Secret};
use std::time::SystemTime;
use storage::{Account, Origin};
use xmpp::sasl::ScramKeys;

/// One of which nothing is kept.
pub(crate) fn as_new(entry: &Entry) -> Account {
    as_kept(None, entry, keys_of(entry).unwrap_or_default())
}

/// With keys that fit what is there now, or none. `None`: what is kept is of another account of that name.
pub(crate) fn as_there(kept: Option<&Account>, entry: &Entry) -> Option<Account> {
    let origin = kept.and_then(|kept| kept.origin.as_ref());
    if origin.is_some_and(|origin| origin.id != entry.id) {
        return None;
    }
    let fits = |origin: &&Origin| {
        !origin.fingerprint.is_empty() && entry.fingerprint.as_ref() == Some(&origin.fingerprint)
    };
    let fitting = || Some(kept.filter(|_| origin.filter(fits).is_some())?.keys.clone());
    Some(as_kept(kept, entry, keys_of(entry).or_else(fitting).unwrap_or_default()))
}

/// The same for one that may not be there any more.
pub(crate) fn as_seen(kept: &Account, entry: Option<&Entry>) -> Option<Account> {
    if let Some(entry) = entry {
        return as_there(Some(kept), entry);
    }
    let gone = |origin| Origin { gone: true, fingerprint: String::new(), ..origin };
    Some(Account { keys: Vec::new(), origin: kept.origin.clone().map(gone), ..kept.clone() })
}

/// With these keys, of the password that is there now.
pub(crate) fn as_kept(kept: Option<&Account>, entry: &Entry, keys: Vec<ScramKeys>) -> Account {
    let fingerprint = entry.fingerprint.clone().filter(|_| !keys.is_empty());
    let origin =
        Origin { id: entry.id.clone(), fingerprint: fingerprint.unwrap_or_default(), gone: false };
    Account {
        keys,
        created: kept.map_or_else(now, |kept| kept.created),
        disabled: entry.disabled,
        origin: Some(origin),
    }
}

fn keys_of(entry: &Entry) -> Option<Vec<ScramKeys>> {
    match &entry.secret {
        Secret::Keys(keys) => Some(keys.clone()),
        _ => None,
    }
}

/// In milliseconds of the epoch.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Whether whoever has logged on with what was kept is to prove it anew. An application that does not say whether the password
/// is another does not say that it is.
pub(crate) fn is_revoked(kept: &Account, now: &Account, entry: Option<&Entry>) -> bool {
    let silent = |entry: &Entry| {
        matches!(entry.secret, Secret::Ask) && entry.fingerprint.is_none() && now.keys.is_empty()
    };
    let told = !entry.is_some_and(silent);
    let lost_keys = told && !kept.keys.is_empty() && now.keys != kept.keys;
    lost_keys || (now.disabled && !kept.disabled) || (is_gone(now) && !is_gone(kept))
}

/// Whether it is none any more.
pub(crate) fn is_gone(account: &Account) -> bool {
    account.origin.as_ref().is_some_and(|origin| origin.gone)
}
