//! The authority as a node reaches it: it fails, hangs until the deadline, is cut off, does what is not answered, forgets everything,
//! and goes on with what it was a while ago.

use crate::{
    gate::Gate,
    seen::{notes, saw},
};
use cluster::{
    Binding, BoxFuture, Entry, Held, Leases, Member, MemoryRegistry, Record, Records,
    RegistryError, SessionRegistry, Taking, Token, members::Roll,
};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use supervision::{Node, schedule::Schedule};
use tokio::time::{Instant, sleep, sleep_until};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Up,
    Fails,
    Hangs,
}

/// None of its operations takes longer.
const DEADLINE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub struct Authority {
    memory: Mutex<Arc<MemoryRegistry>>,
    pub mode: Mutex<Mode>,
    pub cut: Mutex<BTreeSet<Node>>,
    /// Those whose connections were lost with the primary, and who have not noticed.
    broken: Mutex<BTreeSet<Node>>,
    /// When the last of what each node asked gets there: a connection keeps the order.
    arrives: Mutex<BTreeMap<Node, Instant>>,
    /// Operations, by name.
    pub count: Mutex<BTreeMap<&'static str, u64>>,
}

impl Authority {
    pub fn memory(&self) -> Arc<MemoryRegistry> {
        Arc::clone(&self.memory.lock())
    }

    /// Goes on with what it was a while ago: all notice that it is another.
    pub fn fails_over(&self, to: MemoryRegistry, nodes: impl IntoIterator<Item = Node>) {
        *self.memory.lock() = Arc::new(to);
        self.broken.lock().extend(nodes);
    }

    async fn through<T>(
        &self,
        schedule: &Schedule,
        node: Node,
        notices: bool,
        op: impl FnOnce(&MemoryRegistry) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let reached = || (*self.mode.lock(), self.cut.lock().contains(&node));
        let arrives = {
            let mut all = self.arrives.lock();
            let last = all.entry(node).or_insert_with(Instant::now);
            let next = *last + Duration::from_millis(1);
            *last = next.max(Instant::now() + Duration::from_millis(schedule.below(5)));
            *last
        };
        sleep_until(arrives).await;
        if self.broken.lock().contains(&node) {
            if notices {
                self.broken.lock().remove(&node);
            }
            return away();
        }
        match reached() {
            (Mode::Up, false) => {}
            (Mode::Fails, false) => return away(),
            _ => {
                sleep(DEADLINE).await;
                return away();
            }
        }
        let answer = op(&self.memory());
        sleep(Duration::from_millis(schedule.below(5))).await;
        if reached() != (Mode::Up, false) {
            saw("done and not answered");
            sleep(DEADLINE).await;
            return away();
        }
        answer
    }
}

/// What one life of a node has of it.
pub struct Client {
    pub node: Node,
    pub gate: Arc<Gate>,
    pub authority: Arc<Authority>,
    pub schedule: Schedule,
}

fn away<T>() -> Result<T, RegistryError> {
    Err(RegistryError::Unavailable { retry_after: Duration::from_secs(1) })
}

impl Client {
    fn call<T: Send + 'static>(
        &self,
        name: &'static str,
        op: impl FnOnce(&MemoryRegistry) -> Result<T, RegistryError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, RegistryError>> {
        let (node, gate) = (self.node, Arc::clone(&self.gate));
        let (authority, schedule) = (Arc::clone(&self.authority), self.schedule.clone());
        Box::pin(async move {
            gate.runs().await;
            *authority.count.lock().entry(name).or_default() += 1;
            let answer = authority.through(&schedule, node, name == "renew", op).await;
            gate.runs().await;
            if !matches!(name, "lookup" | "confirm") {
                let bad = answer.as_ref().err();
                notes(|| format!("{node} {name} {bad:?}"));
            }
            answer
        })
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("in memory nothing waits")
}

impl SessionRegistry for Client {
    fn bind<'a>(
        &'a self,
        user: &'a str,
        record: Record,
        limit: usize,
        taking: Taking,
    ) -> BoxFuture<'a, Result<Binding, RegistryError>> {
        let user = user.to_owned();
        self.call("bind", move |memory| now(memory.bind(&user, record, limit, taking)))
    }

    fn update<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
        seq: u64,
        priority: Option<i8>,
    ) -> BoxFuture<'a, Result<Held, RegistryError>> {
        let (user, resource) = (user.to_owned(), resource.to_owned());
        self.call(
            "update",
            move |memory| now(memory.update(&user, &resource, token, seq, priority)),
        )
    }

    fn unbind<'a>(
        &'a self,
        user: &'a str,
        resource: &'a str,
        token: Token,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        let (user, resource) = (user.to_owned(), resource.to_owned());
        self.call("unbind", move |memory| now(memory.unbind(&user, &resource, token)))
    }

    fn lookup<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<Records, RegistryError>> {
        let user = user.to_owned();
        self.call("lookup", move |memory| now(memory.lookup(&user)))
    }

    fn cached(&self, _: &str) -> Option<Records> {
        None
    }

    fn turn<'a>(
        &'a self,
        user: &'a str,
        token: Token,
        lasts: Duration,
    ) -> BoxFuture<'a, Result<bool, RegistryError>> {
        let user = user.to_owned();
        self.call("turn", move |memory| now(memory.turn(&user, token, lasts)))
    }

    fn forget(&self, _: &str) {}

    fn confirm(&self, mine: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>> {
        self.call("confirm", move |memory| now(memory.confirm(mine)))
    }
}

impl Leases for Client {
    fn renew<'a>(
        &'a self,
        me: &'a Member,
        term: Duration,
    ) -> BoxFuture<'a, Result<Roll, RegistryError>> {
        let me = me.clone();
        self.call("renew", move |memory| now(memory.renew(&me, term)))
    }

    fn leave<'a>(&'a self, me: &'a Member) -> BoxFuture<'a, Result<(), RegistryError>> {
        let me = me.clone();
        self.call("leave", move |memory| now(memory.leave(&me)))
    }

    fn reap(&self, node: Node, incarnation: u64) -> BoxFuture<'_, Result<bool, RegistryError>> {
        self.call("reap", move |memory| now(memory.reap(node, incarnation)))
    }

    fn sweep(
        &self,
        node: Node,
        incarnation: u64,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Entry>, RegistryError>> {
        self.call("sweep", move |memory| {
            let mut gone = now(memory.sweep(node, incarnation, limit))?;
            // a map's order is of no seed
            gone.sort_by(|a, b| a.user.cmp(&b.user));
            Ok(gone)
        })
    }
}
