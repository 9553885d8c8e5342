//! The supervisor: starts its children in order, restarts what the strategy says, stops in reverse.
//!
//! A server like any other: between two retries of a failed start it goes back to its inbox, so that
//! a stop can come in between (as OTP's does). What is to be done is decided in [`crate::decide`].

use crate::{
    decide::{self, Verdict, Window},
    exit::Exit,
    inbox::{CallError, Ref, Reply},
    pid::Pid,
    process::{Cx, Event, InitError, SUPERVISOR_CALL},
    server::{self, Next, Server},
    spec::{
        AutoShutdown, ChildSpec, Intensity, Kind, Place, Restart, Shutdown, StartError, Started,
        Strategy, SupervisorSpec,
    },
    system::System,
};
use std::{collections::BTreeMap, sync::Arc};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

/// Where a child is.
#[derive(Clone, Debug)]
pub enum ChildState {
    /// Alive.
    Up(Pid),
    /// Not running: stopped, ignored or ended.
    Undefined,
    /// Its restart failed and is tried again.
    Restarting,
}

impl ChildState {
    fn pid(&self) -> Option<&Pid> {
        match self {
            Self::Up(pid) => Some(pid),
            _ => None,
        }
    }
}

/// One row of `which_children`.
#[derive(Clone, Debug)]
pub struct ChildInfo {
    /// The id; `None` for an instance of a template.
    pub id: Option<Arc<str>>,
    /// Where it is.
    pub state: ChildState,
    /// Worker or supervisor.
    pub kind: Kind,
}

/// `count_children`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Child specifications.
    pub specs: usize,
    /// Live children.
    pub active: usize,
    /// Children that are supervisors, alive or not.
    pub supervisors: usize,
    /// Children that are workers, alive or not.
    pub workers: usize,
}

/// Why a supervisor did not do what it was asked.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ChildError {
    /// There is a child of that id, and it is alive.
    #[error("already started")]
    AlreadyStarted(Pid),
    /// There is a child of that id, and it is not running.
    #[error("already present")]
    AlreadyPresent,
    /// It is alive.
    #[error("running")]
    Running,
    /// It is being restarted.
    #[error("restarting")]
    Restarting,
    /// There is no such child.
    #[error("not found")]
    NotFound,
    /// Not for instances of a template.
    #[error("not for a simple_one_for_one supervisor")]
    SimpleOneForOne,
    /// The specification makes no sense.
    #[error("invalid specification: {0}")]
    InvalidSpec(Arc<str>),
    /// The child's start failed.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The supervisor is gone.
    #[error("the supervisor does not answer: {0}")]
    Call(CallError),
}

/// Which child is meant.
#[derive(Clone, Debug)]
enum Target {
    Id(Arc<str>),
    Instance(Pid),
}

type Answer<T> = Reply<Result<T, ChildError>>;

/// The messages of a supervisor.
pub struct Msg(Request);

enum Request {
    Start(Option<ChildSpec>, Answer<Started>),
    Restart(Target, Answer<Started>),
    Terminate(Target, Answer<()>),
    Delete(Target, Answer<()>),
    Which(Reply<Vec<ChildInfo>>),
    Count(Reply<Counts>),
    /// A restart failed: try it again.
    TryAgain(Key),
}

/// A running supervisor.
#[derive(Clone, Debug)]
pub struct SupervisorRef(Ref<Msg>);

impl SupervisorRef {
    /// Its process.
    pub fn pid(&self) -> &Pid {
        self.0.pid()
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, ChildError> {
        let answer = self.0.call(|reply| Msg(request(reply)), SUPERVISOR_CALL).await;
        answer.map_err(ChildError::Call)?
    }

    /// Adds and starts a child (`supervisor:start_child/2`).
    ///
    /// # Errors
    /// When there is one of that id, or it does not start.
    pub async fn start_child(&self, child: ChildSpec) -> Result<Started, ChildError> {
        self.ask(|r| Request::Start(Some(child), r)).await
    }

    /// Starts another instance of the template of a simple_one_for_one supervisor.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_instance(&self) -> Result<Started, ChildError> {
        self.ask(|r| Request::Start(None, r)).await
    }

    /// Starts a child that was stopped (`supervisor:restart_child/2`).
    ///
    /// # Errors
    /// When there is none, or it runs, or it does not start.
    pub async fn restart_child(&self, id: &str) -> Result<Started, ChildError> {
        self.ask(|r| Request::Restart(Target::Id(id.into()), r)).await
    }

    /// Stops a child; its specification stays unless it is temporary.
    ///
    /// # Errors
    /// When there is none.
    pub async fn terminate_child(&self, id: &str) -> Result<(), ChildError> {
        self.ask(|r| Request::Terminate(Target::Id(id.into()), r)).await
    }

    /// Stops an instance of a template.
    ///
    /// # Errors
    /// When it is no instance of this supervisor.
    pub async fn terminate_instance(&self, pid: &Pid) -> Result<(), ChildError> {
        self.ask(|r| Request::Terminate(Target::Instance(pid.clone()), r)).await
    }

    /// Removes the specification of a child that does not run.
    ///
    /// # Errors
    /// When there is none, or it runs.
    pub async fn delete_child(&self, id: &str) -> Result<(), ChildError> {
        self.ask(|r| Request::Delete(Target::Id(id.into()), r)).await
    }

    /// The children, the last started first.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn which_children(&self) -> Result<Vec<ChildInfo>, CallError> {
        self.0.call(|r| Msg(Request::Which(r)), SUPERVISOR_CALL).await
    }

    /// How many children there are.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub async fn count_children(&self) -> Result<Counts, CallError> {
        self.0.call(|r| Msg(Request::Count(r)), SUPERVISOR_CALL).await
    }

    /// Stops the whole tree below and waits for it.
    pub async fn stop(&self) -> Exit {
        let pid = self.pid();
        match pid.parent() {
            Some(parent) => pid.exit_from(parent, Exit::Shutdown),
            None => pid.exit(Exit::Shutdown),
        }
        pid.wait().await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

struct Child {
    spec: ChildSpec,
    state: ChildState,
}

/// The process.
pub struct Supervisor {
    strategy: Strategy,
    intensity: Intensity,
    auto_shutdown: AutoShutdown,
    window: Window,
    /// The template, for simple_one_for_one.
    template: Option<ChildSpec>,
    /// A restart of an instance was ignored. OTP then keeps a child `undefined`, counts it, and
    /// ends with an error when it comes to stop it; so do we, for agreement.
    ghost: bool,
    /// In start order: keys grow.
    children: BTreeMap<Key, Child>,
    next: u64,
}

pub(crate) async fn start(
    system: &System,
    parent: Option<Pid>,
    path: Arc<str>,
    spec: SupervisorSpec,
) -> Result<SupervisorRef, StartError> {
    server::start::<Supervisor>(system, parent, path, spec).await.map(SupervisorRef)
}

impl Server for Supervisor {
    type Args = SupervisorSpec;
    type Msg = Msg;
    const NAME: &'static str = "supervisor";

    async fn init(spec: SupervisorSpec, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let SupervisorSpec { strategy, intensity, auto_shutdown, children } = spec;
        decide::check_all(strategy, intensity, auto_shutdown, &children)
            .map_err(|why| StartError::InvalidSpec(why.into()))?;
        let mut sup = Self {
            strategy,
            intensity,
            auto_shutdown,
            window: Window::default(),
            template: None,
            ghost: false,
            children: BTreeMap::new(),
            next: 0,
        };
        if strategy == Strategy::SimpleOneForOne {
            sup.template = children.into_iter().next();
            return Ok(sup);
        }
        for spec in children {
            sup.add(spec, ChildState::Undefined);
        }
        let keys: Vec<Key> = sup.children.keys().copied().collect();
        if let Err((failed, error)) = sup.start_all(&keys, cx).await {
            sup.stop_all(&keys).await;
            let child = failed.1;
            return Err(StartError::Child { child, error: Box::new(error) }.into());
        }
        Ok(sup)
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Cx<Msg>) -> Next {
        match msg.0 {
            Request::Start(spec, reply) => reply.send(self.start_child(spec, cx).await),
            Request::Restart(target, reply) => reply.send(self.restart_child(&target, cx).await),
            Request::Terminate(target, reply) => reply.send(self.terminate_child(&target).await),
            Request::Delete(target, reply) => reply.send(self.delete_child(&target)),
            Request::Which(reply) => reply.send(self.which()),
            Request::Count(reply) => reply.send(self.count()),
            Request::TryAgain(key) => {
                let restarting = |c: &Child| matches!(c.state, ChildState::Restarting);
                if self.children.get(&key).is_some_and(restarting) {
                    return self.restart(key, cx).await;
                }
            }
        }
        Next::Continue
    }

    async fn event(&mut self, event: Event<Msg>, cx: &mut Cx<Msg>) -> Next {
        let Event::Exit { from, reason } = event else { return Next::Continue };
        // the parent's signal, or for a root without one the signal to itself
        if Some(&from) == cx.pid().parent() || from == *cx.pid() {
            return self.stop(reason);
        }
        let ended = self.children.iter().find(|(_, c)| c.state.pid() == Some(&from));
        let Some((&key, child)) = ended else { return Next::Continue };
        match decide::on_exit(child.spec.restart, &reason) {
            Verdict::Restart => {
                tracing::warn!(child = %from.path(), %reason, "child terminated, restarting");
                self.restart(key, cx).await
            }
            Verdict::Forget => {
                let significant = child.spec.significant;
                self.forget(key);
                if decide::auto_shutdown(self.auto_shutdown, significant, self.significant_left()) {
                    return self.stop(Exit::Shutdown);
                }
                Next::Continue
            }
        }
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<Msg>) {
        if self.ghost {
            return;
        }
        let keys: Vec<Key> = self.children.keys().copied().collect();
        if self.template.is_some() {
            self.stop_instances().await;
        } else {
            self.stop_all(&keys).await;
        }
    }
}

impl Supervisor {
    fn add(&mut self, spec: ChildSpec, state: ChildState) -> Key {
        self.next += 1;
        let key = Key(self.next);
        self.children.insert(key, Child { spec, state });
        key
    }

    fn stop(&self, reason: Exit) -> Next {
        Next::Stop(if self.ghost { Exit::error("a child is undefined") } else { reason })
    }

    /// Whether another significant child is alive or being restarted.
    fn significant_left(&self) -> bool {
        self.ghost
            || self
                .children
                .values()
                .any(|c| c.spec.significant && !matches!(c.state, ChildState::Undefined))
    }

    /// A child is not to run any more: a temporary one, and an instance, has no specification left.
    fn forget(&mut self, key: Key) {
        let Some(child) = self.children.get_mut(&key) else { return };
        if child.spec.restart == Restart::Temporary || self.template.is_some() {
            self.children.remove(&key);
        } else {
            child.state = ChildState::Undefined;
        }
    }

    /// Restarts what the strategy says; ends the supervisor when it is one restart too many.
    async fn restart(&mut self, key: Key, cx: &mut Cx<Msg>) -> Next {
        if !self.window.add(self.intensity, Instant::now()) {
            tracing::error!(supervisor = %cx.pid().path(), "reached maximum restart intensity");
            self.forget(key);
            return self.stop(Exit::Shutdown);
        }
        cx.system().count_restart();
        let keys: Vec<Key> = self.children.keys().copied().collect();
        let Ok(index) = keys.binary_search(&key) else { return Next::Continue };
        let affected = decide::affected(self.strategy, index, keys.len());
        let affected = keys.get(affected).unwrap_or_default();
        if let Some(child) = self.children.get_mut(&key) {
            child.state = ChildState::Undefined;
        }
        if affected.len() > 1 || self.strategy == Strategy::OneForAll {
            self.stop_all(affected).await;
        }
        let left: Vec<Key> =
            affected.iter().copied().filter(|k| self.children.contains_key(k)).collect();
        if let Err((failed, error)) = self.start_all(&left, cx).await {
            tracing::warn!(child = %failed.1, %error, "restart failed, trying again");
            if let Some(child) = self.children.get_mut(&failed.0) {
                child.state = ChildState::Restarting;
            }
            // through the inbox: a stop, or another exit, may come first
            if cx.me().cast(Msg(Request::TryAgain(failed.0))).is_err() {
                return Next::Stop(Exit::error("the inbox is full of requests"));
            }
        }
        Next::Continue
    }

    /// Starts children in order until one fails.
    async fn start_all(
        &mut self,
        keys: &[Key],
        cx: &mut Cx<Msg>,
    ) -> Result<(), ((Key, Arc<str>), StartError)> {
        for key in keys {
            let Some(child) = self.children.get(key) else { continue };
            let spec = child.spec.clone();
            match launch(&spec, self.path_of(&spec, *key, cx), cx).await {
                Ok(Started::Up(pid)) => self.set(*key, ChildState::Up(pid)),
                Ok(Started::Ignored) if self.template.is_some() => {
                    self.children.remove(key);
                    self.ghost = true;
                }
                Ok(Started::Ignored) if spec.restart == Restart::Temporary => {
                    self.children.remove(key);
                }
                Ok(Started::Ignored) => self.set(*key, ChildState::Undefined),
                Err(error) => return Err(((*key, spec.id), error)),
            }
        }
        Ok(())
    }

    fn path_of(&self, spec: &ChildSpec, key: Key, cx: &Cx<Msg>) -> Arc<str> {
        let above = cx.pid().path();
        let above = above.trim_end_matches('/');
        match &self.template {
            Some(_) => format!("{above}/{}#{}", spec.id, key.0).into(),
            None => format!("{above}/{}", spec.id).into(),
        }
    }

    fn set(&mut self, key: Key, state: ChildState) {
        if let Some(child) = self.children.get_mut(&key) {
            child.state = state;
        }
    }

    /// Stops children in reverse order, one after the other; temporary ones are forgotten.
    async fn stop_all(&mut self, keys: &[Key]) {
        for key in keys.iter().rev() {
            let Some(child) = self.children.get(key) else { continue };
            if let ChildState::Up(pid) = &child.state {
                stop(pid, child.spec.shutdown).await;
            }
            if child.spec.restart == Restart::Temporary {
                self.children.remove(key);
            } else {
                self.set(*key, ChildState::Undefined);
            }
        }
    }

    /// Stops all instances at the same time, under one timer.
    async fn stop_instances(&mut self) {
        let Some(template) = &self.template else { return };
        let pids: Vec<Pid> =
            self.children.values().filter_map(|c| c.state.pid().cloned()).collect();
        stop_many(&pids, template.shutdown).await;
        self.children.clear();
    }

    async fn start_child(
        &mut self,
        spec: Option<ChildSpec>,
        cx: &mut Cx<Msg>,
    ) -> Result<Started, ChildError> {
        let (spec, template) = match (spec, self.template.clone()) {
            (None, Some(template)) => (template, true),
            (Some(spec), None) => (spec, false),
            (Some(_), Some(_)) => return Err(ChildError::SimpleOneForOne),
            (None, None) => {
                return Err(ChildError::InvalidSpec("a specification is needed".into()));
            }
        };
        if !template {
            decide::check(&spec, self.auto_shutdown)
                .map_err(|why| ChildError::InvalidSpec(why.into()))?;
            match self.find(&spec.id).map(|(_, c)| &c.state) {
                Some(ChildState::Up(pid)) => return Err(ChildError::AlreadyStarted(pid.clone())),
                Some(_) => return Err(ChildError::AlreadyPresent),
                None => {}
            }
        }
        let path = self.path_of(&spec, Key(self.next + 1), cx);
        let started = launch(&spec, path, cx).await?;
        match &started {
            Started::Up(pid) => {
                self.add(spec, ChildState::Up(pid.clone()));
            }
            Started::Ignored if template || spec.restart == Restart::Temporary => {}
            Started::Ignored => {
                self.add(spec, ChildState::Undefined);
            }
        }
        Ok(started)
    }

    fn find(&self, id: &str) -> Option<(Key, &Child)> {
        self.children.iter().find(|(_, c)| &*c.spec.id == id).map(|(k, c)| (*k, c))
    }

    async fn restart_child(
        &mut self,
        target: &Target,
        cx: &mut Cx<Msg>,
    ) -> Result<Started, ChildError> {
        let Target::Id(id) = target else { return Err(ChildError::SimpleOneForOne) };
        if self.template.is_some() {
            return Err(ChildError::SimpleOneForOne);
        }
        let (key, child) = self.find(id).ok_or(ChildError::NotFound)?;
        match child.state {
            ChildState::Up(_) => return Err(ChildError::Running),
            ChildState::Restarting => return Err(ChildError::Restarting),
            ChildState::Undefined => {}
        }
        let spec = child.spec.clone();
        let started = launch(&spec, self.path_of(&spec, key, cx), cx).await?;
        if let Started::Up(pid) = &started {
            self.set(key, ChildState::Up(pid.clone()));
        }
        Ok(started)
    }

    async fn terminate_child(&mut self, target: &Target) -> Result<(), ChildError> {
        let found = match target {
            Target::Instance(pid) if self.template.is_some() && !pid.is_alive() => {
                // whosever it was, as in OTP
                self.ghost = false;
                let found = self.children.iter().find(|(_, c)| c.state.pid() == Some(pid));
                if let Some((&key, _)) = found {
                    self.forget(key);
                }
                return Ok(());
            }
            Target::Id(_) if self.template.is_some() => return Err(ChildError::SimpleOneForOne),
            Target::Id(id) => self.find(id),
            Target::Instance(pid) => {
                let mut all = self.children.iter();
                all.find(|(_, c)| c.state.pid() == Some(pid)).map(|(k, c)| (*k, c))
            }
        };
        let (key, child) = found.ok_or(ChildError::NotFound)?;
        if let ChildState::Up(pid) = &child.state {
            stop(pid, child.spec.shutdown).await;
        }
        self.forget(key);
        Ok(())
    }

    fn delete_child(&mut self, target: &Target) -> Result<(), ChildError> {
        let Target::Id(id) = target else { return Err(ChildError::SimpleOneForOne) };
        if self.template.is_some() {
            return Err(ChildError::SimpleOneForOne);
        }
        let (key, child) = self.find(id).ok_or(ChildError::NotFound)?;
        match child.state {
            ChildState::Up(_) => Err(ChildError::Running),
            ChildState::Restarting => Err(ChildError::Restarting),
            ChildState::Undefined => {
                self.children.remove(&key);
                Ok(())
            }
        }
    }

    fn which(&self) -> Vec<ChildInfo> {
        let info = |c: &Child| ChildInfo {
            id: self.template.is_none().then(|| Arc::clone(&c.spec.id)),
            state: c.state.clone(),
            kind: c.spec.kind,
        };
        let mut rows: Vec<ChildInfo> = self.children.values().rev().map(info).collect();
        if let (true, Some(template)) = (self.ghost, &self.template) {
            let (state, kind) = (ChildState::Undefined, template.kind);
            rows.push(ChildInfo { id: None, state, kind });
        }
        rows
    }

    fn count(&self) -> Counts {
        let ghost = |kind| self.ghost && self.template.as_ref().is_some_and(|t| t.kind == kind);
        let of = |kind| {
            let children = self.children.values().filter(|c| c.spec.kind == kind).count();
            children + usize::from(ghost(kind))
        };
        Counts {
            specs: if self.template.is_some() { 1 } else { self.children.len() },
            active: self
                .children
                .values()
                .filter(|c| c.state.pid().is_some_and(Pid::is_alive))
                .count()
                + usize::from(self.ghost),
            supervisors: of(Kind::Supervisor),
            workers: of(Kind::Worker),
        }
    }
}

async fn launch(spec: &ChildSpec, path: Arc<str>, cx: &Cx<Msg>) -> Result<Started, StartError> {
    let place = Place { system: cx.system().clone(), parent: cx.pid().clone(), path };
    (spec.start)(place).await
}

/// Stops one child as its specification says (`shutdown/1`).
pub(crate) async fn stop(pid: &Pid, shutdown: Shutdown) {
    stop_many(std::slice::from_ref(pid), shutdown).await;
}

/// Stops children at the same time, under one timer.
pub(crate) async fn stop_many(pids: &[Pid], shutdown: Shutdown) {
    for pid in pids {
        if let Some(parent) = pid.parent() {
            parent.unlink(pid);
        }
        match (shutdown, pid.parent()) {
            (Shutdown::BrutalKill, _) => pid.kill(),
            (_, Some(parent)) => pid.exit_from(parent, Exit::Shutdown),
            (_, None) => pid.exit(Exit::Shutdown),
        }
    }
    let deadline = match shutdown {
        Shutdown::Timeout(after) => Some(Instant::now() + after),
        Shutdown::BrutalKill | Shutdown::Infinity => None,
    };
    for pid in pids {
        let in_time = match deadline {
            Some(at) => timeout_at(at, pid.wait()).await.is_ok(),
            None => {
                pid.wait().await;
                true
            }
        };
        if !in_time {
            pid.kill();
            pid.wait().await;
        }
    }
}
