//! A server: one message at a time (`gen_server`). A ractor actor inside, with a bounded inbox,
//! signals before messages, crash reports, and a `terminate` that is always called unless killed.

use crate::{
    crash::{self, Panic},
    exit::Exit,
    inbox::{Overflow, Ref},
    pid::{At, Pid},
    process::{
        Cx, Event, Guard, InitError, Taken, begin, caught, crashed, discard, not_started, wind_up,
    },
    spec::StartError,
    sys::{Ask, SysError},
    system::System,
};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::Value;
use std::{
    future::Future,
    marker::PhantomData,
    pin::{Pin, pin},
    sync::Arc,
    task::{Wake, Waker},
};
use tokio::{
    sync::oneshot,
    task::AbortHandle,
    time::{Instant, sleep_until},
};

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
    /// What happens beyond it.
    const OVERFLOW: Overflow = Overflow::Reject;

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

    /// How [`crate::sys::trace`] and [`crate::sys::log`] show a message: a word, no secrets.
    fn describe(_msg: &Self::Msg) -> String {
        std::any::type_name::<Self::Msg>().to_owned()
    }

    /// Its state for [`crate::sys::state`], without secrets. The default shows none.
    fn state(&self) -> Option<Value> {
        None
    }

    /// Takes another state from [`crate::sys::replace_state`]. The default does not.
    ///
    /// # Errors
    /// When it is none.
    fn replace_state(&mut self, _state: Value) -> Result<(), SysError> {
        Err(SysError::NotSupported)
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

/// What its ractor mailbox gets: there is something to do. The messages are in the inbox, which has
/// a bound.
struct Awake;

/// Rings through to ractor's mailbox.
struct Ring(ActorRef<Awake>);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        drop(self.0.cast(Awake));
    }
}

// no `ractor::Message` by hand: without ractor's cluster feature every Send + 'static type is one

struct Engine<S>(PhantomData<fn() -> S>);

struct Live<S: Server> {
    server: Option<S>,
    cx: Cx<S::Msg>,
    /// Dropped with the state, however the actor ends.
    guard: Guard<S::Msg>,
    waker: Waker,
    alarm: Option<(Instant, AbortHandle)>,
}

struct Launch<S: Server> {
    args: S::Args,
    guard: Guard<S::Msg>,
    failed: oneshot::Sender<StartError>,
}

/// Events handled at one waking, so that ractor has its turn.
const BATCH: usize = 64;

impl<S: Server> Actor for Engine<S> {
    type Msg = Awake;
    type State = Live<S>;
    type Arguments = Launch<S>;

    async fn pre_start(
        &self,
        actor: ActorRef<Awake>,
        launch: Launch<S>,
    ) -> Result<Live<S>, ActorProcessingErr> {
        let Launch { args, mut guard, failed } = launch;
        let pid = guard.me.pid.clone();
        let mut cx = Cx::new(guard.me.clone(), S::describe);
        let begun = begin(&pid, pin!(S::init(args, &mut cx))).await;
        let error = match begun {
            Ok(Ok(server)) => {
                let waker = Waker::from(Arc::new(Ring(actor)));
                pid.0.bell.listen(&waker);
                // for what came while nobody listened
                pid.wake();
                return Ok(Live { server: Some(server), cx, guard, waker, alarm: None });
            }
            Ok(Err(error)) => error,
            Err(panic) => crashed(&pid, panic, &mut cx.black_box),
        };
        not_started(&mut guard, &error);
        drop(failed.send(error));
        Err("not started".into())
    }

    async fn handle(
        &self,
        actor: ActorRef<Awake>,
        _: Awake,
        live: &mut Live<S>,
    ) -> Result<(), ActorProcessingErr> {
        // before the look at what there is: a ring from now on is another message
        live.guard.me.pid.0.bell.listen(&live.waker);
        match live.work().await {
            Next::Stop(exit) => {
                live.end(exit).await;
                actor.stop(None);
            }
            Next::Continue => live.set_alarm(),
        }
        Ok(())
    }
}

impl<S: Server> Live<S> {
    async fn work(&mut self) -> Next {
        let pid = self.guard.me.pid.clone();
        let Some(server) = &mut self.server else { return Next::Continue };
        for _ in 0..BATCH {
            if let Some(reason) = pid.fatal_now() {
                return Next::Stop(reason);
            }
            let outcome = match self.cx.take() {
                Some(Taken::Event(Event::Msg(msg))) => {
                    callback(&pid, pin!(server.handle(msg, &mut self.cx))).await
                }
                Some(Taken::Event(event)) => {
                    callback(&pid, pin!(server.event(event, &mut self.cx))).await
                }
                Some(Taken::Ask(ask)) => answer(server, ask),
                None => return Next::Continue,
            };
            match outcome {
                Ok(Next::Continue) => {}
                Ok(stop) => return stop,
                Err(panic) => {
                    let queued = pid.depth();
                    let report = crash::report(&pid, panic, &mut self.cx.black_box, queued);
                    return Next::Stop(Exit::Crash(report));
                }
            }
        }
        pid.wake();
        Next::Continue
    }

    /// A task that wakes it when its next timer is due.
    fn set_alarm(&mut self) {
        let deadline = self.cx.deadline();
        if self.alarm.as_ref().map(|(at, _)| *at) == deadline {
            return;
        }
        self.stop_alarm();
        let pid = self.guard.me.pid.clone();
        self.alarm = deadline.map(|at| {
            #[expect(clippy::disallowed_methods, reason = "part of the process: aborted with it")]
            let alarm = tokio::spawn(async move {
                sleep_until(at).await;
                pid.wake();
            });
            (at, alarm.abort_handle())
        });
    }

    fn stop_alarm(&mut self) {
        if let Some((_, alarm)) = self.alarm.take() {
            alarm.abort();
        }
    }

    async fn end(&mut self, exit: Exit) {
        let pid = self.guard.me.pid.clone();
        let Some(mut server) = self.server.take() else { return };
        let exit = wind_up(&pid, exit.clone(), pin!(server.terminate(&exit, &mut self.cx))).await;
        discard(&pid, server);
        self.stop_alarm();
        self.guard.end(&exit);
    }
}

impl<S: Server> Drop for Live<S> {
    fn drop(&mut self) {
        self.stop_alarm();
    }
}

fn answer<S: Server>(server: &mut S, ask: Ask) -> Result<Next, Panic> {
    // a panic in what only shows it is as bad as any other: its state may be broken
    let shown = crash::catch(|| match ask {
        Ask::State(reply) => {
            drop(reply.send(server.state().ok_or(SysError::NotSupported)));
        }
        Ask::Replace(state, reply) => drop(reply.send(server.replace_state(state))),
    });
    shown.map(|()| Next::Continue)
}

/// One callback: a panic or a signal that is not trapped ends it.
async fn callback(pid: &Pid, handler: Pin<&mut impl Future<Output = Next>>) -> Result<Next, Panic> {
    pid.begin();
    let outcome = tokio::select! {
        biased;
        result = caught(handler) => result,
        reason = pid.fatal() => Ok(Next::Stop(reason)),
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
    let pid = Pid::new(system, S::NAME, At::Path(path), parent);
    let me = Ref::new(pid.clone(), S::INBOX, S::OVERFLOW);
    let (failed, why) = oneshot::channel();
    let launch = Launch { args, guard: Guard::new(me.clone(), None), failed };
    match Actor::spawn(None, Engine::<S>(PhantomData), launch).await {
        Ok(_) => Ok(me),
        Err(_) => Err(match why.await {
            Ok(error) => error,
            Err(_) => StartError::Exited(pid.wait().await),
        }),
    }
}
