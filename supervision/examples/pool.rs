//! A pool of a thousand workers, a tenth of which crash: nobody else notices.
//!
//! `cargo run -p supervision --example pool`
#![expect(clippy::print_stdout, reason = "a program")]

use std::time::Duration;
use supervision::{
    CallError, ChildSpec, Cx, Event, Exit, InitError, PoolRef, PoolSpec, Process, Reply,
    SupervisorSpec, System, TreeNode, testkit::ended,
};

/// Answers until it is asked for something that is a multiple of ten.
struct Worker(u64);

impl Process for Worker {
    type Args = u64;
    type Msg = Reply<u64>;
    const NAME: &'static str = "worker";

    async fn init(number: u64, _: &mut Cx<Reply<u64>>) -> Result<Self, InitError> {
        Ok(Self(number))
    }

    async fn run(&mut self, cx: &mut Cx<Reply<u64>>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(reply) => {
                    cx.record(format!("asked number {}", self.0).as_str());
                    assert!(!self.0.is_multiple_of(10), "I do not like {}", self.0);
                    reply.send(self.0);
                }
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }
}

fn print(node: &TreeNode, depth: usize) {
    let pooled =
        if node.pooled > 0 { format!(" with {} children", node.pooled) } else { String::new() };
    println!("  {}{} ({}){pooled}", "  ".repeat(depth), node.process.path, node.process.kind);
    node.children.iter().for_each(|child| print(child, depth + 1));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::new("demo");
    let root = SupervisorSpec::one_for_one().child(ChildSpec::pool::<Worker>(
        "workers",
        "workers",
        PoolSpec::default(),
    ));
    let root = system.start(root).await?;
    let pool = PoolRef::<Worker>::find(&system, "workers").ok_or("no pool")?;

    let mut workers = Vec::new();
    for number in 1..=1000 {
        workers.push(pool.start(number).await?);
    }
    system.tree().iter().for_each(|node| print(node, 0));

    let (mut answers, mut gone) = (0, 0);
    for worker in &workers {
        match worker.call(|reply| reply, Duration::from_secs(5)).await {
            Ok(_) => answers += 1,
            Err(CallError::Gone(Some(Exit::Crash(_)))) => {
                ended(worker.pid()).await;
                gone += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    println!("{answers} answers, {gone} crashed while they were asked, {} go on", pool.len());
    println!(
        "{} crashes, {} reports kept, e.g.",
        system.crashes().count(),
        system.crashes().list().len()
    );
    if let Some(report) = system.crashes().get(1) {
        println!("  {}: {} {:?}", report.path, report.reason, report.inputs);
    }
    println!("restarts: {} (a pool's children live once)", system.restarts());
    root.stop().await;
    println!("stopped, {} processes are left", system.alive());
    Ok(())
}
