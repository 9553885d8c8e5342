//! A key-value server and a cache in front of it: each is killed once.
//!
//! `cargo run -p supervision --example kv`
#![expect(clippy::print_stdout, reason = "a program")]

use std::{collections::HashMap, time::Duration};
use supervision::{
    ChildSpec, Cx, Exit, InitError, NameRef, Next, Reply, Server, SupervisorSpec, System,
    testkit::restarted,
};

const SECOND: Duration = Duration::from_secs(1);

enum Ask {
    Put(&'static str, u64),
    Get(&'static str, Reply<Option<u64>>),
}

/// Behind a cache there is one it asks.
struct Keys(HashMap<&'static str, u64>, Option<NameRef<Ask>>);

impl Server for Keys {
    type Args = (&'static str, Option<NameRef<Ask>>);
    type Msg = Ask;
    const NAME: &'static str = "keys";
    async fn init((name, behind): Self::Args, cx: &mut Cx<Ask>) -> Result<Self, InitError> {
        cx.register(name)?;
        Ok(Self(HashMap::new(), behind))
    }

    async fn handle(&mut self, ask: Ask, _: &mut Cx<Ask>) -> Next {
        let Self(known, behind) = self;
        match (ask, behind) {
            (Ask::Put(key, value), Some(store)) if store.cast(Ask::Put(key, value)).is_err() => {
                return Next::Stop(Exit::error("no store"));
            }
            (Ask::Put(key, value), _) => drop(known.insert(key, value)),
            (Ask::Get(key, reply), Some(store)) if !known.contains_key(key) => {
                if let Ok(found) = store.call(|reply| Ask::Get(key, reply), SECOND).await {
                    known.extend(found.map(|value| (key, value)));
                    reply.send(found);
                }
            }
            (Ask::Get(key, reply), _) => reply.send(known.get(key).copied()),
        }
        Next::Continue
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::new("demo");
    let (store, cache) = (system.named::<Ask>("store"), system.named::<Ask>("cache"));
    let behind = store.clone();
    let root = SupervisorSpec::rest_for_one()
        .intensity(2, SECOND)
        .child(ChildSpec::server::<Keys>("store", || ("store", None)))
        .child(ChildSpec::server::<Keys>("cache", move || ("cache", Some(behind.clone()))));
    let root = system.start(root).await?;
    cache.cast(Ask::Put("answer", 42))?;
    println!("put, and got: {:?}", cache.call(|r| Ask::Get("answer", r), SECOND).await?);
    for (what, of) in [("cache", &cache), ("store", &store)] {
        let (killed, last) = (of.get()?.pid().clone(), cache.get()?.pid().clone());
        killed.kill();
        restarted(&last).await;
        println!("no {what}: {:?}", cache.call(|r| Ask::Get("answer", r), SECOND).await?);
    }
    println!("stopped: {}", root.stop().await);
    Ok(())
}
