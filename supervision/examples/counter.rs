//! A counter as a server: cast, call, a crash, and the fresh one in its place.
//!
//! `cargo run -p supervision --example counter`
#![expect(clippy::print_stdout, reason = "a program")]

use std::time::Duration;
use supervision::{
    ChildSpec, Cx, InitError, Next, Reply, Server, SupervisorSpec, System, testkit::restarted,
};

struct Counter(u64);

enum Ask {
    Add(u64),
    Read(Reply<u64>),
    Divide(u64),
}

impl Server for Counter {
    type Args = u64;
    type Msg = Ask;
    const NAME: &'static str = "counter";

    async fn init(start: u64, cx: &mut Cx<Ask>) -> Result<Self, InitError> {
        cx.register("counter")?;
        Ok(Self(start))
    }

    async fn handle(&mut self, ask: Ask, cx: &mut Cx<Ask>) -> Next {
        match ask {
            Ask::Add(n) => self.0 += n,
            Ask::Read(reply) => reply.send(self.0),
            Ask::Divide(by) => {
                cx.record(format!("divide {} by {by}", self.0).as_str());
                self.0 /= by;
            }
        }
        Next::Continue
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let second = Duration::from_secs(1);
    let system = System::new("demo");
    let root = SupervisorSpec::one_for_one().child(ChildSpec::server::<Counter>("counter", || 40));
    let root = system.start(root).await?;

    let counter = system.lookup::<Ask>("counter").ok_or("no counter")?;
    counter.cast(Ask::Add(2))?;
    println!("40 + 2 = {}", counter.call(Ask::Read, second).await?);

    counter.cast(Ask::Divide(0))?;
    restarted(counter.pid()).await;
    println!("a call to the old one: {:?}", counter.call(Ask::Read, second).await);
    for report in system.crashes().list() {
        println!("crash {}: {} in {}: {:?}", report.id, report.reason, report.path, report.inputs);
    }
    let counter = system.lookup::<Ask>("counter").ok_or("no counter")?;
    println!("the new one begins again: {}", counter.call(Ask::Read, second).await?);

    println!("stopped: {}, {} processes are left", root.stop().await, system.alive());
    Ok(())
}
