//! A registry that is away, or remembers what was.

use cluster::{
    Binding, BoxFuture, Entry, Held, Record, Records, RegistryError, SessionRegistry, Taking, Token,
};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// What goes wrong on all nodes.
#[derive(Default)]
pub struct Faulty {
    away: AtomicBool,
    old: Mutex<HashMap<String, Records>>,
    inner: Mutex<Option<Arc<dyn SessionRegistry>>>,
}

impl Faulty {
    /// The registry of one node.
    pub fn of(all: &Arc<Self>, inner: Arc<dyn SessionRegistry>) -> Arc<One> {
        *all.inner.lock() = Some(Arc::clone(&inner));
        Arc::new(One { all: Arc::clone(all), inner })
    }

    pub fn is_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// From here on caches have of the user what is true now, until they are told to forget it.
    pub async fn remember(&self, user: &str) {
        let inner = self.inner.lock().clone().unwrap();
        let records = inner.lookup(user).await.unwrap();
        self.old.lock().insert(user.to_owned(), records);
    }
}

pub struct One {
    all: Arc<Faulty>,
    inner: Arc<dyn SessionRegistry>,
}

impl One {
    fn unless_away<'a, T: Send + 'a>(
        &'a self,
        future: impl FnOnce() -> BoxFuture<'a, Result<T, RegistryError>>,
    ) -> BoxFuture<'a, Result<T, RegistryError>> {
        if self.all.away.load(Ordering::SeqCst) {
            let retry_after = Duration::from_secs(1);
            return Box::pin(async move { Err(RegistryError::Unavailable { retry_after }) });
        }
        future()
    }
}

impl SessionRegistry for One {
    fn bind<'a>(
        &'a self,
        user: &'a str,
        record: Record,
        limit: usize,
        taking: Taking,
    ) -> BoxFuture<'a, Result<Binding, RegistryError>> {
        self.unless_away(|| self.inner.bind(user, record, limit, taking))
    }

    fn update<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
        seq: u64,
        priority: Option<i8>,
    ) -> BoxFuture<'a, Result<Held, RegistryError>> {
        self.unless_away(|| self.inner.update(user, resource, token, seq, priority))
    }

    fn unbind<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        self.unless_away(|| self.inner.unbind(user, resource, token))
    }

    fn lookup<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Records, RegistryError>> {
        self.unless_away(|| self.inner.lookup(user))
    }

    fn cached(&self, user: &str) -> Option<Records> {
        if self.all.away.load(Ordering::SeqCst) {
            return None;
        }
        self.all.old.lock().get(user).cloned().or_else(|| self.inner.cached(user))
    }

    fn turn<'a>(
        &'a self,
        user: &'a str,
        token: Token,
        lasts: Duration,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        self.unless_away(|| self.inner.turn(user, token, lasts))
    }

    fn forget(&self, _: &str) {}

    fn confirm(&self, mine: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>> {
        self.unless_away(|| self.inner.confirm(mine))
    }
}
