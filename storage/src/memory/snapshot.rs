//! Everything a store in memory keeps, as data: what outlives the process where nothing is on a disk.

use super::{MemoryStore, offline::Held, quarantine};
use crate::{Account, Activity, Blocklist, OfflineMessage, Roster, StoredSession};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use xmpp::jid::BareJid;

/// XML by namespace and name of the element.
type Elements = Vec<((String, String), String)>;

/// The content of a [`MemoryStore`]. Its size is that of all that is kept: no node does this.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    accounts: Vec<(BareJid, Arc<Account>)>,
    rosters: Vec<(BareJid, Arc<Roster>)>,
    /// The last number of an offline message.
    last: u64,
    offline: Vec<(BareJid, OfflineMessage)>,
    held: Vec<(BareJid, Held)>,
    sessions: Vec<StoredSession>,
    quarantine: Vec<quarantine::Kept>,
    vcards: Vec<(BareJid, Arc<str>)>,
    private: Vec<(BareJid, Elements)>,
    blocklists: Vec<(BareJid, Arc<Blocklist>)>,
    activity: Vec<(BareJid, Activity)>,
}

fn pairs<'a, K: Clone + 'a, V: Clone + 'a>(
    map: impl IntoIterator<Item = (&'a K, &'a V)>,
) -> Vec<(K, V)> {
    map.into_iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn kept<T, C: FromIterator<T>>(all: impl IntoIterator<Item = T>) -> Mutex<C> {
    Mutex::new(all.into_iter().collect())
}

impl MemoryStore {
    /// Everything that is kept now; each aggregate by itself is consistent.
    pub fn snapshot(&self) -> Snapshot {
        let offline = self.offline.lock();
        let private = self.private.lock();
        Snapshot {
            accounts: pairs(&*self.accounts.lock()),
            rosters: pairs(&*self.rosters.lock()),
            last: offline.last,
            offline: offline
                .users
                .iter()
                .flat_map(|(user, kept)| kept.values().map(|m| (user.clone(), m.clone())))
                .collect(),
            held: offline
                .held
                .iter()
                .flat_map(|(user, held)| held.values().map(|h| (user.clone(), h.clone())))
                .collect(),
            sessions: offline.sessions.values().cloned().collect(),
            quarantine: offline.quarantine.values().cloned().collect(),
            vcards: pairs(&*self.vcards.lock()),
            private: private.iter().map(|(user, all)| (user.clone(), pairs(all))).collect(),
            blocklists: pairs(&*self.blocklists.lock()),
            activity: pairs(&*self.activity.lock()),
        }
    }

    /// A store that keeps what another kept.
    pub fn restored(snapshot: Snapshot) -> Self {
        let private = snapshot.private.into_iter();
        let store = Self {
            accounts: kept(snapshot.accounts),
            rosters: kept(snapshot.rosters),
            offline: Mutex::default(),
            vcards: kept(snapshot.vcards),
            private: kept(private.map(|(user, all)| (user, all.into_iter().collect()))),
            blocklists: kept(snapshot.blocklists),
            activity: kept(snapshot.activity),
        };
        let mut offline = store.offline.lock();
        offline.last = snapshot.last;
        for (user, message) in snapshot.offline {
            offline.keep(&user, message);
        }
        for (user, held) in snapshot.held {
            offline.held.entry(user).or_default().insert(held.message.id, held);
        }
        let sessions = snapshot.sessions.into_iter();
        offline.sessions = sessions.map(|session| (session.key.clone(), session)).collect();
        let quarantine = snapshot.quarantine.into_iter();
        offline.quarantine = quarantine.map(|kept| (kept.message.id, kept)).collect();
        drop(offline);
        store
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AccountStore, OfflineLimits, OfflineStore, PrivateStore, RosterChange, RosterItem,
        RosterStore, Sessions, Struck, Whose,
        quarantine::{LAST, OUT, QuarantineStore},
    };
    use xmpp::stanza::Stanza;

    #[tokio::test]
    async fn a_restored_store_keeps_what_the_first_kept() {
        let first = MemoryStore::new();
        let user: BareJid = "juliet@localhost".parse().unwrap();
        first.create(vec![(user.clone(), Account::default())]).await.unwrap();
        let item = RosterItem::new("romeo@localhost".parse().unwrap());
        let roster = first.change(&user, 0, RosterChange::Put(item), 9).await.unwrap();
        let message = Stanza::parse(b"<message id='1'><body>b</body></message>").unwrap();
        first.push(&user, 7, message.clone(), OfflineLimits::messages(9)).await.unwrap();
        first.push(&user, 8, message, OfflineLimits::messages(9)).await.unwrap();
        OfflineStore::remove(&first, &user, vec![2]).await.unwrap();
        let element = ("ns".to_owned(), "name".to_owned(), "<name xmlns='ns'/>".to_owned());
        PrivateStore::set(&first, &user, vec![element], 9).await.unwrap();

        let bytes = serde_json::to_vec(&first.snapshot()).unwrap();
        let second = MemoryStore::restored(serde_json::from_slice(&bytes).unwrap());
        assert_eq!(RosterStore::get(&second, &user).await, Ok(roster));
        let page = async |store: &MemoryStore| {
            OfflineStore::page(store, &user, 0, 9, usize::MAX).await.unwrap()
        };
        assert_eq!(page(&second).await, page(&first).await);
        second
            .push(&user, 9, Stanza::parse(b"<message/>").unwrap(), OfflineLimits::messages(9))
            .await
            .unwrap();
        let ids: Vec<_> = page(&second).await.iter().map(|m| m.id).collect();
        assert_eq!(ids, [1, 3], "no number is used twice");
        assert_eq!(OfflineStore::expire(&second, 8, 9).await, Ok(1));
        let again = serde_json::to_value(first.snapshot()).unwrap();
        let restored = MemoryStore::restored(serde_json::from_value(again.clone()).unwrap());
        assert_eq!(serde_json::to_value(restored.snapshot()).unwrap(), again);
    }

    #[tokio::test]
    async fn so_do_sessions_what_they_hold_and_what_clients_ended_their_streams_over() {
        let first = MemoryStore::new();
        let user: BareJid = "juliet@localhost".parse().unwrap();
        first.create(vec![(user.clone(), Account::default())]).await.unwrap();
        let frozen = vec![0, 255];
        let session = StoredSession {
            key: "k".to_owned(),
            user: user.clone(),
            epoch: 2,
            until: 3,
            handled: 5,
            frozen,
        };
        first.put(session.clone()).await.unwrap();
        let message = |at| (at, Stanza::parse(b"<message/>").unwrap());
        let holders = || vec!["k".to_owned(), "l".to_owned()];
        let new = vec![message(1), message(2)];
        first.append(&user, holders(), new, OfflineLimits::messages(9), None).await.unwrap();
        first.acknowledge(&user, "l", vec![1]).await.unwrap();
        let message = Stanza::parse(b"<message/>").unwrap();
        let poison =
            first.push(&user, 7, message.clone(), OfflineLimits::messages(9)).await.unwrap();
        for n in 1..=OUT {
            // the third puts it behind all others
            let id = if n > LAST { poison + 1 } else { poison };
            first.strike(&user, "", id, 9, usize::MAX).await.unwrap();
        }
        let struck = first.push(&user, 7, message, OfflineLimits::messages(9)).await.unwrap();
        first.strike(&user, "", struck, 9, usize::MAX).await.unwrap();

        let bytes = serde_json::to_vec(&first.snapshot()).unwrap();
        let second = MemoryStore::restored(serde_json::from_slice(&bytes).unwrap());
        let held = async |key| {
            let page = second.held(&user, key, 0, 9, usize::MAX).await.unwrap();
            page.iter().map(|m| (m.id, m.at)).collect::<Vec<_>>()
        };
        assert_eq!((held("k").await, held("l").await), (vec![(1, 1), (2, 2)], vec![(2, 2)]));
        assert_eq!(second.release(Whose::All, 9).await, Ok(1));
        assert_eq!(second.take(&user, "k", Some(2)).await, Ok(Some(session)));
        assert_eq!(second.release(Whose::All, 9).await, Ok(2));
        assert_eq!(second.count(&user).await, Ok(2), "the first was delivered");
        let quarantine = second.quarantined(None, 0, 9).await.unwrap();
        assert_eq!(quarantine, first.quarantined(None, 0, 9).await.unwrap());
        assert_eq!(quarantine.iter().map(|kept| kept.id).collect::<Vec<_>>(), [poison + 1]);
        assert_eq!(second.strike(&user, "", struck, 9, 9).await, Ok(Struck::Counted(2)));
    }
}
