//! A database that is away, loses answers, and comes back: what it has is in memory, and in a file if it is to outlive its
//! process.

use crate::{
    Account, AccountStore, MemoryStore, OfflineLimits, OfflineMessage, OfflineStore, Sessions,
    StoreError, StoreFuture, StoredSession, Whose,
    error::LATER,
    journal::{Op, OpId, Replay, file::now},
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use xmpp::{jid::BareJid, sasl::ScramKeys, stanza::Stanza};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is made and answered.
    None,
    /// Nobody is there.
    Away,
    /// It gets lost.
    Before,
    /// It is made, and its answer gets lost.
    After,
}

type Faults = Box<dyn FnMut() -> Fault + Send>;

pub(super) struct Fake {
    pub(super) store: Arc<MemoryStore>,
    faults: Mutex<Faults>,
    /// The last that was made for each user.
    last: Mutex<HashMap<BareJid, OpId>>,
    made: Mutex<HashSet<OpId>>,
    /// The numbers of all messages that ever were appended.
    numbers: Mutex<HashSet<u64>>,
    /// Whose operation is being made.
    busy: Mutex<HashSet<BareJid>>,
    unknown: Mutex<BTreeSet<BareJid>>,
    /// Whose operations are never answered.
    pub(super) slow: Mutex<Option<BareJid>>,
    /// Whose operations fail.
    pub(super) broken: Mutex<Option<BareJid>>,
    file: Option<Mutex<File>>,
}

/// The answer of a store that has it at once.
pub(super) fn at_once<T>(mut answer: StoreFuture<'_, T>) -> Result<T, StoreError> {
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it has none"),
    }
}

impl Fake {
    pub(super) fn new() -> Self {
        let (made, unknown) = (Mutex::default(), Mutex::default());
        let faults: Mutex<Faults> = Mutex::new(Box::new(|| Fault::None));
        let (last, broken, slow) = (Mutex::default(), Mutex::default(), Mutex::default());
        let (numbers, busy) = (Mutex::default(), Mutex::default());
        let store = Arc::default();
        Self { store, faults, last, made, numbers, busy, unknown, slow, broken, file: None }
    }

    /// One with those accounts, that goes on with what is in that file.
    pub(super) fn of_file(path: &Path, accounts: &[BareJid]) -> Self {
        let mut fake = Self::new();
        accounts.iter().for_each(|user| fake.account(user));
        let lines = fs::read_to_string(path).unwrap_or_default();
        // the last line may be half of one: that was not made
        for line in lines.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let (id, op): ([u8; 16], Op) = serde_json::from_str(line).unwrap();
            assert_eq!(fake.make(&op, OpId(id), None), Ok(()));
        }
        let whole = lines.rfind('\n').map_or(0, |end| end + 1);
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.set_len(whole as u64).unwrap();
        fake.file = Some(Mutex::new(file));
        fake
    }

    pub(super) fn account(&self, user: &BareJid) {
        at_once(self.store.create(vec![(user.clone(), Account::default())])).unwrap();
    }

    /// From now on.
    pub(super) fn every(&self, fault: Fault) {
        self.faults(move || fault);
    }

    /// From now on, asked for each call.
    pub(super) fn faults(&self, faults: impl FnMut() -> Fault + Send + 'static) {
        *self.faults.lock() = Box::new(faults);
    }

    /// It has not seen that account.
    pub(super) fn forget(&self, user: &BareJid) {
        self.unknown.lock().insert(user.clone());
    }

    fn make(&self, op: &Op, id: OpId, limits: Option<OfflineLimits>) -> Result<(), StoreError> {
        let mut last = self.last.lock();
        if last.get(op.user()) == Some(&id) {
            return Ok(());
        }
        if self.broken.lock().as_ref() == Some(op.user()) {
            return Err(StoreError::Failed("broken".to_owned()));
        }
        let store = &*self.store;
        match op.clone() {
            Op::Append { user, holders, messages, by, .. } => {
                store.append_numbered(&user, holders, messages, limits, by)
            }
            Op::Remove { user, ids } => at_once(OfflineStore::remove(store, &user, ids)),
            Op::Acknowledge { user, key, ids } => at_once(store.acknowledge(&user, &key, ids)),
            Op::Hold { user, key, ids } => at_once(store.hold(&user, &key, ids)),
            Op::Expire { user, key } => at_once(Sessions::expire(store, &user, &key)),
            Op::Put(session) => at_once(store.put(session)),
        }?;
        last.insert(op.user().clone(), id);
        assert!(self.made.lock().insert(id), "made twice: {op:?}");
        if let Op::Append { .. } = op {
            let mut numbers = self.numbers.lock();
            assert!(op.ids().into_iter().all(|id| numbers.insert(id)), "made twice: {op:?}");
        }
        if let Some(file) = &self.file {
            let line = serde_json::to_string(&(id.0, op)).unwrap() + "\n";
            file.lock().write_all(line.as_bytes()).unwrap();
        }
        Ok(())
    }

    fn meet<T>(&self, make: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let fault = (self.faults.lock())();
        match fault {
            Fault::None => make(),
            Fault::Away => Err(LATER),
            Fault::Before => Err(StoreError::Timeout),
            Fault::After => make().and(Err(StoreError::Timeout)),
        }
    }

    fn answer<'a, T: Send + 'a>(&'a self, of: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            // as something that is far away: others come first
            tokio::task::yield_now().await;
            self.meet(|| at_once(of))
        })
    }
}

/// One operation of a user is made at a time.
struct Busy<'a>(&'a Fake, &'a BareJid);

impl<'a> Busy<'a> {
    fn new(fake: &'a Fake, user: &'a BareJid) -> Self {
        assert!(fake.busy.lock().insert(user.clone()), "two of {user} at a time");
        Self(fake, user)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.lock().remove(self.1);
    }
}

impl Replay for Fake {
    fn apply<'a>(
        &'a self,
        op: &'a Op,
        id: OpId,
        limits: Option<OfflineLimits>,
    ) -> StoreFuture<'a, Vec<u64>> {
        Box::pin(async move {
            let _busy = Busy::new(self, op.user());
            tokio::task::yield_now().await;
            if self.slow.lock().as_ref() == Some(op.user()) {
                return Err(StoreError::Timeout);
            }
            self.meet(|| self.make(op, id, limits)).map(|()| op.numbers())
        })
    }

    fn made(&self, user: &BareJid) -> Option<u64> {
        let known = !self.unknown.lock().contains(user);
        let account = at_once(AccountStore::get(&*self.store, user)).unwrap();
        account.filter(|_| known).map(|account| account.created)
    }

    fn number(&self) -> u64 {
        // as those of several nodes, and greater than what waits in a journal
        self.store.number(now() * 1_000)
    }
}

impl AccountStore for Fake {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<Account>>> {
        self.answer(AccountStore::get(&*self.store, user))
    }

    fn create(&self, accounts: Vec<(BareJid, Account)>) -> StoreFuture<'_, usize> {
        self.answer(self.store.create(accounts))
    }

    fn set_keys<'a>(&'a self, user: &'a BareJid, keys: Vec<ScramKeys>) -> StoreFuture<'a, bool> {
        self.answer(self.store.set_keys(user, keys))
    }

    fn adopt<'a>(&'a self, user: &'a BareJid, account: Account) -> StoreFuture<'a, bool> {
        self.answer(AccountStore::adopt(&*self.store, user, account))
    }

    fn remove<'a>(&'a self, user: &'a BareJid, roster: u64) -> StoreFuture<'a, bool> {
        self.answer(AccountStore::remove(&*self.store, user, roster))
    }

    fn list<'a>(
        &'a self,
        host: &'a str,
        after: Option<&'a BareJid>,
        limit: usize,
    ) -> StoreFuture<'a, Vec<BareJid>> {
        self.answer(self.store.list(host, after, limit))
    }

    fn is_empty(&self) -> StoreFuture<'_, bool> {
        self.answer(self.store.is_empty())
    }
}

impl OfflineStore for Fake {
    fn push<'a>(
        &'a self,
        _: &'a BareJid,
        _: u64,
        _: Stanza,
        _: OfflineLimits,
    ) -> StoreFuture<'a, u64> {
        panic!("it is an operation");
    }

    fn page<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        self.answer(OfflineStore::page(&*self.store, user, after, limit, bytes))
    }

    fn remove<'a>(&'a self, _: &'a BareJid, _: Vec<u64>) -> StoreFuture<'a, ()> {
        panic!("it is an operation");
    }

    fn move_back<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        self.answer(self.store.move_back(user, ids))
    }

    fn move_back_after<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        before: u64,
        but: BTreeSet<u64>,
    ) -> StoreFuture<'a, ()> {
        self.answer(self.store.move_back_after(user, after, before, but))
    }

    fn count<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, usize> {
        self.answer(self.store.count(user))
    }

    fn expire(&self, at: u64, limit: usize) -> StoreFuture<'_, usize> {
        self.answer(OfflineStore::expire(&*self.store, at, limit))
    }
}

impl Sessions for Fake {
    fn put(&self, _: StoredSession) -> StoreFuture<'_, ()> {
        panic!("it is an operation");
    }

    fn append<'a>(
        &'a self,
        _: &'a BareJid,
        _: Vec<String>,
        _: Vec<(u64, Stanza)>,
        _: OfflineLimits,
        _: Option<(String, u32)>,
    ) -> StoreFuture<'a, Vec<u64>> {
        panic!("it is an operation");
    }

    fn hold<'a>(&'a self, _: &'a BareJid, _: &'a str, _: Vec<u64>) -> StoreFuture<'a, ()> {
        panic!("it is an operation");
    }

    fn acknowledge<'a>(&'a self, _: &'a BareJid, _: &'a str, _: Vec<u64>) -> StoreFuture<'a, ()> {
        panic!("it is an operation");
    }

    fn take<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        self.answer(self.store.take(user, key, epoch))
    }

    fn held<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        self.answer(self.store.held(user, key, after, limit, bytes))
    }

    fn expire<'a>(&'a self, _: &'a BareJid, _: &'a str) -> StoreFuture<'a, ()> {
        panic!("it is an operation");
    }

    fn page<'a>(
        &'a self,
        whose: Whose<'a>,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<StoredSession>> {
        self.answer(Sessions::page(&*self.store, whose, after, limit))
    }

    fn release<'a>(&'a self, whose: Whose<'a>, limit: usize) -> StoreFuture<'a, usize> {
        self.answer(self.store.release(whose, limit))
    }

    fn find<'a>(
        &'a self,
        user: &'a BareJid,
        token: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        self.answer(self.store.find(user, token))
    }

    fn adopt<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        epoch: Option<u64>,
        new: &'a str,
    ) -> StoreFuture<'a, Option<StoredSession>> {
        self.answer(Sessions::adopt(&*self.store, user, key, epoch, new))
    }
}
