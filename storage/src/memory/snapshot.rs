//! Everything a store in memory keeps, as data: what outlives the process where nothing is on a disk.

use super::MemoryStore;
use crate::{Account, Activity, Blocklist, OfflineMessage, Roster};
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
            offline.times.insert((message.at, message.id, user.clone()));
            offline.users.entry(user).or_default().insert(message.id, message);
        }
        drop(offline);
        store
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        AccountStore, OfflineLimits, OfflineStore, PrivateStore, RosterChange, RosterItem,
        RosterStore,
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
        assert_eq!(
            second.page(&user, 0, 9, usize::MAX).await,
            first.page(&user, 0, 9, usize::MAX).await
        );
        second
            .push(&user, 9, Stanza::parse(b"<message/>").unwrap(), OfflineLimits::messages(9))
            .await
            .unwrap();
        let ids: Vec<_> =
            second.page(&user, 0, 9, usize::MAX).await.unwrap().iter().map(|m| m.id).collect();
        assert_eq!(ids, [1, 3], "no number is used twice");
        assert_eq!(second.expire(8, 9).await, Ok(1));
        let again = serde_json::to_value(first.snapshot()).unwrap();
        let restored = MemoryStore::restored(serde_json::from_value(again.clone()).unwrap());
        assert_eq!(serde_json::to_value(restored.snapshot()).unwrap(), again);
    }
}
