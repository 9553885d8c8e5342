//! How fast the embedded store is on this machine: `cargo run --release -p storage --example bench`.
//!
//! Prints appends a second and CPU per append with 1, 16 and 64 that wait at a time, reads a second
//! from the file and from the cache, and the time to create 10,000 accounts.

use std::{
    convert::Infallible,
    error::Error,
    fs,
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};
use storage::{
    Account, AccountStore, OfflineLimits, OfflineStore, RosterChange, RosterItem, RosterStore,
    SqliteStore, sqlite::Options,
};
use supervision::{ChildSpec, Cx, Exit, InitError, Process, Restart, SupervisorSpec, System};
use tokio::{runtime::Builder, sync::mpsc};
use xmpp::{
    jid::BareJid,
    sasl::{Hash, ScramKeys},
    stanza::Stanza,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

const APPENDS: usize = 30_000;
const READS: usize = 50_000;
const USERS: usize = 1000;
const CONTACTS: u64 = 40;

fn main() -> Outcome<()> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run())
}

async fn run() -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let uncached = Options { cached_users: 0, cached_contacts: 0, ..Options::default() };
    for (name, options) in [("cached", Options::default()), ("uncached", uncached)] {
        let store = SqliteStore::open(&dir.path().join(name), options)?;
        let system = System::new("bench");
        let tree = SupervisorSpec::one_for_one().child(SqliteStore::child(&store));
        let root = system.start(tree).await?;
        accounts(&store).await?;
        if name == "cached" {
            for waiting in [1, 16, 64] {
                appends(&system, &store, waiting).await?;
            }
        }
        reads(&store, name).await?;
        root.stop().await;
    }
    Ok(())
}

fn user(n: usize) -> Outcome<BareJid> {
    Ok(format!("user{n}@example.org").parse()?)
}

async fn accounts(store: &SqliteStore) -> Outcome<()> {
    let keys = [Hash::Sha1, Hash::Sha256, Hash::Sha512];
    let keys = keys.into_iter().filter_map(|hash| ScramKeys::derive(hash, "x", b"salt", 1));
    let account = Account { keys: keys.collect(), created: 1, ..Account::default() };
    let mut new = Vec::new();
    for n in 0..10_000 {
        new.push((user(n)?, account.clone()));
    }
    let watch = Watch::start();
    store.create(new).await?;
    watch.print("create 10,000 accounts", 10_000)
}

/// One of those that push, to their users in turn, and wait.
struct Pusher {
    store: Arc<SqliteStore>,
    users: Vec<BareJid>,
    stanza: Stanza,
    count: usize,
    done: mpsc::Sender<()>,
}

impl Process for Pusher {
    type Args = Self;
    type Msg = Infallible;
    const NAME: &'static str = "pusher";

    async fn init(args: Self, _: &mut Cx<Infallible>) -> Result<Self, InitError> {
        Ok(args)
    }

    async fn run(&mut self, _: &mut Cx<Infallible>) -> Exit {
        let limits = OfflineLimits::messages(1000);
        for user in self.users.iter().cycle().take(self.count) {
            let pushed = self.store.push(user, 1, self.stanza.clone(), limits).await;
            if let Err(error) = pushed {
                return Exit::error(&error.to_string());
            }
        }
        // the receiver waits for all
        self.done.send(()).await.ok();
        Exit::Normal
    }
}

async fn appends(system: &System, store: &Arc<SqliteStore>, waiting: usize) -> Outcome<()> {
    let body = "x".repeat(300);
    let xml = format!("<message from='a@example.org/r' type='chat'><body>{body}</body></message>");
    let stanza = Stanza::parse(xml.as_bytes()).ok_or("not a stanza")?;
    let (done, mut all) = mpsc::channel(waiting);
    let mut tree = SupervisorSpec::one_for_one();
    let count = if waiting == 1 { APPENDS / 10 } else { APPENDS / waiting };
    for n in 0..waiting {
        let (store, stanza, done) = (Arc::clone(store), stanza.clone(), done.clone());
        let first = 1_000_000 + (waiting * 1000 + n) * 100;
        let users = (first..first + 100).map(user).collect::<Outcome<Vec<_>>>()?;
        let new = users.iter().map(|user| (user.clone(), Account::default()));
        store.create(new.collect()).await?;
        let args = move || Pusher {
            store: Arc::clone(&store),
            users: users.clone(),
            stanza: stanza.clone(),
            count,
            done: done.clone(),
        };
        let child = ChildSpec::process::<Pusher>(&format!("pusher-{n}"), args);
        tree = tree.child(child.restart(Restart::Temporary));
    }
    let watch = Watch::start();
    let root = system.start(tree).await?;
    for _ in 0..waiting {
        all.recv().await.ok_or("a pusher ended")?;
    }
    watch.print(&format!("append, {waiting} waiting"), count * waiting)?;
    root.stop().await;
    Ok(())
}

async fn reads(store: &SqliteStore, name: &str) -> Outcome<()> {
    let users = (0..USERS).map(user).collect::<Outcome<Vec<_>>>()?;
    for user in users.iter().take(100) {
        for ver in 0..CONTACTS {
            let put = RosterChange::Put(RosterItem::new(format!("c{ver}@example.org").parse()?));
            store.change(user, ver, put, 1000).await?;
        }
    }
    let watch = Watch::start();
    for n in 0..READS {
        if let Some(user) = users.get(n % USERS) {
            AccountStore::get(store, user).await?;
        }
    }
    watch.print(&format!("read an account, {name}"), READS)?;
    let watch = Watch::start();
    for n in 0..READS / 5 {
        if let Some(user) = users.get(n % 100) {
            RosterStore::get(store, user).await?;
        }
    }
    watch.print(&format!("read a roster of {CONTACTS}, {name}"), READS / 5)
}

/// Wall clock and CPU of the process.
struct Watch {
    wall: Instant,
    cpu: Duration,
}

impl Watch {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: cpu() }
    }

    fn print(self, what: &str, count: usize) -> Outcome<()> {
        let n = f64::from(u32::try_from(count)?);
        let (wall, cpu) = (self.wall.elapsed().as_secs_f64(), (cpu() - self.cpu).as_secs_f64());
        let (rate, each) = (n / wall, cpu / n * 1e6);
        let line = format!("{what:<34} {wall:7.2} s {rate:10.0} /s {each:8.1} us CPU each");
        Ok(writeln!(io::stdout(), "{line}")?)
    }
}

/// User and system time in ticks of 10 ms (`proc(5)`, fields 14 and 15).
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2);
    Duration::from_millis(ticks.filter_map(|t| t.parse::<u64>().ok()).sum::<u64>() * 10)
}
