//! A process that does what it is told, as a process and as a server; and on what the servers of these tests run.
#![allow(dead_code, reason = "each test file uses some of it")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

pub mod talk;

use std::{sync::Arc, time::Duration};
use supervision::{
    ChildSpec, Cx, Engine, Event, Exit, InitError, Local, Next, Process, Ref, Reply, Restart,
    Server, Shutdown, SupervisorRef, SupervisorSpec, System, schedule::Schedule, testkit,
};

/// What a puppet is told.
pub enum Do {
    Panic(&'static str),
    Exit(Exit),
    Link(Local),
    Unlink(Local),
    Trap(bool),
    Echo(u32, Reply<u32>),
    /// Never answers.
    Ignore(Reply<u32>),
    /// Waits for ever in the handler.
    Hang,
    /// The same, with something that panics when it is dropped.
    HangWith(&'static str),
    Record(&'static str),
}

#[derive(Clone, Default)]
pub struct Plan {
    pub trap: bool,
    pub init: Option<&'static str>,
    pub terminate: Option<&'static str>,
    /// Panics when it is dropped.
    pub dropped: Option<&'static str>,
    /// Told when `terminate` runs.
    pub ended: Option<tokio::sync::mpsc::Sender<Exit>>,
}

pub struct Puppet(Plan);

impl Drop for Puppet {
    fn drop(&mut self) {
        if let Some(text) = self.0.dropped {
            panic!("{text}");
        }
    }
}

fn init(plan: Plan, cx: &mut Cx<Do>) -> Result<Puppet, InitError> {
    cx.trap_exit(plan.trap);
    match plan.init {
        Some("ignore") => Err(InitError::Ignore),
        Some("refuse") => Err(InitError::failed("refused")),
        Some(text) => panic!("{text}"),
        None => Ok(Puppet(plan)),
    }
}

impl Puppet {
    async fn act(&mut self, what: Do, cx: &mut Cx<Do>) -> Option<Exit> {
        match what {
            Do::Panic(text) => panic!("{text}"),
            Do::Exit(exit) => return Some(exit),
            Do::Link(pid) => cx.pid().link(&pid),
            Do::Unlink(pid) => cx.pid().unlink(&pid),
            Do::Trap(trap) => cx.trap_exit(trap),
            Do::Echo(n, reply) => reply.send(n),
            Do::Ignore(reply) => {
                let _kept = reply;
                std::future::pending::<()>().await;
            }
            Do::Hang => std::future::pending::<()>().await,
            Do::HangWith(dropped) => {
                let _held = Self(Plan { dropped: Some(dropped), ..Plan::default() });
                std::future::pending::<()>().await;
            }
            Do::Record(text) => cx.record(text),
        }
        None
    }

    async fn last(&mut self, why: &Exit) {
        if let Some(ended) = &self.0.ended {
            let _ = ended.send(why.clone()).await;
        }
        if let Some(text) = self.0.terminate {
            panic!("{text}");
        }
    }
}

impl Process for Puppet {
    type Args = Plan;
    type Msg = Do;
    const NAME: &'static str = "puppet";
    const INBOX: usize = 4;

    async fn init(plan: Plan, cx: &mut Cx<Do>) -> Result<Self, InitError> {
        init(plan, cx)
    }

    async fn run(&mut self, cx: &mut Cx<Do>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(what) => {
                    if let Some(exit) = self.act(what, cx).await {
                        return exit;
                    }
                }
                Event::Exit { from, reason } if cx.is_parent(&from) => return reason,
                Event::Exit { .. } | Event::Down { .. } => {}
            }
        }
    }

    async fn terminate(&mut self, why: &Exit, _: &mut Cx<Do>) {
        self.last(why).await;
    }
}

/// The same as a server.
pub struct Serving(Puppet);

impl Server for Serving {
    type Args = Plan;
    type Msg = Do;
    const NAME: &'static str = "serving";
    const INBOX: usize = 4;

    async fn init(plan: Plan, cx: &mut Cx<Do>) -> Result<Self, InitError> {
        init(plan, cx).map(Self)
    }

    async fn handle(&mut self, what: Do, cx: &mut Cx<Do>) -> Next {
        self.0.act(what, cx).await.map_or(Next::Continue, Next::Stop)
    }

    async fn terminate(&mut self, why: &Exit, _: &mut Cx<Do>) {
        self.0.last(why).await;
    }
}

/// As what a puppet is started.
#[derive(Clone, Copy, Debug)]
pub enum What {
    Process,
    Server,
}

pub const BOTH: [What; 2] = [What::Process, What::Server];

/// On what servers and machines run: the program `lean` has the same tests with lean ones.
pub fn engine() -> Engine {
    if env!("CARGO_CRATE_NAME") == "lean" { Engine::Lean } else { Engine::Ractor }
}

/// A system with that engine.
pub fn system(name: &str) -> System {
    let system = System::new(name);
    system.set_engine(engine());
    system
}

/// The same in the order of a schedule.
pub fn scheduled(name: &str, schedule: Schedule) -> System {
    let system = System::scheduled(name, schedule);
    system.set_engine(engine());
    system
}

/// A kit with that engine.
pub async fn server<S: Server>(
    id: &str,
    args: impl Fn() -> S::Args + Send + Sync + 'static,
) -> testkit::Kit<S::Msg> {
    testkit::server_on::<S>(engine(), id, args).await
}

/// A tree with a supervisor to start puppets under.
pub struct World {
    pub system: System,
    pub root: SupervisorRef,
}

pub async fn world() -> World {
    let system = system("test");
    let root = system.start(SupervisorSpec::one_for_one().intensity(100, SECOND)).await.unwrap();
    World { system, root }
}

pub const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// Starts a temporary puppet named `id`.
    pub async fn puppet(&self, what: What, id: &str, plan: Plan) -> Ref<Do> {
        self.start(what, id, plan).await.unwrap()
    }

    pub async fn start(
        &self,
        what: What,
        id: &str,
        plan: Plan,
    ) -> Result<Ref<Do>, supervision::ChildError> {
        let slot: Arc<parking_lot::Mutex<Option<Ref<Do>>>> = Arc::default();
        let keep = Arc::clone(&slot);
        let child = ChildSpec::new(id, move |place| {
            let (plan, keep) = (plan.clone(), Arc::clone(&keep));
            async move {
                let started = match what {
                    What::Process => place.process::<Puppet>(plan).await?,
                    What::Server => place.server::<Serving>(plan).await?,
                };
                let pid = started.pid().clone();
                *keep.lock() = Some(started);
                Ok(supervision::Started::Up(pid))
            }
        });
        let child = child.restart(Restart::Temporary).shutdown(Shutdown::Timeout(SECOND));
        self.root.start_child(child).await?;
        let started = slot.lock().take();
        started.ok_or(supervision::ChildError::NotFound)
    }

    /// Stops everything; nothing may be left.
    pub async fn stop(self) {
        self.root.stop().await;
        assert_eq!(self.system.alive(), self.system.pids().len());
        assert_eq!(
            self.system.tree().iter().map(supervision::TreeNode::count).sum::<usize>(),
            self.system.alive()
        );
    }
}

/// Lets others run until that is so.
pub async fn until(mut is: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never comes to that");
}
