//! All that is kept of a user as one value: how it gets from one backend into another, is counted and compared.

use crate::{
    Account, Activity, Blocklist, OfflineMessage, Quarantined, Roster, StoreError, StoreFuture,
    StoredSession, all::all,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, ops::AddAssign, sync::Arc};
use xmpp::{jid::BareJid, stanza::Stanza};

/// A message that waits for its user, or for sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The message.
    pub message: OfflineMessage,
    /// The sessions that hold it; none: it is an offline message.
    pub holders: BTreeSet<String>,
    /// One that held it has it: it is forgotten with the last of them.
    pub delivered: bool,
}

/// All that is kept of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Everything {
    /// Whose.
    pub user: BareJid,
    /// The account.
    pub account: Account,
    /// Contacts.
    pub roster: Arc<Roster>,
    /// Messages, in the order of their numbers.
    pub messages: Vec<Kept>,
    /// Sessions, in the order of their keys.
    pub sessions: Vec<StoredSession>,
    /// Messages in quarantine, in the order of their numbers.
    pub quarantine: Vec<(Quarantined, Stanza)>,
    /// The vCard.
    pub vcard: Option<String>,
    /// Private XML: namespace, name, element; in this order.
    pub private: Vec<(String, String, String)>,
    /// Who is blocked.
    pub blocklist: Arc<Blocklist>,
    /// When the user was last seen.
    pub activity: Option<Activity>,
}

/// How much there is, and a sum of it that does not depend on the order of the users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Accounts.
    pub accounts: u64,
    /// Contacts of their rosters.
    pub contacts: u64,
    /// Messages that wait, or are held.
    pub messages: u64,
    /// Sessions.
    pub sessions: u64,
    /// Messages in quarantine.
    pub quarantined: u64,
    /// vCards.
    pub vcards: u64,
    /// Private elements.
    pub private: u64,
    /// Addresses that are blocked.
    pub blocked: u64,
    /// The sum of SHA-256 of each user's [`Everything`] in JSON, its first 128 bits, modulo 2^128. As data it is 32 hexadecimal
    /// digits.
    #[serde(with = "hexadecimal")]
    pub sum: u128,
}

/// JSON's numbers have no 128 bits.
mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(sum: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("{sum:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        let text = String::deserialize(from)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.accounts += other.accounts;
        self.contacts += other.contacts;
        self.messages += other.messages;
        self.sessions += other.sessions;
        self.quarantined += other.quarantined;
        self.vcards += other.vcards;
        self.private += other.private;
        self.blocked += other.blocked;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

impl Everything {
    /// What it adds to a sum.
    pub fn tally(&self) -> Tally {
        // it is data of our own types: there is nothing that serialising could refuse
        let json = serde_json::to_vec(self).unwrap_or_default();
        let digest = Sha256::digest(&json);
        let sum = digest.first_chunk().map_or(0, |first| u128::from_be_bytes(*first));
        Tally {
            accounts: 1,
            contacts: self.roster.items.len() as u64,
            messages: self.messages.len() as u64,
            sessions: self.sessions.len() as u64,
            quarantined: self.quarantine.len() as u64,
            vcards: u64::from(self.vcard.is_some()),
            private: self.private.len() as u64,
            blocked: self.blocklist.len() as u64,
            sum,
        }
    }
}

/// What every backend can give away and take over as a whole. Each method is atomic.
pub trait Transfer: Send + Sync + 'static {
    /// Names of up to `limit` accounts of all hosts that are greater than `after`, in the order of their text. They are as they
    /// are stored: one that is damaged is no address.
    fn users<'a>(&'a self, after: &'a str, limit: usize) -> StoreFuture<'a, Vec<String>>;

    /// All that is kept of a user; `None` without an account.
    ///
    /// Errors: `Corrupt` when a part of it cannot be read.
    fn export<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Everything>>;

    /// Keeps all of it, in place of what is kept of that user. Messages have the numbers that they had; those that come later have
    /// greater ones.
    fn import(&self, everything: Everything) -> StoreFuture<'_, ()>;
}

/// Users that are listed at once.
const BATCH: usize = 64;
/// Users that are read, or copied, at the same time: all that each of them has is in memory.
const AT_ONCE: usize = 8;
/// How often a user is tried alone for whom a store had no room, or no time, beside others.
const TRIES: usize = 3;
/// The most users that are named for what is wrong with them.
const NAMED: usize = 100;

/// A way through all users of a store, as data: it can be gone on with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// All up to this one were seen.
    pub after: Option<String>,
    /// What they have.
    pub tally: Tally,
    /// How many of them cannot be read or written.
    pub failed: u64,
    /// The first of those, and why.
    pub bad: Vec<(String, String)>,
}

impl Walk {
    /// The next users are read. `false`: there are no more.
    ///
    /// # Errors
    /// When the store does not answer; what was seen before is in the walk.
    pub async fn read(&mut self, of: &dyn Transfer) -> Result<bool, StoreError> {
        self.step(of, None).await
    }

    /// The next users are read, and kept by another store.
    ///
    /// # Errors
    /// When one of the stores does not answer; what was copied before is in the walk.
    pub async fn copy(
        &mut self,
        from: &dyn Transfer,
        to: &dyn Transfer,
    ) -> Result<bool, StoreError> {
        self.step(from, Some(to)).await
    }

    async fn step(
        &mut self,
        from: &dyn Transfer,
        to: Option<&dyn Transfer>,
    ) -> Result<bool, StoreError> {
        let users = from.users(self.after.as_deref().unwrap_or_default(), BATCH).await?;
        for users in users.chunks(AT_ONCE) {
            let each = users.iter().map(|user| Box::pin(one(from, to, user)) as StoreFuture<'_, _>);
            for (user, done) in users.iter().zip(all(each).await) {
                self.note(user, alone(from, to, user, done).await)?;
            }
        }
        Ok(!users.is_empty())
    }

    /// What came of a user, after those before it.
    fn note(&mut self, user: &str, done: Result<Tally, StoreError>) -> Result<(), StoreError> {
        match done {
            Ok(tally) => self.tally += tally,
            Err(error) if is_away(&error) => return Err(error),
            Err(error) => {
                self.failed += 1;
                if self.bad.len() < NAMED {
                    self.bad.push((user.to_owned(), why(error)));
                }
            }
        }
        self.after = Some(user.to_owned());
        Ok(())
    }
}

/// Tries a user again who was one too many: by itself each fits.
async fn alone(
    from: &dyn Transfer,
    to: Option<&dyn Transfer>,
    user: &str,
    mut done: Result<Tally, StoreError>,
) -> Result<Tally, StoreError> {
    for _ in 0..TRIES {
        match done {
            Err(StoreError::Unavailable { retry_after }) => tokio::time::sleep(retry_after).await,
            Err(StoreError::Timeout) => {}
            done => return done,
        }
        done = one(from, to, user).await;
    }
    done
}

/// Whether it is not this user's trouble: what is tried again may be done.
fn is_away(error: &StoreError) -> bool {
    use StoreError as E;
    error.is_away() || matches!(error, E::NoRoom(_) | E::Damaged(_))
}

fn why(error: StoreError) -> String {
    match error {
        StoreError::Corrupt(why) | StoreError::Failed(why) => why,
        error => error.to_string(),
    }
}

/// Whose account it is. A name that is not written as addresses are is nobody's.
fn whose(name: &str) -> Result<BareJid, StoreError> {
    let user = name.parse().ok();
    let user = user.filter(|user: &BareJid| user.as_str() == name && user.node().is_some());
    user.ok_or_else(|| StoreError::Corrupt(format!("{name:?} is no address of a user")))
}

async fn one(
    from: &dyn Transfer,
    to: Option<&dyn Transfer>,
    user: &str,
) -> Result<Tally, StoreError> {
    let user = &whose(user)?;
    // who was removed meanwhile is not there any more
    let Some(everything) = from.export(user).await? else { return Ok(Tally::default()) };
    let tally = everything.tally();
    if let Some(to) = to {
        to.import(everything).await?;
    }
    Ok(tally)
}

/// How many accounts there are: all of them are listed.
///
/// # Errors
/// When the store does not answer.
pub async fn count(of: &dyn Transfer) -> Result<u64, StoreError> {
    let (mut accounts, mut after) = (0, String::new());
    loop {
        let page = of.users(&after, 10_000).await?;
        accounts += page.len() as u64;
        match page.into_iter().next_back() {
            Some(last) => after = last,
            None => return Ok(accounts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountStore, MemoryStore, VcardStore};
    use std::time::Duration;

    /// A store that has room for one user at a time.
    struct Narrow {
        store: MemoryStore,
        room: tokio::sync::Semaphore,
    }

    impl Transfer for Narrow {
        fn users<'a>(&'a self, after: &'a str, limit: usize) -> StoreFuture<'a, Vec<String>> {
            self.store.users(after, limit)
        }

        fn export<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Everything>> {
            self.store.export(user)
        }

        fn import(&self, everything: Everything) -> StoreFuture<'_, ()> {
            Box::pin(async move {
                let full = StoreError::Unavailable { retry_after: Duration::ZERO };
                let _room = self.room.try_acquire().map_err(|_| full)?;
                tokio::task::yield_now().await;
                self.store.import(everything).await
            })
        }
    }

    #[tokio::test]
    async fn users_for_whom_there_is_no_room_beside_others_are_copied_alone() {
        let (from, room) = (store(200).await, tokio::sync::Semaphore::new(1));
        let to = Narrow { store: MemoryStore::new(), room };
        let mut walk = Walk::default();
        while walk.copy(&from, &to).await.unwrap() {}
        assert_eq!((walk.tally.accounts, count(&to).await), (200, Ok(200)));
        // one that is away is not waited for
        to.room.close();
        let later = StoreError::Unavailable { retry_after: Duration::ZERO };
        assert_eq!(Walk::default().copy(&from, &to).await, Err(later));
    }

    async fn store(users: usize) -> MemoryStore {
        let store = MemoryStore::new();
        let user = |n| format!("u{n:04}@x").parse::<BareJid>().unwrap();
        let new =
            (0..users).map(|n| (user(n), Account { created: n as u64, ..Account::default() }));
        store.create(new.collect()).await.unwrap();
        VcardStore::set(&store, &user(3), "<vCard xmlns='vcard-temp'/>".to_owned()).await.unwrap();
        store
    }

    #[tokio::test]
    async fn a_walk_goes_on_where_it_was_and_sees_everybody_once() {
        let (from, to) = (store(200).await, MemoryStore::new());
        let mut walk = Walk::default();
        assert!(walk.copy(&from, &to).await.unwrap());
        assert_eq!((walk.tally.accounts, count(&to).await), (BATCH as u64, Ok(BATCH as u64)));
        let json = serde_json::to_string(&walk).unwrap();
        let mut walk: Walk = serde_json::from_str(&json).unwrap();
        while walk.copy(&from, &to).await.unwrap() {}
        assert_eq!((walk.tally.accounts, walk.tally.vcards, count(&to).await), (200, 1, Ok(200)));
        let mut read = Walk::default();
        while read.read(&to).await.unwrap() {}
        assert_eq!(read.tally, walk.tally);
        // one bit of one user
        let other: BareJid = "u0007@x".parse().unwrap();
        let account = Account { created: 8, ..Account::default() };
        to.remove(&other, 0).await.unwrap();
        to.create(vec![(other, account)]).await.unwrap();
        let mut differs = Walk::default();
        while differs.read(&to).await.unwrap() {}
        assert_eq!(differs.tally.accounts, 200);
        assert_ne!(differs.tally.sum, walk.tally.sum);
    }
}
