//! How fast the registry in Redis is on this machine, with a server of its own:
//! `cargo run --release -p cluster --features testkit --example redis_bench`.
//!
//! Prints operations a second of one task and of 256, how long each takes, and what it costs in CPU; publishing again and sweeping 50,000 sessions.

use cluster::{
    Entry, Leases, Member, Record, RedisRegistry, SessionRegistry, Standing, Taking, Token,
    registry::redis::{Options, Servers},
    testkit::RedisServer,
};
use futures_util::future::join_all;
use std::{
    error::Error,
    future::Future,
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};
use supervision::{Node, SupervisorRef, SupervisorSpec, System};
use tokio::runtime::Builder;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const USERS: usize = 50_000;
const TASKS: usize = 256;
const TERM: Duration = Duration::from_secs(600);

fn main() -> Outcome<()> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run())
}

async fn start(server: &RedisServer) -> Outcome<(Arc<RedisRegistry>, SupervisorRef)> {
    let servers = Servers::One("127.0.0.1".to_owned(), server.port());
    let deadline = Duration::from_secs(20);
    let options = Options { servers, deadline, grace: Duration::ZERO, ..Options::default() };
    let registry = RedisRegistry::open(options).await?;
    let tree = SupervisorSpec::one_for_one().child(RedisRegistry::child(&registry));
    let root = System::new("bench").start(tree).await?;
    let ready = |shown: cluster::registry::redis::Shown| {
        shown.complete && shown.connected == shown.connections
    };
    while !ready(registry.shown()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok((registry, root))
}

/// Seconds of CPU that this process has used, and the server.
fn cpu(server: &RedisServer) -> Outcome<(f64, f64)> {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (mut theirs, info) = (0.0, server.say("INFO cpu")?);
    for line in info.lines() {
        let of = |name| line.strip_prefix(name);
        if let Some(used) = of("used_cpu_sys:").or_else(|| of("used_cpu_user:")) {
            theirs += used.parse::<f64>()?;
        }
    }
    Ok((used.tv_sec as f64 + used.tv_nsec as f64 / 1e9, theirs))
}

/// Runs an operation for each user, by so many tasks.
async fn each<F: Future>(
    what: &str,
    server: &RedisServer,
    tasks: usize,
    run: impl Fn(usize) -> F,
) -> Outcome<()> {
    let ((ours, theirs), began) = (cpu(server)?, Instant::now());
    let task = async |first: usize| {
        let mut took = Vec::new();
        for n in (first..USERS).step_by(tasks) {
            let began = Instant::now();
            run(n).await;
            took.push(began.elapsed());
        }
        took
    };
    let mut each: Vec<_> = join_all((0..tasks).map(task)).await.into_iter().flatten().collect();
    let took = began.elapsed().as_secs_f64();
    each.sort_unstable();
    let at = |part: usize| each.get(USERS * part / 100).copied().unwrap_or_default().as_secs_f64();
    let after = cpu(server)?;
    let per = |seconds: f64| seconds * 1e6 / USERS as f64;
    writeln!(
        io::stdout(),
        "{tasks:3} tasks: {what:20} {:>8.0}/s, p50 {:.3} ms, p99 {:.3} ms, redis {:5.1} us, client {:5.1} us",
        USERS as f64 / took,
        at(50) * 1e3,
        at(99) * 1e3,
        per(after.1 - theirs),
        per(after.0 - ours)
    )?;
    Ok(())
}

fn user(n: usize) -> String {
    format!("user{n}@example.org")
}

async fn run() -> Outcome<()> {
    let server = RedisServer::start(&[]).await?;
    let (one, root) = start(&server).await?;
    let (two, other) = start(&server).await?;
    let node = Node::new("bench")?;
    let me = Member {
        node,
        incarnation: 1,
        address: String::new(),
        version: String::new(),
        digest: 0,
        clock: 0,
        standing: Standing::Up,
        sessions: 0,
        confirmed: 0,
    };
    one.renew(&me, TERM).await?;
    let token = |n: usize| Token { node, incarnation: 1, session: n as u64 };
    let mine = |n: usize| Record { resource: "r".into(), token: token(n), priority: None, seq: 1 };
    for tasks in [1, TASKS] {
        let bind = async |n| one.bind(&user(n), mine(n), 10, Taking::Replace).await;
        each("bind", &server, tasks, bind).await?;
        let update = async |n| one.update(&user(n), "r", token(n), 2, Some(0)).await;
        each("update", &server, tasks, update).await?;
        let lookup = async |n| two.lookup(&user(n)).await;
        each("lookup", &server, tasks, lookup).await?;
        each("lookup, remembered", &server, tasks, lookup).await?;
        let unbind = async |n| one.unbind(&user(n), "r", token(n)).await;
        each("unbind", &server, tasks, unbind).await?;
    }
    for what in ["all lost", "none lost"] {
        let all = (0..USERS).map(|n| Entry { user: user(n).into(), record: mine(n) }).collect();
        let began = Instant::now();
        one.confirm(all).await?;
        writeln!(io::stdout(), "{USERS} confirmed, {what}: {:?}", began.elapsed())?;
    }
    one.leave(&me).await?;
    let began = Instant::now();
    while !two.sweep(node, 1, 1000).await?.is_empty() {}
    writeln!(io::stdout(), "{USERS} swept: {:?}", began.elapsed())?;
    root.stop().await;
    other.stop().await;
    Ok(())
}
