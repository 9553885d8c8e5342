//! Fills the registry in a Redis with sessions of a node that is there, which knows nothing of them:
//! `redis_fill HOST:PORT PREFIX NODE INCARNATION HOW_MANY` (with `cargo run --release -p cluster --example redis_fill --`).

use cluster::{
    Entry, Record, RedisRegistry, SessionRegistry, Token,
    registry::redis::{Options, Servers},
};
use std::{env::args, error::Error, io::Write, time::Duration};
use supervision::{Node, SupervisorSpec, System};
use tokio::runtime::Builder;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How many are published at once.
const PAGE: u64 = 50_000;

fn main() -> Outcome<()> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(run())
}

async fn run() -> Outcome<()> {
    let words: Vec<String> = args().skip(1).collect();
    let [redis, prefix, node, incarnation, many] = words.as_slice() else {
        return Err("redis_fill HOST:PORT PREFIX NODE INCARNATION HOW_MANY".into());
    };
    let (host, port) = redis.rsplit_once(':').ok_or("no port")?;
    let servers = Servers::One(host.to_owned(), port.parse()?);
    let (prefix, deadline) = (prefix.clone(), Duration::from_secs(20));
    let options = Options { servers, prefix, deadline, ..Options::default() };
    let registry = RedisRegistry::open(options).await?;
    let tree = SupervisorSpec::one_for_one().child(RedisRegistry::child(&registry));
    let root = System::new("fill").start(tree).await?;
    while !registry.shown().complete {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (node, incarnation, many) =
        (Node::new(node)?, incarnation.parse::<u64>()?, many.parse::<u64>()?);
    let entry = |n: u64| {
        let token = Token { node, incarnation, session: (1 << 40) + n };
        let record = Record { resource: "r".into(), token, priority: Some(0), seq: 1 };
        Entry { user: format!("somebody{n}@localhost").into(), record }
    };
    for first in (0..many).step_by(usize::try_from(PAGE)?) {
        let page = (first..many.min(first + PAGE)).map(entry).collect();
        let others = registry.confirm(page).await?;
        if let Some(other) = others.first() {
            return Err(format!("{} has a session already", other.user).into());
        }
    }
    writeln!(std::io::stdout(), "{many}")?;
    root.stop().await;
    Ok(())
}
