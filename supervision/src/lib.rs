//! OTP supervision for Rust: processes that crash alone, and trees that start them again.
//!
//! In reading order: [`exit`] (why a process ended) · [`id`] · [`pid`] (addresses, links, monitors, exit
//! signals) · [`inbox`] (typed addresses, bounds) · [`process`] (owns its loop) · [`server`] (one
//! message at a time) · [`state_machine`] · [`timer`] · [`task`] · [`threads`] · [`topic`] · [`spec`] and [`decide`]
//! (what is to be restarted, pure) · [`supervisor`] and [`pool`] · [`crash`] and [`replay`] · [`dist`] (processes on other nodes) · [`sys`],
//! [`system`], [`tree`] and [`restarts`] (what runs, seen from outside) · [`schedule`] and [`testkit`]. `README.md` is the dictionary
//! from OTP's words.
//!
//! Files import downwards: what is only data (`crash`, `exit`, `id`, `policy`, `restarts`, `watch`) · `pid` and `system`, which know
//! each other, and are the only circle · addresses, timers, names, `start_error`, `sys`, what a process may do (`cx`) · `process`, and `actor`,
//! the engine that is ractor · `dist`, which `pid` knows only as what carries signals · behaviours · `spec`, `supervisor`, `pool` · `start`, which knows all of them.
//!
//! Two engines, one process model: a server, state machine or supervisor runs as a ractor actor or as a lean task, as its
//! specification says ([`ChildSpec::engine`]), and a [`process::Process`] is a lean task. Either way it has the same life, and the
//! same loop; the engine only polls it.
//! The crate knows no XMPP; it is the only one that starts tasks (law 1) and that names ractor.
//!
//! ```
//! use supervision::{ChildSpec, Cx, Exit, InitError, Next, Server, SupervisorSpec, System};
//!
//! struct Counter(u64);
//! enum Ask { Add(u64), Read(supervision::Reply<u64>) }
//!
//! impl Server for Counter {
//!     type Args = u64;
//!     type Msg = Ask;
//!     const NAME: &'static str = "counter";
//!     async fn init(start: u64, cx: &mut Cx<Ask>) -> Result<Self, InitError> {
//!         cx.register("counter")?;
//!         Ok(Self(start))
//!     }
//!     async fn handle(&mut self, msg: Ask, _: &mut Cx<Ask>) -> Next {
//!         match msg {
//!             Ask::Add(n) => self.0 += n,
//!             Ask::Read(reply) => reply.send(self.0),
//!         }
//!         Next::Continue
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let system = System::new("demo");
//! let root = SupervisorSpec::one_for_one().child(ChildSpec::server::<Counter>("counter", || 40));
//! let root = system.start(root).await.unwrap();
//! let counter = system.lookup::<Ask>("counter").unwrap();
//! counter.cast(Ask::Add(2)).unwrap();
//! let deadline = std::time::Duration::from_secs(1);
//! assert_eq!(counter.call(Ask::Read, deadline).await, Ok(42));
//! root.stop().await;
//! assert_eq!(system.alive(), 0);
//! # });
//! ```

mod actor;
mod bell;
mod caught;
pub mod crash;
mod cx;
pub mod decide;
pub mod dist;
mod event;
pub mod exit;
pub mod id;
pub mod inbox;
mod life;
mod names;
pub mod pid;
mod policy;
pub mod pool;
pub mod process;
pub mod replay;
pub mod restarts;
pub mod schedule;
pub mod server;
pub mod spec;
mod start;
mod start_error;
pub mod state_machine;
mod stop;
pub mod supervisor;
mod supervisor_ref;
pub mod sys;
pub mod system;
pub mod task;
pub mod testkit;
pub mod threads;
pub mod timer;
pub mod topic;
pub mod tree;
mod watch;

pub use crash::{CrashLog, CrashReport, Recorded, SupervisorReport};
pub use cx::Cx;
pub use dist::{Far, Remote};
pub use event::Event;
pub use exit::Exit;
pub use id::{Id, Node};
pub use inbox::{CallError, CastError, NameRef, Overflow, Ref, RefError, Reply};
pub use names::RegisterError;
pub use pid::{GroupEvent, Local, Monitor, NodeEvent, Pid};
pub use policy::{AutoShutdown, Backoff, Engine, Intensity, Kind, Restart, Shutdown, Strategy};
pub use pool::{Pool, PoolRef, PoolSpec};
pub use process::Process;
pub use server::{Next, Server};
pub use spec::{ChildSpec, Place, Started, SupervisorSpec};
pub use start_error::{InitError, StartError};
pub use state_machine::{Actions, StateMachine, Step};
pub use supervisor::{ChildError, ChildInfo, ChildSpecInfo, ChildState, Counts, SupervisorRef};
pub use system::System;
pub use task::{Task, TaskError, Tasks};
pub use threads::{Queue, Thread};
pub use timer::Timer;
pub use topic::Topic;
pub use tree::{ProcessInfo, TreeNode};
