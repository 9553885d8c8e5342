//! A server: one message at a time (`gen_server`). A ractor actor inside, with a bounded inbox,
//! signals before messages, crash reports, and a `terminate` that is always called unless killed.

use crate::{
    crash,
    exit::Exit,
    inbox::{Inbox, Lane, Ref},
    pid::Pid,
    process::{Cx, Event, Guard, InitError, caught, event, wind_up},
    spec::StartError,
    system::System,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::{
    future::Future,
    marker::PhantomData,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::sync::oneshot;

/// What a server does after a message.
#[derive(Clone, Debug)]
pub enum Next {
    /// Waits for the next one.
    Continue,
    /// Ends.
    Stop(Exit),
}

/// A server.
pub trait Server: Sized + Send + 'static {
    /// What it is started with.
    type Args: Send + 'static;
    /// Its messages.
    type Msg: Send + 'static;
    /// What it is, for the tree and crash reports.
    const NAME: &'static str;
    /// The most messages that wait; beyond it a cast or call comes back as full.
    const INBOX: usize = 1024;

    /// Starts it; the parent waits for it.
    fn init(
        args: Self::Args,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Result<Self, InitError>> + Send;

    /// Handles one message.
    fn handle(
        &mut self,
        msg: Self::Msg,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Next> + Send;

    /// Handles an exit signal (with [`Cx::trap_exit`]) or the end of a monitored process. The
    /// default stops when the signal is the parent's, as `gen_server` does.
    fn event(
        &mut self,
        event: Event<Self::Msg>,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Next> + Send {
        async move {
            match event {
                Event::Exit { from, reason } if Some(&from) == cx.pid().parent() => {
                    Next::Stop(reason)
                }
                _ => Next::Continue,
            }
        }
    }

    /// The last thing it does, also after a panic; not when it was killed.
    fn terminate(
        &mut self,
        _why: &Exit,
        _cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = ()> + Send {
        async {}
    }
}

enum Envelope<M> {
    Msg(M),
    /// There are signals.
    Wake,
}

// no `ractor::Message` by hand: without ractor's cluster feature every Send + 'static type is one

struct Engine<S>(PhantomData<fn() -> S>);

struct Live<S: Server> {
    server: Option<S>,
    cx: Cx<S::Msg>,
    /// Dropped with the state, however the actor ends.
    guard: Guard,
    waking: Arc<AtomicBool>,
}

struct Launch<S: Server> {
    args: S::Args,
    me: Ref<S::Msg>,
    guard: Guard,
    waking: Arc<AtomicBool>,
    actor: Arc<OnceLock<ActorRef<Envelope<S::Msg>>>>,
    failed: oneshot::Sender<StartError>,
}

impl<S: Server> Actor for Engine<S> {
    type Msg = Envelope<S::Msg>;
    type State = Live<S>;
    type Arguments = Launch<S>;

    async fn pre_start(
        &self,
        actor: ActorRef<Self::Msg>,
        launch: Launch<S>,
    ) -> Result<Live<S>, ActorProcessingErr> {
        let Launch { args, me, guard, waking, actor: address, failed } = launch;
        drop(address.set(actor.clone()));
        let pid = me.pid.clone();
        let (flag, target) = (Arc::clone(&waking), actor);
        let waker = move || {
            // one wake-up waits at most
            if !flag.swap(true, Ordering::AcqRel) {
                drop(target.cast(Envelope::Wake));
            }
        };
        drop(pid.0.waker.set(Box::new(waker)));
        let mut cx = Cx::new(me);
        let error = tokio::select! {
            biased;
            reason = pid.fatal() => StartError::Exited(reason),
            result = caught(S::init(args, &mut cx)) => match result {
                Ok(Ok(server)) => return Ok(Live { server: Some(server), cx, guard, waking }),
                Ok(Err(InitError::Ignore)) => StartError::Ignore,
                Ok(Err(InitError::Start(error))) => error,
                Ok(Err(InitError::Failed(why))) => StartError::Failed(why.to_string().into()),
                Err(panic) => {
                    let report = crash::report(&pid, panic, &mut cx.black_box, 0);
                    StartError::Exited(Exit::Crash(report))
                }
            },
        };
        if let Some(parent) = pid.parent() {
            parent.unlink(&pid);
        }
        pid.finish(&error.exit());
        drop(failed.send(error));
        Err("not started".into())
    }

    async fn handle(
        &self,
        actor: ActorRef<Self::Msg>,
        envelope: Envelope<S::Msg>,
        live: &mut Live<S>,
    ) -> Result<(), ActorProcessingErr> {
        let msg = match envelope {
            Envelope::Msg(msg) => {
                live.cx.me().inbox.depth.fetch_sub(1, Ordering::AcqRel);
                Some(msg)
            }
            Envelope::Wake => None,
        };
        live.waking.store(false, Ordering::Release);
        if let Next::Stop(exit) = live.work(msg).await {
            live.end(exit).await;
            actor.stop(None);
        }
        Ok(())
    }
}

impl<S: Server> Live<S> {
    /// Signals first, then the message.
    async fn work(&mut self, mut msg: Option<S::Msg>) -> Next {
        let pid = self.guard.0.clone();
        let Some(server) = &mut self.server else { return Next::Continue };
        loop {
            let outcome = match (pid.next_signal(), msg.take()) {
                (Some(signal), waiting) => {
                    msg = waiting;
                    callback(&pid, server.event(event(signal), &mut self.cx)).await
                }
                (None, Some(msg)) => callback(&pid, server.handle(msg, &mut self.cx)).await,
                (None, None) => return pid.fatal_now().map_or(Next::Continue, Next::Stop),
            };
            match outcome {
                Ok(Next::Continue) => {}
                Ok(stop) => return stop,
                Err(panic) => {
                    let queued = self.cx.me().depth();
                    let report = crash::report(&pid, panic, &mut self.cx.black_box, queued);
                    return Next::Stop(Exit::Crash(report));
                }
            }
        }
    }

    async fn end(&mut self, exit: Exit) {
        let pid = self.guard.0.clone();
        let Some(mut server) = self.server.take() else { return };
        let exit = wind_up(&pid, exit.clone(), server.terminate(&exit, &mut self.cx)).await;
        drop(server);
        pid.finish(&exit);
    }
}

/// One callback: a panic or a signal that is not trapped ends it.
async fn callback(pid: &Pid, handler: impl Future<Output = Next>) -> Result<Next, crash::Panic> {
    pid.begin();
    let outcome = tokio::select! {
        biased;
        reason = pid.fatal() => Ok(Next::Stop(reason)),
        result = caught(handler) => result,
    };
    pid.end();
    outcome
}

/// Starts a server under `parent` and waits for its `init`.
pub(crate) async fn start<S: Server>(
    system: &System,
    parent: Option<Pid>,
    path: Arc<str>,
    args: S::Args,
) -> Result<Ref<S::Msg>, StartError> {
    let pid = Pid::new(system, S::NAME, path, parent);
    let guard = Guard(pid.clone());
    // the address has to exist before the actor does: it is filled in when the actor is there
    let actor: Arc<OnceLock<ActorRef<Envelope<S::Msg>>>> = Arc::default();
    let target = Arc::clone(&actor);
    let push = move |msg| match target.get() {
        None => Err(msg),
        Some(actor) => actor
            .cast(Envelope::Msg(msg))
            .map_err(|e| match e {
                ractor::MessagingErr::SendErr(Envelope::Msg(msg)) => Some(msg),
                _ => None,
            })
            .or_else(|msg| msg.map_or(Ok(()), Err)),
    };
    let inbox =
        Inbox { lane: Lane::Ractor(Box::new(push)), depth: AtomicUsize::new(0), limit: S::INBOX };
    let me = Ref { pid: pid.clone(), inbox: Arc::new(inbox) };
    let (failed, why) = oneshot::channel();
    let launch = Launch { args, me: me.clone(), guard, waking: Arc::default(), actor, failed };
    match Actor::spawn(None, Engine::<S>(PhantomData), launch).await {
        Ok(_) => Ok(me),
        Err(_) => Err(why.await.unwrap_or(StartError::Exited(pid.wait().await))),
    }
}
