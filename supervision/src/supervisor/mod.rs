//! The supervisor: starts its children in order, restarts what the strategy says, stops in reverse.
//!
//! A server like any other: between two retries of a failed start it goes back to its inbox, so that
//! a stop can come in between (as OTP's does). What is to be done is decided in [`crate::decide`].

mod children;
mod launch;
mod ledger;
mod requests;
mod view;

pub use crate::supervisor_ref::{
    ChildError, ChildInfo, ChildSpecInfo, ChildState, Counts, Msg, SupervisorRef,
};
use crate::{
    actor,
    crash::{Did, Of},
    cx::Cx,
    decide::{self, Verdict},
    event::Event,
    exit::Exit,
    inbox::CastError,
    pid::{At, Local},
    policy::{AutoShutdown, Engine, Restart, Strategy},
    server::{self, Next, Server},
    spec::{ChildSpec, Started, SupervisorSpec},
    start_error::{InitError, StartError},
    supervisor_ref::Request,
    system::System,
    timer::after,
};
use children::{Child, Children, Key};
use launch::{launch, stop};
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::time::Instant;

/// When an inbox full of requests is looked at again.
const FULL: Duration = Duration::from_millis(1);

/// The process of a supervisor.
#[doc(hidden)]
pub struct Supervisor {
    strategy: Strategy,
    auto_shutdown: AutoShutdown,
    children: Children,
}

pub(crate) async fn start(
    engine: Engine,
    system: &System,
    parent: Option<Local>,
    at: At,
    spec: SupervisorSpec,
) -> Result<SupervisorRef, StartError> {
    let at = match (spec.strategy, spec.children.first()) {
        (Strategy::SimpleOneForOne, Some(template)) => {
            At::Template(at.path(parent.as_ref().map(Local::name)), Arc::clone(&template.id))
        }
        _ => at,
    };
    let made = |started: Result<_, _>| started.map(SupervisorRef);
    let start = server::start::<Supervisor, _>(engine, system.clone(), parent, at, spec, made);
    match engine {
        Engine::Ractor => actor::apart(start).await,
        Engine::Lean => start.await,
    }
}

impl Server for Supervisor {
    type Args = SupervisorSpec;
    type Msg = Msg;
    const NAME: &'static str = "supervisor";

    async fn init(spec: SupervisorSpec, cx: &mut Cx<Msg>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        cx.pid().set_supervises();
        let SupervisorSpec { strategy, intensity, auto_shutdown, children } = spec;
        decide::check_all(strategy, intensity, auto_shutdown, &children)
            .map_err(|why| StartError::InvalidSpec(why.into()))?;
        let mut sup = Self { strategy, auto_shutdown, children: Children::default() };
        sup.opens(intensity, cx.pid());
        if strategy == Strategy::SimpleOneForOne {
            sup.children.template = children.into_iter().next().map(Arc::new);
            return Ok(sup);
        }
        for spec in children {
            sup.children.add(Arc::new(spec), ChildState::Undefined);
        }
        let keys = sup.children.keys();
        if let Err(((_, child), error)) = sup.start_all(&keys, cx).await {
            sup.stop_all(&keys, cx.pid()).await;
            return Err(StartError::Child { child, error: Box::new(error) }.into());
        }
        Ok(sup)
    }

    async fn handle(&mut self, msg: Msg, cx: &mut Cx<Msg>) -> Next {
        match msg.0 {
            Request::Start(spec, reply) => reply.send(self.start_child(spec, cx).await),
            Request::Instance(args, reply) => reply.send(self.start_instance(args, cx).await),
            Request::Restart(target, reply) => reply.send(self.restart_child(&target, cx).await),
            Request::Terminate(target, reply) => {
                reply.send(self.terminate_child(&target, cx.pid()).await);
            }
            Request::Delete(target, reply) => reply.send(self.delete_child(&target)),
            Request::Spec(target, reply) => reply.send(self.childspec(&target)),
            Request::Update(spec, reply) => reply.send(self.update_childspec(spec)),
            Request::Which(reply) => reply.send(self.children.which()),
            Request::Count(reply) => reply.send(self.children.count()),
            Request::TryAgain(key) => {
                let restarting = |c: &Child| matches!(c.state, ChildState::Restarting);
                if self.children.rows.get(&key).is_some_and(restarting) {
                    return self.restart(key, None, cx).await;
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
        let Some(from) = from.local() else { return Next::Continue };
        let Some(key) = self.children.by_pid.remove(&from.id()) else { return Next::Continue };
        let Some(child) = self.children.rows.get(&key) else { return Next::Continue };
        let crash = Self::report_of(from, &reason);
        match decide::on_exit(child.spec.restart, &reason) {
            Verdict::Restart => {
                self.children.ended(key, from, reason.to_string());
                if self.backs_off(key, from.uptime()) {
                    let did = self.try_again(key, cx);
                    tracing::warn!(child = %from.path(), %reason, ?did, "child terminated, restarting later");
                    self.answers(crash, key, did, cx);
                    return Next::Continue;
                }
                tracing::warn!(child = %from.path(), %reason, "child terminated, restarting");
                self.restart(key, crash, cx).await
            }
            Verdict::Forget => {
                self.answers(crash, key, Did::LeftIt, cx);
                let significant = child.spec.significant;
                self.children.forget(key);
                if significant
                    && decide::auto_shutdown(
                        self.auto_shutdown,
                        significant,
                        self.children.significant_left(),
                    )
                {
                    return self.stop(Exit::Shutdown);
                }
                Next::Continue
            }
        }
    }

    fn describe(msg: &Msg) -> Cow<'static, str> {
        msg.word().into()
    }

    fn stopped(&self, reason: Exit) -> Exit {
        if self.children.ghost { Exit::error("a child is undefined") } else { reason }
    }

    async fn terminate(&mut self, _: &Exit, cx: &mut Cx<Msg>) {
        if self.children.ghost {
            return;
        }
        if self.children.template.is_some() {
            self.stop_instances(cx.pid()).await;
        } else {
            let keys = self.children.keys();
            self.stop_all(&keys, cx.pid()).await;
        }
    }
}

impl Supervisor {
    fn stop(&self, reason: Exit) -> Next {
        Next::Stop(self.stopped(reason))
    }

    /// Whether a child is restarted after a wait. One that lived for long begins anew.
    fn backs_off(&mut self, key: Key, lived: Duration) -> bool {
        let Some(child) = self.children.rows.get(&key) else { return false };
        let Some(backoff) = child.spec.backoff else { return false };
        if lived >= backoff.max
            && let Some(failures) = self.children.ledger.lock().failures(key)
        {
            *failures = 0;
        }
        true
    }

    /// A child is to be restarted later: after its wait, or else after what waits in the inbox (a
    /// stop, or another exit, may come first). What it does.
    fn try_again(&mut self, key: Key, cx: &mut Cx<Msg>) -> Did {
        self.children.set(key, ChildState::Restarting);
        let Some(child) = self.children.rows.get(&key) else { return Did::LeftIt };
        let again = Msg(Request::TryAgain(key));
        match child.spec.backoff {
            Some(backoff) => {
                let mut ledger = self.children.ledger.lock();
                let failures = ledger.failures(key).map_or(0, |failures| {
                    *failures = failures.saturating_add(1);
                    *failures - 1
                });
                let delay = backoff.delay(failures);
                ledger.waits(key, Some(after(Instant::now(), delay)));
                let wait = cx.send_after(delay, again);
                // one from before somebody stopped it
                if let Some(old) = self.children.waits.insert(key, wait) {
                    cx.cancel(old);
                }
                Did::Waits(delay)
            }
            None => {
                if let Err(CastError::Full(again)) = cx.me().cast(again) {
                    cx.send_after(FULL, again);
                }
                Did::TriesAgain
            }
        }
    }

    /// Restarts what the strategy says; ends the supervisor when it is one restart too many. `crash`: whose it answers.
    async fn restart(&mut self, key: Key, crash: Option<Of>, cx: &mut Cx<Msg>) -> Next {
        let waited = self.children.rows.get(&key).is_some_and(|c| c.spec.backoff.is_some());
        let now = Instant::now();
        if !waited && !self.children.ledger.lock().allows(now) {
            tracing::error!(supervisor = %cx.pid().path(), "reached maximum restart intensity");
            self.answers(crash, key, Did::GaveUp, cx);
            self.children.forget(key);
            return self.stop(Exit::Shutdown);
        }
        cx.system().count_restart();
        self.answers(crash, key, Did::Restarted, cx);
        self.children.set(key, ChildState::Undefined);
        let mut left = vec![key];
        if self.strategy.is_shared() {
            let keys = self.children.keys();
            let Ok(index) = keys.binary_search(&key) else { return Next::Continue };
            let affected = decide::affected(self.strategy, index, keys.len());
            left = keys.get(affected).unwrap_or_default().to_vec();
            self.takes_along(key, &left);
            self.stop_all(&left, cx.pid()).await;
            left.retain(|key| self.children.rows.contains_key(key));
        }
        left.iter().for_each(|key| self.children.ledger.lock().restarted(*key, now));
        if let Err((failed, error)) = self.start_all(&left, cx).await {
            tracing::warn!(child = %failed.1, %error, "restart failed, trying again");
            self.failed(failed.0, &error, cx);
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
            let Some(child) = self.children.rows.get(key) else { continue };
            let spec = Arc::clone(&child.spec);
            match launch(&spec, self.place(&spec, *key, cx), cx).await {
                Ok(Started::Up(pid)) => self.children.set(*key, ChildState::Up(pid)),
                Ok(Started::Ignored) if self.children.template.is_some() => {
                    self.children.remove(*key);
                    self.children.ghost = true;
                }
                Ok(Started::Ignored) if spec.restart == Restart::Temporary => {
                    self.children.remove(*key);
                }
                Ok(Started::Ignored) => self.children.set(*key, ChildState::Undefined),
                Err(error) if spec.backoff.is_some() => {
                    tracing::warn!(child = %spec.id, %error, "start failed, trying again later");
                    self.failed(*key, &error, cx);
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
        match &self.children.template {
            Some(_) => At::Number(key),
            None => {
                At::Path([cx.pid().path().trim_end_matches('/'), "/", &spec.id].concat().into())
            }
        }
    }

    /// Stops children in reverse order, one after the other; temporary ones are forgotten.
    async fn stop_all(&mut self, keys: &[Key], me: &Local) {
        for key in keys.iter().rev() {
            let Some(child) = self.children.rows.get(key) else { continue };
            if let ChildState::Up(pid) = &child.state {
                stop(me, &child.spec, std::slice::from_ref(pid)).await;
            }
            if child.spec.restart == Restart::Temporary {
                self.children.remove(*key);
            } else {
                self.children.set(*key, ChildState::Undefined);
            }
        }
    }

    /// Stops all instances at the same time, under one timer.
    async fn stop_instances(&mut self, me: &Local) {
        let Some(template) = &self.children.template else { return };
        let pids: Vec<Local> =
            self.children.rows.values().filter_map(|c| c.state.pid().cloned()).collect();
        stop(me, template, &pids).await;
        self.children.rows.clear();
        self.children.by_pid.clear();
        self.children.ledger.lock().clear();
    }
}
