//! Replays a scenario on our supervisor and says what happened, as the oracle does on OTP's.
//!
//! In paused time on one thread: a sleep returns only when no process can do anything, so a rest is
//! known, not guessed; and children that hang cost no time.

use crate::scenario::{Child, Event, Outcome, Reason, Scenario, Step, Stop, Sup, Trace};
use parking_lot::Mutex;
use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};
use supervision::{
    ChildError, ChildSpec, ChildState, Cx, Engine, Event as Told, Exit, InitError, Kind, Local,
    Place, Process, Ref, StartError, Started, Strategy, SupervisorRef, SupervisorSpec, System,
    system::Change,
};

/// What is known of the processes that were started.
#[derive(Default)]
struct Book {
    /// Starts of a key, failed ones included.
    attempts: HashMap<String, u64>,
    /// Instances of a template.
    instances: HashMap<String, u64>,
    /// Starts by the plan of a child, whatever instance.
    planned: HashMap<String, u64>,
    /// By key: the last that started.
    processes: HashMap<String, Known>,
    /// All that started; one that lost its own supervisor may still be stopping its children.
    supervisors: Vec<SupervisorRef>,
    /// By process number: whose exit is to be told.
    watched: HashMap<u64, (String, u64)>,
    events: Vec<Event>,
}

#[derive(Clone)]
enum Known {
    Worker(Ref<Exit>),
    Supervisor(SupervisorRef),
}

impl Known {
    fn pid(&self) -> &Local {
        match self {
            Self::Worker(worker) => worker.pid(),
            Self::Supervisor(sup) => sup.pid(),
        }
    }
}

type Shared = Arc<Mutex<Book>>;

fn next(counts: &mut HashMap<String, u64>, key: &str) -> u64 {
    let n = counts.entry(key.to_owned()).or_default();
    *n += 1;
    *n
}

/// A child that ends when it is told to; one that hangs ignores its supervisor.
struct Worker {
    stop: Stop,
}

impl Process for Worker {
    type Args = Stop;
    type Msg = Exit;
    const NAME: &'static str = "worker";

    async fn init(stop: Stop, cx: &mut Cx<Exit>) -> Result<Self, InitError> {
        cx.trap_exit(matches!(stop, Stop::Hang));
        Ok(Self { stop })
    }

    async fn run(&mut self, cx: &mut Cx<Exit>) -> Exit {
        loop {
            match (cx.next().await, self.stop) {
                (Told::Msg(exit), _) => return exit,
                (Told::Exit { .. } | Told::Down { .. }, _) => {}
            }
        }
    }
}

fn spec(book: &Shared, prefix: &str, sup: &Sup) -> SupervisorSpec {
    let dynamic = sup.strategy() == Strategy::SimpleOneForOne;
    SupervisorSpec {
        strategy: sup.strategy(),
        intensity: sup.intensity(),
        auto_shutdown: sup.auto_shutdown(),
        children: sup.children.iter().map(|c| child(book, prefix, c, dynamic)).collect(),
    }
}

fn child(book: &Shared, prefix: &str, child: &Child, dynamic: bool) -> ChildSpec {
    let (start, id) = ((Arc::clone(book), prefix.to_owned(), child.clone()), &child.id);
    let kind = if child.supervisor.is_some() { Kind::Supervisor } else { Kind::Worker };
    ChildSpec::new(id, move |place| {
        let (book, prefix, child) = start.clone();
        async move {
            match &child.supervisor {
                None => start_worker(&book, &prefix, &child, dynamic, place).await,
                Some(sup) => start_nested(&book, &prefix, &child.id, sup, place).await,
            }
        }
    })
    .restart(child.restart())
    .shutdown(child.shutdown())
    .kind(kind)
    .significant(child.significant)
}

async fn start_worker(
    book: &Shared,
    prefix: &str,
    child: &Child,
    dynamic: bool,
    place: Place,
) -> Result<Started, StartError> {
    let plan = format!("{prefix}{}", child.id);
    let (key, n, outcome) = {
        let mut book = book.lock();
        let key = match dynamic {
            true => format!("{plan}#{}", next(&mut book.instances, &plan)),
            false => plan.clone(),
        };
        let n = next(&mut book.attempts, &key);
        (key, n, child.outcome(next(&mut book.planned, &plan)))
    };
    match outcome {
        Outcome::Ok => {
            let worker = place.process::<Worker>(child.stop).await?;
            let pid = worker.pid().clone();
            book.lock().started(key, n, Known::Worker(worker));
            Ok(Started::Up(pid))
        }
        Outcome::Ignore => {
            book.lock().events.push(Event::StartIgnored { id: key, n });
            Ok(Started::Ignored)
        }
        Outcome::Error => {
            book.lock().events.push(Event::StartFailed { id: key, n });
            Err(StartError::Failed("refused".into()))
        }
    }
}

async fn start_nested(
    book: &Shared,
    prefix: &str,
    id: &str,
    sup: &Sup,
    place: Place,
) -> Result<Started, StartError> {
    let key = format!("{prefix}{id}");
    let n = next(&mut book.lock().attempts, &key);
    match place.supervisor(spec(book, &format!("{key}/"), sup)).await {
        Ok(sup) => {
            let pid = sup.pid().clone();
            book.lock().started(key, n, Known::Supervisor(sup));
            Ok(Started::Up(pid))
        }
        Err(error) => {
            book.lock().events.push(Event::StartFailed { id: key, n });
            Err(error)
        }
    }
}

impl Book {
    fn started(&mut self, key: String, n: u64, process: Known) {
        self.watched.insert(process.pid().id().number, (key.clone(), n));
        if !key.is_empty() {
            self.events.push(Event::Start { id: key.clone(), n });
        }
        if let Known::Supervisor(sup) = &process {
            self.supervisors.push(sup.clone());
        }
        self.processes.insert(key, process);
    }

    fn ended(&mut self, pid: &Local, exit: &Exit) {
        if let Some((id, n)) = self.watched.remove(&pid.id().number) {
            self.events.push(Event::Exit { id, n, reason: exit.word().to_owned() });
        }
    }
}

struct Replay {
    book: Shared,
}

impl Replay {
    /// The live process at a path.
    fn find(&self, path: &[String]) -> Option<Known> {
        let known = self.book.lock().processes.get(&path.join("/")).cloned();
        known.filter(|k| k.pid().is_alive())
    }

    fn find_supervisor(&self, path: &[String]) -> Option<SupervisorRef> {
        match self.find(path) {
            Some(Known::Supervisor(sup)) => Some(sup),
            _ => None,
        }
    }

    /// Waits until nothing happens any more: every supervisor that is alive has answered (it does
    /// not wait for a child, nor has a restart to try), nobody can run, and there is no new event.
    async fn rest(&self) -> Vec<Event> {
        loop {
            let (before, supervisors) = {
                let mut book = self.book.lock();
                book.supervisors.retain(|sup| sup.pid().is_alive());
                (book.events.len(), book.supervisors.clone())
            };
            for sup in supervisors {
                let _ = sup.count_children().await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut book = self.book.lock();
            if book.events.len() == before {
                return std::mem::take(&mut book.events);
            }
        }
    }

    /// What a step that is a call returned.
    async fn step(&self, step: Step) -> Option<String> {
        let called = match step {
            Step::Exit { path, reason } => return self.exit(&path, reason).await,
            Step::Stop => {
                let Some(root) = self.find_supervisor(&[]) else { return no_process() };
                root.stop().await;
                return None;
            }
            Step::StartChild { path, child: new } => {
                let Some(sup) = self.find_supervisor(&path) else { return no_process() };
                match new {
                    None => sup.start_instance().await.map(|s| ok_started(&s)),
                    Some(new) => {
                        let new = child(&self.book, &prefix(&path), &new, false);
                        let answer = sup.start_child(new).await;
                        // the oracle has no word for OTP's `bad_combination`, nor for the error of
                        // a template that gets arguments which are no list
                        if let Err(ChildError::InvalidSpec(_) | ChildError::SimpleOneForOne) =
                            answer
                        {
                            return Some("error:start_failed".to_owned());
                        }
                        answer.map(|s| ok_started(&s))
                    }
                }
            }
            Step::TerminateChild { path, id } => {
                let Some(sup) = self.find_supervisor(&path) else { return no_process() };
                if id.contains('#') {
                    return Some(self.terminate_instance(&sup, &path, &id).await);
                }
                sup.terminate_child(&id).await.map(|()| "ok".to_owned())
            }
            Step::RestartChild { path, id } => {
                let Some(sup) = self.find_supervisor(&path) else { return no_process() };
                sup.restart_child(&id).await.map(|s| ok_started(&s))
            }
            Step::DeleteChild { path, id } => {
                let Some(sup) = self.find_supervisor(&path) else { return no_process() };
                sup.delete_child(&id).await.map(|()| "ok".to_owned())
            }
            Step::WhichChildren { path } => {
                let Some(sup) = self.find_supervisor(&path) else { return no_process() };
                which(&sup).await
            }
            Step::CountChildren { path } => {
                let Some(sup) = self.find_supervisor(&path) else { return no_process() };
                count(&sup).await
            }
        };
        Some(called.unwrap_or_else(|e| word(&e).to_owned()))
    }

    async fn exit(&self, path: &[String], reason: Reason) -> Option<String> {
        let Some(known) = self.find(path) else { return no_process() };
        let exit = match reason {
            Reason::Kill => {
                known.pid().kill();
                known.pid().wait().await;
                return None;
            }
            Reason::Normal => Exit::Normal,
            Reason::Shutdown => Exit::Shutdown,
            Reason::ShutdownWith => Exit::shutdown("because"),
            Reason::Error => Exit::error("error"),
        };
        // a supervisor does not listen to it, OTP's neither
        if let Known::Worker(worker) = known {
            drop(worker.cast(exit));
            worker.pid().wait().await;
        }
        None
    }

    async fn terminate_instance(&self, sup: &SupervisorRef, path: &[String], id: &str) -> String {
        let key = [path, &[id.to_owned()]].concat();
        let answer = match self.find(&key) {
            Some(known) => sup.terminate_instance(known.pid()).await,
            None => match self.ended().await {
                Some(ended) => sup.terminate_instance(&ended).await,
                None => Err(ChildError::NotFound),
            },
        };
        answer.map_or_else(|e| word(&e).to_owned(), |()| "ok".to_owned())
    }

    /// Some process that has ended.
    async fn ended(&self) -> Option<Local> {
        let nobody = SupervisorSpec::one_for_one();
        let nobody = System::new("elsewhere").start(nobody).await.ok()?;
        nobody.stop().await;
        Some(nobody.pid().clone())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a step returns")]
fn no_process() -> Option<String> {
    Some("no_process".to_owned())
}

fn prefix(path: &[String]) -> String {
    path.iter().fold(String::new(), |prefix, id| prefix + id + "/")
}

fn ok_started(started: &Started) -> String {
    match started {
        Started::Up(_) => "ok".to_owned(),
        Started::Ignored => "ok_undefined".to_owned(),
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Worker => "worker",
        Kind::Supervisor => "supervisor",
    }
}

async fn which(sup: &SupervisorRef) -> Result<String, ChildError> {
    let rows = sup.which_children().await.map_err(ChildError::Call)?;
    let simple = rows.first().is_some_and(|row| row.id.is_none());
    let mut rows: Vec<String> = rows
        .iter()
        .map(|row| {
            let state = match &row.state {
                ChildState::Up(_) => "up",
                ChildState::Undefined => "undefined",
                ChildState::Restarting => "restarting",
            };
            format!("{}:{}:{state}", row.id.as_deref().unwrap_or("-"), kind(row.kind))
        })
        .collect();
    if simple {
        rows.sort();
    }
    Ok(rows.join(" "))
}

async fn count(sup: &SupervisorRef) -> Result<String, ChildError> {
    let counts = sup.count_children().await.map_err(ChildError::Call)?;
    let mut text = String::new();
    let _ = write!(text, "specs={} active={} ", counts.specs, counts.active);
    let _ = write!(text, "supervisors={} workers={}", counts.supervisors, counts.workers);
    Ok(text)
}

fn word(error: &ChildError) -> &'static str {
    match error {
        ChildError::AlreadyStarted(_) => "error:already_started",
        ChildError::AlreadyPresent => "error:already_present",
        ChildError::Running => "error:running",
        ChildError::Restarting => "error:restarting",
        ChildError::NotFound => "error:not_found",
        ChildError::SimpleOneForOne => "error:simple_one_for_one",
        ChildError::InvalidSpec(_) => "error:invalid_spec",
        ChildError::Call(_) => "exit",
        _ => "error:start_failed",
    }
}

async fn replay(scenario: Scenario, engine: Engine) -> Trace {
    let system = System::new("otp");
    system.set_engine(engine);
    let replay = Replay { book: Shared::default() };
    let book = Arc::clone(&replay.book);
    system.observe(move |change| {
        if let Change::Ended(pid, exit) = change {
            book.lock().ended(pid, exit);
        }
    });
    let root = system.start(spec(&replay.book, "", &scenario.supervisor)).await;
    let refused = match root {
        Ok(root) => {
            replay.book.lock().started(String::new(), 1, Known::Supervisor(root));
            None
        }
        Err(StartError::InvalidSpec(_)) => Some("error:invalid_spec"),
        Err(_) => Some("error:start_failed"),
    };
    let mut steps = vec![replay.rest().await];
    steps[0].extend(refused.map(|value| Event::Result { value: value.to_owned() }));
    for step in scenario.steps {
        let result = replay.step(step).await;
        let mut events = replay.rest().await;
        events.extend(result.map(|value| Event::Result { value }));
        steps.push(events);
    }
    Trace { name: scenario.name, steps }
}

/// Replays one scenario, with supervisors of that engine; JSON in and JSON out.
pub fn line(scenario: &str, engine: Engine) -> Result<String, Box<dyn std::error::Error>> {
    let scenario = serde_json::from_str(scenario)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(serde_json::to_string(&runtime.block_on(replay(scenario, engine)))?)
}
