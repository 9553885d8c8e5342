//! A server: one message at a time (`gen_server`). A ractor actor inside, with a bounded inbox,
//! signals before messages, crash reports, and a `terminate` that is always called unless killed.

use crate::{
    crash::Panic,
    cx::{Cx, Taken},
    event::Event,
    exit::Exit,
    inbox::{Overflow, Ref},
    pid::{At, Pid},
    process::{Guard, begin, caught, crashed, discard, not_started, wind_up},
    start_error::{InitError, StartError},
    system::System,
    watch::{Ask, SysError},
};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};
use serde_json::Value;
use std::{
    future::Future,
    marker::PhantomData,
    pin::{Pin, pin},
};
use thiserror::Error;

/// What a server does after a message.
///
/// Example: [`Server`].
#[derive(Clone, Debug)]
pub enum Next {
    /// Waits for the next one.
    Continue,
    /// Ends.
    Stop(Exit),
}

/// A server.
///
/// ```
/// use std::time::Duration;
/// use supervision::{Cx, Exit, InitError, Next, Reply, Server, sys, sys::SysError, testkit};
/// use serde_json::{Value, json};
///
/// struct Account { balance: i64, password: String }
/// enum Order { Add(i64), Read(Reply<i64>), Close }
///
/// impl Server for Account {
///     type Args = ();
///     type Msg = Order;
///     const NAME: &'static str = "account";
///     async fn init((): (), _: &mut Cx<Order>) -> Result<Self, InitError> {
///         Ok(Self { balance: 0, password: "secret".to_owned() })
///     }
///     async fn handle(&mut self, order: Order, _: &mut Cx<Order>) -> Next {
///         match order {
///             Order::Add(n) => self.balance += n,
///             Order::Read(reply) => reply.send(self.balance),
///             Order::Close => return Next::Stop(Exit::Normal),
///         }
///         Next::Continue
///     }
///     // what may be left out
///     fn describe(order: &Order) -> String {
///         if let Order::Add(n) = order { format!("add {n}") } else { "order".to_owned() }
///     }
///     fn state(&self) -> Option<Value> {
///         Some(json!({ "balance": self.balance, "password": self.password.is_empty() }))
///     }
///     fn replace_state(&mut self, state: Value) -> Result<(), SysError> {
///         self.balance = state["balance"].as_i64().ok_or(SysError::NotSupported)?;
///         Ok(())
///     }
///     async fn terminate(&mut self, why: &Exit, _: &mut Cx<Order>) {
///         println!("closed: {why}");
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let (kit, second) = (testkit::server::<Account>("account", || ()).await, Duration::from_secs(1));
/// kit.me.cast(Order::Add(2)).unwrap();
/// assert_eq!(kit.me.call(Order::Read, second).await, Ok(2));
/// sys::replace_state(kit.me.pid(), json!({ "balance": 40 }), second).await.unwrap();
/// assert_eq!(sys::state(kit.me.pid(), second).await.unwrap()["balance"], 40);
/// kit.me.cast(Order::Close).unwrap();
/// testkit::ended(kit.me.pid()).await;
/// # kit.root.stop().await;
/// # });
/// ```
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

    /// Handles an exit signal (with [`Cx::trap_exit`]) or the end of a monitored process. The parent's exit signal does not
    /// come here: it ends the server, as a `gen_server`.
    fn event(
        &mut self,
        _event: Event<Self::Msg>,
        _cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Next> + Send {
        async { Next::Continue }
    }

    /// The reason with which it ends when its parent stops it.
    #[doc(hidden)]
    fn stopped(&self, reason: Exit) -> Exit {
        reason
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

/// Its ractor mailbox gets no message: the loop below runs on the inbox that has a bound, as what the
/// actor does after its start. ractor starts the actor and can kill it.
enum Nothing {}

// without ractor's cluster feature every Send + 'static type is a message
#[cfg(feature = "cluster")]
impl ractor::Message for Nothing {}

/// How an actor ends without going on to its mailbox. Nobody is told: it has no ractor supervisor.
#[derive(Debug, Error)]
#[error("ended")]
struct Ended;

struct Engine<S>(PhantomData<fn() -> S>);

struct Live<S: Server> {
    server: Option<S>,
    cx: Cx<S::Msg>,
    /// Dropped with the state, however the actor ends.
    guard: Guard<S::Msg>,
}

struct Launch<S: Server> {
    args: S::Args,
    guard: Guard<S::Msg>,
}

impl<S: Server> Actor for Engine<S> {
    type Msg = Nothing;
    type State = Live<S>;
    type Arguments = Launch<S>;

    async fn pre_start(
        &self,
        _: ActorRef<Nothing>,
        launch: Launch<S>,
    ) -> Result<Live<S>, ActorProcessingErr> {
        let Launch { args, mut guard } = launch;
        let pid = guard.me.pid.clone();
        let mut cx = Cx::new(guard.me.clone(), S::describe);
        let begun = begin(&pid, pin!(S::init(args, &mut cx))).await;
        let error = match begun {
            Ok(Ok(server)) => return Ok(Live { server: Some(server), cx, guard }),
            Ok(Err(error)) => error,
            Err(panic) => crashed(&pid, panic, &mut cx.black_box),
        };
        not_started(&mut guard, &error);
        Err(error.into())
    }

    async fn post_start(
        &self,
        _: ActorRef<Nothing>,
        live: &mut Live<S>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(mut server) = live.server.take() {
            let exit = live.run(&mut server).await;
            live.end(server, exit).await;
        }
        Err(Ended.into())
    }
}

impl<S: Server> Live<S> {
    async fn run(&mut self, server: &mut S) -> Exit {
        let pid = self.guard.me.pid.clone();
        loop {
            tokio::task::coop::consume_budget().await;
            if let Some(reason) = pid.fatal_now() {
                return reason;
            }
            let outcome = match self.cx.take() {
                Some(Taken::Event(Event::Msg(msg))) => {
                    callback(&pid, pin!(server.handle(msg, &mut self.cx))).await
                }
                Some(Taken::Event(Event::Exit { from, reason })) if self.cx.is_parent(&from) => {
                    pid.count();
                    return server.stopped(reason);
                }
                Some(Taken::Event(event)) => {
                    callback(&pid, pin!(server.event(event, &mut self.cx))).await
                }
                Some(Taken::Ask(ask)) => answer(&pid, server, ask),
                None => {
                    self.cx.idle().await;
                    continue;
                }
            };
            match outcome {
                Ok(Next::Continue) => {}
                Ok(Next::Stop(exit)) => return exit,
                Err(panic) => {
                    let state = pid.catch(|| server.state()).ok().flatten();
                    let (queued, inputs) = (pid.depth(), &mut self.cx.black_box);
                    return Exit::Crash(pid.report(panic, inputs, queued, state));
                }
            }
        }
    }

    async fn end(&mut self, mut server: S, exit: Exit) {
        let pid = self.guard.me.pid.clone();
        let exit = wind_up(&pid, exit.clone(), pin!(server.terminate(&exit, &mut self.cx))).await;
        let state = match &exit {
            Exit::Error(_) => pid.catch(|| server.state()).ok().flatten(),
            _ => None,
        };
        pid.account_for(&exit, &mut self.cx.black_box, state);
        discard(&pid, server);
        self.guard.end(&exit);
    }
}

fn answer<S: Server>(pid: &Pid, server: &mut S, ask: Ask) -> Result<Next, Panic> {
    // a panic in what only shows it is as bad as any other: its state may be broken
    let shown = pid.catch(|| match ask {
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
        result = caught(pid, handler) => result,
        reason = pid.fatal() => Ok(Next::Stop(reason)),
    };
    pid.end();
    outcome
}

/// Starts a server under `parent` and waits for its `init`.
pub(crate) async fn start<S: Server>(
    system: &System,
    parent: Option<Pid>,
    at: At,
    args: S::Args,
) -> Result<Ref<S::Msg>, StartError> {
    let pid = Pid::new(system, S::NAME, at, parent);
    let me = Ref::new(pid, S::INBOX, S::OVERFLOW);
    let launch = Launch { args, guard: Guard::new(me.clone(), None) };
    let error = match Actor::spawn(None, Engine::<S>(PhantomData), launch).await {
        Ok(_) => return Ok(me),
        Err(error) => error,
    };
    if let SpawnErr::StartupFailed(error) = error
        && let Ok(error) = error.downcast::<StartError>()
    {
        return Err(*error);
    }
    Err(StartError::Exited(me.pid.wait().await))
}
