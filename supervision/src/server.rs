//! A server: one message at a time (`gen_server`), with a bounded inbox, crash reports, and a `terminate` that is always called
//! unless it is killed. It runs on either [`Engine`], with the same loop.

use crate::{
    actor,
    cx::{Cx, Taken},
    event::Event,
    exit::Exit,
    inbox::{Overflow, Ref},
    pid::{At, Local},
    policy::Engine,
    process::{self, Process},
    start_error::{InitError, StartError},
    system::System,
    watch::{Ask, SysError},
};
use serde_json::Value;
use std::{borrow::Cow, collections::VecDeque, future::Future};

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
/// use std::{borrow::Cow, time::Duration};
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
///     fn describe(order: &Order) -> Cow<'static, str> {
///         match order {
///             Order::Add(n) => format!("add {n}").into(),
///             Order::Read(_) => "read".into(),
///             Order::Close => "close".into(),
///         }
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

    /// See [`Process::put_off`].
    #[doc(hidden)]
    fn put_off(&mut self) -> VecDeque<Self::Msg> {
        VecDeque::new()
    }

    /// How a crash report, [`crate::sys::trace`] and [`crate::sys::log`] show a message: a word, no secrets. Asked of each
    /// message that is taken: a word that is there already costs nothing, a text that is made costs its making.
    fn describe(_msg: &Self::Msg) -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<Self::Msg>())
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

/// A server as a process, which it is in either engine: this is its loop. By this name a pool has servers, which are lean
/// there.
///
/// ```
/// use supervision::{ChildSpec, Engine, PoolRef, PoolSpec, SupervisorSpec, System, server::Serving};
/// # use std::time::Duration;
/// # use supervision::{Cx, InitError, Next, Reply, Server};
/// # struct Room(String);
/// # impl Server for Room {
/// #     type Args = &'static str;
/// #     type Msg = Reply<String>;
/// #     const NAME: &'static str = "room";
/// #     async fn init(name: &'static str, _: &mut Cx<Self::Msg>) -> Result<Self, InitError> {
/// #         Ok(Self(name.to_owned()))
/// #     }
/// #     async fn handle(&mut self, reply: Reply<String>, _: &mut Cx<Self::Msg>) -> Next {
/// #         reply.send(self.0.clone());
/// #         Next::Continue
/// #     }
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let lobby = ChildSpec::server::<Room>("lobby", || "lobby").engine(Engine::Lean);
/// let rooms = ChildSpec::pool::<Serving<Room>>("rooms", "rooms", PoolSpec::default());
/// let system = System::new("demo");
/// let root = system.start(SupervisorSpec::one_for_one().child(lobby).child(rooms)).await.unwrap();
/// let room = PoolRef::<Serving<Room>>::find(&system, "rooms").unwrap().start("tea").await.unwrap();
/// assert_eq!(room.call(|reply| reply, Duration::from_secs(1)).await.as_deref(), Ok("tea"));
/// # root.stop().await;
/// # });
/// ```
#[derive(Debug)]
pub struct Serving<S> {
    server: S,
    /// The message it took last; empty: see the black box.
    last: &'static str,
}

impl<S: Server> Process for Serving<S> {
    type Args = S::Args;
    type Msg = S::Msg;
    const NAME: &'static str = S::NAME;
    const INBOX: usize = S::INBOX;
    const OVERFLOW: Overflow = S::OVERFLOW;

    async fn init(args: S::Args, cx: &mut Cx<S::Msg>) -> Result<Self, InitError> {
        S::init(args, cx).await.map(|server| Self { server, last: "" })
    }

    async fn run(&mut self, cx: &mut Cx<S::Msg>) -> Exit {
        let pid = cx.pid().clone();
        loop {
            tokio::task::coop::consume_budget().await;
            if let Some(reason) = pid.fatal_now() {
                return reason;
            }
            // in a block: what a message was taken out of has no room in the future while it is handled
            let msg = {
                let Some(event) = self.take(cx) else {
                    cx.idle().await;
                    continue;
                };
                match event {
                    Event::Msg(msg) => msg,
                    Event::Exit { from, reason } if cx.is_parent(&from) => {
                        pid.count();
                        return self.server.stopped(reason);
                    }
                    event => {
                        pid.begin();
                        let next = self.server.event(event, cx).await;
                        pid.end();
                        match next {
                            Next::Continue => continue,
                            Next::Stop(exit) => return exit,
                        }
                    }
                }
            };
            pid.begin();
            let next = self.server.handle(msg, cx).await;
            pid.end();
            if let Next::Stop(exit) = next {
                return exit;
            }
        }
    }

    fn describe(msg: &S::Msg) -> Cow<'static, str> {
        S::describe(msg)
    }

    fn state(&self) -> Option<Value> {
        self.server.state()
    }

    fn word(&self) -> &'static str {
        self.last
    }

    fn put_off(&mut self) -> VecDeque<S::Msg> {
        self.server.put_off()
    }

    async fn terminate(&mut self, why: &Exit, cx: &mut Cx<S::Msg>) {
        self.server.terminate(why, cx).await;
    }
}

impl<S: Server> Serving<S> {
    /// What is to be handled now, if anything; questions are answered.
    #[inline]
    fn take(&mut self, cx: &mut Cx<S::Msg>) -> Option<Event<S::Msg>> {
        loop {
            match cx.take()? {
                Taken::Ask(ask) => answer(&mut self.server, cx.pid(), ask),
                Taken::Event(event) => {
                    self.last = match &event {
                        Event::Msg(msg) => cx.word_of(S::describe, msg),
                        event => event.word(),
                    };
                    return Some(event);
                }
            }
        }
    }
}

/// A panic in what only shows it is reported, and changes nothing; one in what changes it is as bad as any other.
fn answer<S: Server>(server: &mut S, pid: &Local, ask: Ask) {
    match ask {
        Ask::State(reply) => {
            let state = pid.catch(|| server.state()).map_err(|panic| {
                let refused = SysError::Refused(panic.message.clone());
                pid.report_beside(panic, Some("state: it was not shown"));
                refused
            });
            drop(reply.send(state.and_then(|state| state.ok_or(SysError::NotSupported))));
        }
        Ask::Replace(state, reply) => drop(reply.send(server.replace_state(state))),
    }
}

/// Starts a server under `parent`, waits for its `init`, and makes of what came what the caller wants. All in one future: a
/// child's start is boxed, and what has more than 1 KiB costs the allocator ten times as much.
pub(crate) async fn start<S: Server, T>(
    engine: Engine,
    system: System,
    parent: Option<Local>,
    at: At,
    args: S::Args,
    made: fn(Result<Ref<S::Msg>, StartError>) -> T,
) -> T {
    match engine {
        Engine::Ractor => {
            let (me, spawning) = actor::spawn::<Serving<S>>(&system, parent, at, args);
            made(actor::begun(me, spawning.await).await)
        }
        Engine::Lean => made(process::start::<Serving<S>>(&system, parent, at, args).await),
    }
}
