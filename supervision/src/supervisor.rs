//! The supervisor: starts its children in order, restarts what the strategy says, stops in reverse.
//!
//! A server like any other: between two retries of a failed start it goes back to its inbox, so that
//! a stop can come in between (as OTP's does). What is to be done is decided in [`crate::decide`].

pub use crate::supervisor_ref::{ChildError, ChildInfo, ChildState, Counts, Msg, SupervisorRef};
use crate::{
    crash::Panic,
    cx::Cx,
    decide::{self, Verdict, Window},
    event::Event,
    exit::Exit,
    inbox::CastError,
    pid::{At, Pid},
    policy::{AutoShutdown, Intensity, Kind, Restart, Strategy},
    process::caught,
    server::{self, Next, Server},
    spec::{ChildSpec, Place, Started, SupervisorSpec},
    start_error::{InitError, StartError},
    stop::Stop,
    supervisor_ref::{Request, Target},
    system::{ById, System},
    timer::Timer,
};
use std::{
    collections::{BTreeMap, HashMap},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// When an inbox full of requests is looked at again.
const FULL: Duration = Duration::from_millis(1);

/// Grows with each child.
type Key = u64;

struct Child {
    /// Shared by the instances of a template.
    spec: Arc<ChildSpec>,
    state: ChildState,
    /// In a row, for the back-off.
    failures: u32,
    /// Of the back-off.
    wait: Option<Timer>,
}

/// The process of a supervisor.
#[doc(hidden)]
pub struct Supervisor {
    strategy: Strategy,
    intensity: Intensity,
    auto_shutdown: AutoShutdown,
    window: Window,
    /// The template, for simple_one_for_one.
    template: Option<Arc<ChildSpec>>,
    /// A restart of an instance was ignored. OTP then keeps a child `undefined`, counts it, and
    /// ends with an error when it comes to stop it; so do we, for agreement.
    ghost: bool,
    /// In start order: keys grow.
    children: BTreeMap<Key, Child>,
    /// Whose process it is.
    by_pid: ById<Pid, Key>,
    /// Without the instances of a template, which have none.
    by_id: HashMap<Arc<str>, Key>,
    next: u64,
}

pub(crate) async fn start(
    system: &System,
    parent: Option<Pid>,
    at: At,
    spec: SupervisorSpec,
) -> Result<SupervisorRef, StartError> {
    let at = match (spec.strategy, spec.children.first()) {
        (Strategy::SimpleOneForOne, Some(template)) => {
            At::Template(at.path(parent.as_ref()), Arc::clone(&template.id))
        }
        _ => at,
    };
    server::start::<Supervisor>(system, parent, at, spec).await.map(SupervisorRef)
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
            by_pid: ById::default(),
            by_id: HashMap::new(),
            next: 0,
        };
        if strategy == Strategy::SimpleOneForOne {
            sup.template = children.into_iter().next().map(Arc::new);
            return Ok(sup);
        }
        for spec in children {
            sup.add(Arc::new(spec), ChildState::Undefined);
        }
        let keys: Vec<Key> = sup.children.keys().copied().collect();
        if let Err(((_, child), error)) = sup.start_all(&keys, cx).await {
            sup.stop_all(&keys, cx.pid()).await;
            return Err(StartError::Child { child, error: Box::new(error) }.into());
        }
        Ok(sup)
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Cx<Msg>) -> Next {
        match msg.0 {
            Request::Start(spec, reply) => reply.send(self.start_child(spec, cx).await),
            Request::Restart(target, reply) => reply.send(self.restart_child(&target, cx).await),
            Request::Terminate(target, reply) => {
                reply.send(self.terminate_child(&target, cx.pid()).await);
            }
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
        // how a root is stopped, which has no parent
        if from == *cx.pid() {
            return self.stop(reason);
        }
        let Some(key) = self.by_pid.remove(&from) else { return Next::Continue };
        let Some(child) = self.children.get(&key) else { return Next::Continue };
        match decide::on_exit(child.spec.restart, &reason) {
            Verdict::Restart => {
                tracing::warn!(child = %from.path(), %reason, "child terminated, restarting");
                if self.backs_off(key, from.uptime()) {
                    self.try_again(key, cx);
                    return Next::Continue;
                }
                self.restart(key, cx).await
            }
            Verdict::Forget => {
                let significant = child.spec.significant;
                self.forget(key);
                if significant
                    && decide::auto_shutdown(
                        self.auto_shutdown,
                        significant,
                        self.significant_left(),
                    )
                {
                    return self.stop(Exit::Shutdown);
                }
                Next::Continue
            }
        }
    }

    fn stopped(&self, reason: Exit) -> Exit {
        if self.ghost { Exit::error("a child is undefined") } else { reason }
    }

    async fn terminate(&mut self, _: &Exit, cx: &mut Cx<Msg>) {
        if self.ghost {
            return;
        }
        let keys: Vec<Key> = self.children.keys().copied().collect();
        if self.template.is_some() {
            self.stop_instances(cx.pid()).await;
        } else {
            self.stop_all(&keys, cx.pid()).await;
        }
    }
}

impl Supervisor {
    fn add(&mut self, spec: Arc<ChildSpec>, state: ChildState) -> Key {
        self.next += 1;
        let key = self.next;
        if let Some(pid) = state.pid() {
            self.by_pid.insert(pid.clone(), key);
        }
        if self.template.is_none() {
            self.by_id.insert(Arc::clone(&spec.id), key);
        }
        self.children.insert(key, Child { spec, state, failures: 0, wait: None });
        key
    }

    fn stop(&self, reason: Exit) -> Next {
        Next::Stop(self.stopped(reason))
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
        let Some(child) = self.children.get(&key) else { return };
        if child.spec.restart == Restart::Temporary || self.template.is_some() {
            self.remove(key);
        } else {
            self.set(key, ChildState::Undefined);
        }
    }

    /// Whether a child is restarted after a wait. One that lived for long begins anew.
    fn backs_off(&mut self, key: Key, lived: Duration) -> bool {
        let Some(child) = self.children.get_mut(&key) else { return false };
        let Some(backoff) = child.spec.backoff else { return false };
        if lived >= backoff.max {
            child.failures = 0;
        }
        true
    }

    /// A child is to be restarted later: after its wait, or else after what waits in the inbox (a
    /// stop, or another exit, may come first).
    fn try_again(&mut self, key: Key, cx: &mut Cx<Msg>) {
        self.set(key, ChildState::Restarting);
        let Some(child) = self.children.get_mut(&key) else { return };
        let again = Msg(Request::TryAgain(key));
        match child.spec.backoff {
            Some(backoff) => {
                let wait = cx.send_after(backoff.delay(child.failures), again);
                child.failures = child.failures.saturating_add(1);
                // one from before somebody stopped it
                if let Some(old) = child.wait.replace(wait) {
                    cx.cancel(old);
                }
            }
            None => {
                if let Err(CastError::Full(again)) = cx.me().cast(again) {
                    cx.send_after(FULL, again);
                }
            }
        }
    }

    /// Restarts what the strategy says; ends the supervisor when it is one restart too many.
    async fn restart(&mut self, key: Key, cx: &mut Cx<Msg>) -> Next {
        let waited = self.children.get(&key).is_some_and(|c| c.spec.backoff.is_some());
        if !waited && !self.window.add(self.intensity, Instant::now()) {
            tracing::error!(supervisor = %cx.pid().path(), "reached maximum restart intensity");
            self.forget(key);
            return self.stop(Exit::Shutdown);
        }
        cx.system().count_restart();
        self.set(key, ChildState::Undefined);
        let mut left = vec![key];
        if self.strategy.is_shared() {
            let keys: Vec<Key> = self.children.keys().copied().collect();
            let Ok(index) = keys.binary_search(&key) else { return Next::Continue };
            let affected = decide::affected(self.strategy, index, keys.len());
            left = keys.get(affected).unwrap_or_default().to_vec();
            self.stop_all(&left, cx.pid()).await;
            left.retain(|key| self.children.contains_key(key));
        }
        if let Err((failed, error)) = self.start_all(&left, cx).await {
            tracing::warn!(child = %failed.1, %error, "restart failed, trying again");
            self.try_again(failed.0, cx);
        }
        Next::Continue
    }

    /// Starts children in order until one fails. One that backs off has not failed: it is tried
    /// again, and those that depend on it wait.
    async fn start_all(
        &mut self,
        keys: &[Key],
        cx: &mut Cx<Msg>,
    ) -> Result<(), ((Key, Arc<str>), StartError)> {
        for key in keys {
            let Some(child) = self.children.get(key) else { continue };
            let spec = Arc::clone(&child.spec);
            match launch(&spec, self.place(&spec, *key, cx), cx).await {
                Ok(Started::Up(pid)) => self.set(*key, ChildState::Up(pid)),
                Ok(Started::Ignored) if self.template.is_some() => {
                    self.remove(*key);
                    self.ghost = true;
                }
                Ok(Started::Ignored) if spec.restart == Restart::Temporary => {
                    self.remove(*key);
                }
                Ok(Started::Ignored) => self.set(*key, ChildState::Undefined),
                Err(error) if spec.backoff.is_some() => {
                    tracing::warn!(child = %spec.id, %error, "start failed, trying again later");
                    self.try_again(*key, cx);
                    if self.strategy.is_shared() {
                        return Ok(());
                    }
                }
                Err(error) => return Err(((*key, Arc::clone(&spec.id)), error)),
            }
        }
        Ok(())
    }

    fn place(&self, spec: &ChildSpec, key: Key, cx: &Cx<Msg>) -> At {
        match &self.template {
            Some(_) => At::Number(key),
            None => {
                At::Path([cx.pid().path().trim_end_matches('/'), "/", &spec.id].concat().into())
            }
        }
    }

    /// Every change of a child goes through here, or through [`Self::add`] and [`Self::remove`].
    fn set(&mut self, key: Key, state: ChildState) {
        let Some(child) = self.children.get_mut(&key) else { return };
        if let Some(pid) = child.state.pid() {
            self.by_pid.remove(pid);
        }
        if let Some(pid) = state.pid() {
            self.by_pid.insert(pid.clone(), key);
        }
        child.state = state;
    }

    fn remove(&mut self, key: Key) {
        self.set(key, ChildState::Undefined);
        if let Some(child) = self.children.remove(&key)
            && self.template.is_none()
        {
            self.by_id.remove(&child.spec.id);
        }
    }

    /// Stops children in reverse order, one after the other; temporary ones are forgotten.
    async fn stop_all(&mut self, keys: &[Key], me: &Pid) {
        for key in keys.iter().rev() {
            let Some(child) = self.children.get(key) else { continue };
            if let ChildState::Up(pid) = &child.state {
                stop(me, &child.spec, std::slice::from_ref(pid)).await;
            }
            if child.spec.restart == Restart::Temporary {
                self.remove(*key);
            } else {
                self.set(*key, ChildState::Undefined);
            }
        }
    }

    /// Stops all instances at the same time, under one timer.
    async fn stop_instances(&mut self, me: &Pid) {
        let Some(template) = &self.template else { return };
        let pids: Vec<Pid> =
            self.children.values().filter_map(|c| c.state.pid().cloned()).collect();
        stop(me, template, &pids).await;
        self.children.clear();
        self.by_pid.clear();
    }

    async fn start_child(
        &mut self,
        spec: Option<Arc<ChildSpec>>,
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
        let at = self.place(&spec, self.next + 1, cx);
        let started = launch(&spec, at, cx).await?;
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
        let key = *self.by_id.get(id)?;
        self.children.get(&key).map(|child| (key, child))
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
        let spec = Arc::clone(&child.spec);
        let started = launch(&spec, self.place(&spec, key, cx), cx).await?;
        if let Started::Up(pid) = &started {
            self.set(key, ChildState::Up(pid.clone()));
        }
        Ok(started)
    }

    async fn terminate_child(&mut self, target: &Target, me: &Pid) -> Result<(), ChildError> {
        let found = match target {
            Target::Instance(pid) if self.template.is_some() && !pid.is_alive() => {
                // whosever it was, as in OTP
                self.ghost = false;
                if let Some(key) = self.by_pid.get(pid).copied() {
                    self.forget(key);
                }
                return Ok(());
            }
            Target::Id(_) if self.template.is_some() => return Err(ChildError::SimpleOneForOne),
            Target::Id(id) => self.find(id),
            // as OTP: by its pid only an instance is known
            Target::Instance(pid) if self.template.is_some() => {
                self.by_pid.get(pid).and_then(|key| self.children.get(key).map(|c| (*key, c)))
            }
            Target::Instance(_) => None,
        };
        let (key, child) = found.ok_or(ChildError::NotFound)?;
        if let ChildState::Up(pid) = &child.state {
            stop(me, &child.spec, std::slice::from_ref(pid)).await;
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
                self.remove(key);
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

async fn launch(spec: &ChildSpec, at: At, cx: &Cx<Msg>) -> Result<Started, StartError> {
    let (system, parent) = (cx.system().clone(), cx.pid().clone());
    let place = Place { system, parent: parent.clone(), at: at.clone() };
    // the function is the child's, and so is a panic in it
    let mut starting = match parent.catch(|| (spec.start)(place)) {
        Ok(starting) => starting,
        Err(panic) => return Err(not_started(&parent, panic, &at)),
    };
    let starting = caught(&parent, Pin::new(&mut starting));
    let started = match spec.ready_within {
        None => starting.await,
        Some(limit) => match timeout(limit, starting).await {
            Ok(started) => started,
            Err(_) => {
                abandon(&parent, &at).await;
                return Err(StartError::Timeout(limit));
            }
        },
    };
    match started {
        Ok(started) => started,
        Err(panic) => {
            abandon(&parent, &at).await;
            Err(not_started(&parent, panic, &at))
        }
    }
}

/// Ends what a start had begun: it is linked, but nobody's child yet.
async fn abandon(parent: &Pid, at: &At) {
    let path = at.path(Some(parent));
    for pid in parent.links(usize::MAX).into_iter().filter(|pid| *pid.path() == path) {
        parent.unlink(&pid);
        pid.dismiss();
        pid.kill();
        pid.wait().await;
    }
}

/// A start function panicked: a start that failed, like any other.
fn not_started(parent: &Pid, panic: Panic, at: &At) -> StartError {
    let what = format!("start of {}", at.path(Some(parent)));
    StartError::Exited(Exit::Crash(parent.report_beside(panic, &what)))
}

/// Stops children of one specification.
async fn stop(supervisor: &Pid, spec: &ChildSpec, pids: &[Pid]) {
    let (child, shutdown, restart) = (&*spec.id, spec.shutdown, spec.restart);
    Stop { supervisor, child, shutdown, restart }.all(pids).await;
}
