//! How fast the MongoDB store is on this machine, with servers of its own:
//! `cargo run --release -p storage --example mongo_bench [MEMBERS]`.
//!
//! Prints messages a second (each kept for a session, and acknowledged) with 1, 16 and 64 that wait at a time, for as many
//! users and for one; reads a second; and the time to create 10,000 accounts. The servers use the same CPUs.

use std::{
    error::Error,
    io::{self, Write},
    sync::Arc,
    time::Instant,
};
use storage::{
    Account, AccountStore, MongoStore, OfflineLimits, OfflineStore, RosterChange, RosterItem,
    RosterStore, Sessions, mongo::Options, testkit::ReplicaSet,
};
use supervision::{SupervisorSpec, System};
use tokio::{runtime::Builder, sync::Mutex};
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
    stanza::Stanza,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const MESSAGES: usize = 3000;
const READS: usize = 5000;
const CONTACTS: u64 = 40;

fn main() -> Outcome<()> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run())
}

async fn run() -> Outcome<()> {
    let members = std::env::args().nth(1).map_or(Ok(1), |members| members.parse())?;
    let set = ReplicaSet::start(members).await?;
    let options = Options { deadline: std::time::Duration::from_secs(30), ..set.options("bench") };
    let store = MongoStore::open(options).await?;
    let tree = SupervisorSpec::one_for_one().child(MongoStore::child(&store));
    let root = System::new("bench").start(tree).await?;
    accounts(&store).await?;
    for (waiting, users) in [(1, 1), (16, 16), (64, 64), (64, 1)] {
        messages(&store, waiting, users).await?;
    }
    reads(&store).await?;
    root.stop().await;
    Ok(())
}

fn user(n: usize) -> Outcome<BareJid> {
    Ok(format!("user{n}@example.org").parse()?)
}

async fn accounts(store: &MongoStore) -> Outcome<()> {
    let keys = [Hash::Sha1, Hash::Sha256, Hash::Sha512];
    let keys = keys.into_iter().filter_map(|hash| ScramKeys::derive(hash, "x", b"salt", 1));
    let account = Account { keys: keys.collect(), created: 1, ..Account::default() };
    let new: Outcome<Vec<_>> = (0..10_000).map(|n| Ok((user(n)?, account.clone()))).collect();
    let since = Instant::now();
    store.create(new?).await?;
    print("create 10,000 accounts", 10_000, since)
}

/// One after the other, as long as there are any left.
async fn worker(store: &MongoStore, left: &Mutex<usize>, users: usize) -> Outcome<()> {
    let body = "x".repeat(300);
    let xml = format!("<message from='a@example.org/r' type='chat'><body>{body}</body></message>");
    let stanza = Stanza::parse(xml.as_bytes()).ok_or("not a stanza")?;
    loop {
        let mut left = left.lock().await;
        let Some(next) = left.checked_sub(1) else { return Ok(()) };
        *left = next;
        drop(left);
        let (user, key) = (user(next % users)?, "k".to_owned());
        let new = vec![(1, stanza.clone())];
        let limits = OfflineLimits::messages(1000);
        let ids = store.append(&user, vec![key.clone()], new, limits, None).await?;
        store.acknowledge(&user, &key, ids).await?;
    }
}

async fn messages(store: &Arc<MongoStore>, waiting: usize, users: usize) -> Outcome<()> {
    let count = if waiting == 1 { MESSAGES / 10 } else { MESSAGES };
    let left = Mutex::new(count);
    let since = Instant::now();
    let mut all: Vec<_> =
        (0..waiting).map(|_| Some(Box::pin(worker(store, &left, users)))).collect();
    std::future::poll_fn(|cx| {
        for slot in &mut all {
            if let Some(worker) = slot
                && let std::task::Poll::Ready(done) = worker.as_mut().poll(cx)
            {
                *slot = None;
                done?;
            }
        }
        let done = all.iter().all(Option::is_none);
        if done { std::task::Poll::Ready(Outcome::Ok(())) } else { std::task::Poll::Pending }
    })
    .await?;
    print(&format!("message, {waiting} waiting, users: {users}"), count, since)
}

async fn reads(store: &MongoStore) -> Outcome<()> {
    let one = user(0)?;
    for ver in 0..CONTACTS {
        let put = RosterChange::Put(RosterItem::new(format!("c{ver}@example.org").parse()?));
        store.change(&one, ver, put, 1000).await?;
    }
    let since = Instant::now();
    for n in 0..READS {
        AccountStore::get(store, &user(n)?).await?;
    }
    print("read an account", READS, since)?;
    let since = Instant::now();
    for _ in 0..READS / 5 {
        RosterStore::get(store, &one).await?;
    }
    print(&format!("read a roster of {CONTACTS}"), READS / 5, since)?;
    let since = Instant::now();
    for n in 0..READS / 5 {
        OfflineStore::page(store, &user(n)?, 0, 100, usize::MAX).await?;
    }
    print("look for offline messages", READS / 5, since)
}

fn print(what: &str, count: usize, since: Instant) -> Outcome<()> {
    let (n, wall) = (f64::from(u32::try_from(count)?), since.elapsed().as_secs_f64());
    let line =
        format!("{what:<34} {wall:7.2} s {:10.0} /s {:8.2} ms each", n / wall, wall / n * 1e3);
    Ok(writeln!(io::stdout(), "{line}")?)
}
