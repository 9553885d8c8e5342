//! A tree whose database comes and goes: who needs it waits for it and starts again with it, who does
//! not need it never notices. Time is simulated, it ends at once.
//!
//! `cargo run -p supervision --example dependency`
#![expect(clippy::print_stdout, reason = "a program")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use supervision::{
    ChildSpec, Cx, Event, Exit, InitError, Process, SupervisorSpec, System, system::Change,
};

/// What is outside: the database is up, or it is not.
type Database = Arc<AtomicBool>;

/// Keeps a connection to it.
struct Connection(Database);

impl Process for Connection {
    type Args = Database;
    type Msg = ();
    const NAME: &'static str = "connection";

    async fn init(database: Database, _: &mut Cx<()>) -> Result<Self, InitError> {
        if !database.load(Ordering::Acquire) {
            return Err(InitError::failed("connection refused"));
        }
        Ok(Self(database))
    }

    async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
        loop {
            cx.idle_after(Duration::from_secs(1), ());
            match cx.next().await {
                Event::Exit { reason, .. } => return reason,
                Event::Msg(()) if !self.0.load(Ordering::Acquire) => {
                    return Exit::error("connection lost");
                }
                Event::Msg(()) | Event::Down { .. } => {}
            }
        }
    }
}

/// Does something, with or without a database.
struct Worker;

impl Process for Worker {
    type Args = ();
    type Msg = ();
    const NAME: &'static str = "worker";

    async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> {
        Ok(Self)
    }

    async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
        loop {
            if let Event::Exit { reason, .. } = cx.next().await {
                return reason;
            }
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::new("demo");
    let clock = tokio::time::Instant::now();
    system.observe(move |change| {
        let at = clock.elapsed().as_secs_f64();
        match change {
            Change::Started(pid) => println!("{at:6.1} s  start {}", pid.path()),
            Change::Ended(pid, exit) => println!("{at:6.1} s  end   {}: {exit}", pid.path()),
        }
    });
    let database = Database::default();
    let known = Arc::clone(&database);
    let storage = SupervisorSpec::rest_for_one()
        .child(
            ChildSpec::process::<Connection>("connection", move || Arc::clone(&known))
                .backoff(Duration::from_secs(1), Duration::from_secs(8)),
        )
        .child(ChildSpec::process::<Worker>("cache", || ()));
    let root = SupervisorSpec::one_for_one()
        .intensity(0, Duration::from_secs(5))
        .child(ChildSpec::supervisor("storage", storage))
        .child(ChildSpec::process::<Worker>("web", || ()));

    println!("The database is down; the tree starts all the same.");
    let root = system.start(root).await?;
    let pass = |s| tokio::time::sleep(Duration::from_secs(s));
    pass(20).await;
    println!("It comes up.");
    database.store(true, Ordering::Release);
    pass(20).await;
    println!("It goes down.");
    database.store(false, Ordering::Release);
    pass(5).await;
    println!("And up again.");
    database.store(true, Ordering::Release);
    pass(10).await;
    println!("Stop.");
    root.stop().await;
    Ok(())
}
