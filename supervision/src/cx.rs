//! What a process may do, and how it takes what comes: signals, timers, messages. The same for both
//! engines.

mod monitors;
mod timers;
mod words;

use crate::{
    crash::{BlackBox, Recorded},
    event::Event,
    exit::Exit,
    inbox::Ref,
    names::RegisterError,
    pid::{Local, Pid},
    schedule::Fault,
    system::System,
    timer::Timers,
    watch::{Ask, Question, SysError},
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::VecDeque,
    convert::Infallible,
    fmt,
    ops::ControlFlow::{self, Break, Continue},
};
use tokio::time::timeout_at;

/// What a process may do: its address, its events, its links, its timers.
///
/// ```
/// use std::time::Duration;
/// use supervision::{Cx, InitError, Pid};
/// # enum Msg { Load, Idle, Tick }
///
/// /// As a server's `init` might.
/// async fn init(cache: &Pid, cx: &mut Cx<Msg>) -> Result<(), InitError> {
///     cx.register("front")?;                           // there is one of that name
///     cx.link(cache);                                  // ends with it
///     cx.monitor(cache);                               // is told, if it traps exits
///     cx.continue_with(Msg::Load);                     // first, and nobody waits for it
///     cx.idle_after(Duration::from_secs(60), Msg::Idle);
///     cx.send_every(Duration::from_secs(1), || Msg::Tick);
///     cx.record("what a crash report shows as input");
///     cx.publish("loading");
///     assert_eq!(cx.pid(), cx.me().pid());
///     Ok(())
/// }
/// ```
pub struct Cx<M> {
    me: Ref<M>,
    pub(crate) black_box: BlackBox,
    /// `None`: it panicked, and is asked no more.
    describe: Option<Describe<M>>,
    /// In a lock that is never taken: it makes the whole shareable, whatever the messages are.
    own: Option<Box<Mutex<Own<M>>>>,
}

/// Its behaviour's word for a message.
type Describe<M> = fn(&M) -> Cow<'static, str>;

/// What most processes do without.
struct Own<M> {
    timers: Timers<M>,
    /// Comes before everything that waits.
    continued: VecDeque<M>,
    /// What makes messages of the events of groups, by the monitor.
    groups: monitors::Groups<M>,
    /// The same of nodes that come and go.
    nodes: monitors::Nodes<M>,
}

impl<M> Default for Own<M> {
    fn default() -> Self {
        let (groups, nodes) = (monitors::Groups::new(), monitors::Nodes::new());
        Self { timers: Timers::default(), continued: VecDeque::new(), groups, nodes }
    }
}

impl<M> fmt::Debug for Cx<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cx({:?})", self.me)
    }
}

/// What a process takes next.
pub(crate) enum Taken<M> {
    Event(Event<M>),
    Ask(Ask),
}

impl<M: Send + 'static> Cx<M> {
    pub(crate) fn new(me: Ref<M>, describe: Describe<M>) -> Self {
        Self { me, black_box: BlackBox::default(), describe: Some(describe), own: None }
    }

    /// Drops its inputs, its timers, and what it would have gone on with: how many messages these were.
    pub(crate) fn clear(&mut self) -> usize {
        let pid = &self.me.pid;
        if !self.black_box.is_empty() {
            pid.discard(self.black_box.take());
        }
        let Some(own) = self.own.take() else { return 0 };
        let Own { timers, continued, groups, nodes } = own.into_inner();
        let unhandled = continued.len();
        pid.discard(timers.into_all());
        pid.discard(continued);
        pid.discard(groups.into_values());
        pid.discard(nodes.into_values());
        unhandled
    }

    /// Its own address.
    pub fn me(&self) -> &Ref<M> {
        &self.me
    }

    /// Its own address without the type of its messages.
    pub fn pid(&self) -> &Local {
        &self.me.pid
    }

    /// The system it lives in.
    pub fn system(&self) -> &System {
        self.me.pid.system()
    }

    /// Gives it a name in its system; the name is free again when it ends. With `?` in its `init` there is one of that name, or it
    /// does not start (`gen_server:start_link({local, Name}, ..)`).
    ///
    /// # Errors
    /// When another has the name: who.
    pub fn register(&mut self, name: &str) -> Result<(), RegisterError> {
        self.system().register(name, &self.me)
    }

    /// Links itself to `pid` (`link/1`).
    pub fn link(&self, pid: impl Into<Pid>) {
        self.pid().link(pid);
    }

    /// Turns exit signals into events (`process_flag(trap_exit, true)`).
    pub fn trap_exit(&mut self, trap: bool) {
        self.me.pid.set_trap(trap);
    }

    /// Notes what it is working on: in a crash report it is the input, the last four of them, each of at most 16 KiB. Costs a move.
    pub fn record(&mut self, input: impl Into<Recorded>) {
        self.black_box.record(input.into());
    }

    /// What the shell shows of it (one line, no secrets).
    pub fn publish(&self, status: &str) {
        self.me.pid.set_status(status.into());
    }

    fn own(&mut self) -> &mut Own<M> {
        self.own.get_or_insert_default().get_mut()
    }

    /// What is to be done now, without waiting: questions, what is continued, urgent messages; then signals, timers and messages
    /// in the order in which they came.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Option<Taken<M>> {
        // of most, nearly always
        if self.own.is_none() && !self.black_box.has_words() && self.pid().has_only_messages() {
            return self.me.pop(false).map(|msg| Taken::Event(Event::Msg(msg)));
        }
        loop {
            if let ControlFlow::Break(taken) = self.take_any() {
                return taken;
            }
        }
    }

    /// [`Cx::take`]; it goes on when what it took was of no use.
    fn take_any(&mut self) -> ControlFlow<Option<Taken<M>>> {
        let pid = &self.me.pid;
        pid.tell_unanswered();
        if let Some(ask) = pid.next_ask() {
            return Break(Some(Taken::Ask(ask)));
        }
        if let Some(own) = &mut self.own {
            own.get_mut().timers.look(&self.me);
        }
        if pid.is_suspended() {
            let signal = pid.next_signal(None);
            return Break(signal.and_then(|signal| self.signalled(signal)).map(Taken::Event));
        }
        let mut own = self.own.as_mut().map(|own| own.get_mut());
        if let Some(msg) = own.as_mut().and_then(|own| own.continued.pop_front()) {
            self.notes(&msg);
            return Break(Some(Taken::Event(Event::Msg(msg))));
        }
        if let Some(msg) = own.as_mut().and_then(|own| own.timers.take_at_once()) {
            self.takes("timer", &msg);
            return Break(Some(Taken::Event(Event::Msg(msg))));
        }
        let due = own.as_ref().and_then(|own| own.timers.first_due());
        let mut msg = None;
        if due.is_some() || pid.is_signalled() {
            msg = self.me.pop(true);
            if msg.is_none() {
                if let Some(signal) = pid.next_signal(due) {
                    return match self.signalled(signal) {
                        Some(event) => Break(Some(Taken::Event(event))),
                        None => Continue(()),
                    };
                }
                if let Some(own) = &mut own
                    && let Some(msg) = own.timers.take(pid)
                {
                    own.timers.stop_idle();
                    self.me.set_deadline(own.timers.deadline());
                    self.takes("timer", &msg);
                    return Break(Some(Taken::Event(Event::Msg(msg))));
                }
            }
        }
        let Some(msg) = msg.or_else(|| self.me.pop(false)) else { return Break(None) };
        if let Some(own) = own {
            own.timers.stop_idle();
        }
        if self.pid().is_scheduled()
            && let Some(fault) = self.pid().fault()
        {
            return self.faulty(fault, msg);
        }
        self.takes("message", &msg);
        Break(Some(Taken::Event(Event::Msg(msg))))
    }

    /// A message is taken at which a test's schedule has a fault.
    #[cold]
    fn faulty(&mut self, fault: Fault, msg: M) -> ControlFlow<Option<Taken<M>>> {
        match fault {
            Fault::Delay(_) => self.own().continued.push_front(msg),
            Fault::Drop => {
                self.pid().discard([msg]);
                return Continue(());
            }
            Fault::Crash | Fault::Kill => {}
        }
        Break(None)
    }

    /// Waits until there may be something to take.
    pub(crate) async fn idle(&mut self) {
        let deadline = self.deadline();
        let heard = self.me.pid.0.bell.heard();
        match deadline {
            None => heard.await,
            // boxed: most processes have no timer, and pay no memory for one
            Some(at) => drop(Box::pin(timeout_at(at, heard)).await),
        }
    }

    /// Whether that is the process that started it: whose exit signal stops it, whatever it traps. (OTP's behaviours
    /// end on `{'EXIT', Parent, Reason}`, and hand those of others to their callbacks.)
    pub fn is_parent(&self, pid: &Pid) -> bool {
        self.pid().is_child_of(pid)
    }

    /// The next event: what is continued, urgent messages, then all else in the order in which it came. Can be cancelled
    /// without loss.
    #[expect(
        clippy::should_implement_trait,
        reason = "no iterator; an `async fn` around it would be larger"
    )]
    pub fn next(&mut self) -> impl Future<Output = Event<M>> {
        self.next_answering(|_| Err(SysError::NotSupported))
    }

    /// [`Cx::next`] of a process that shows its state to [`crate::sys::state`], or lets it be replaced: as
    /// OTP's special processes it answers in its loop, while it waits (`sys:handle_system_msg`).
    /// Costs nothing until somebody asks. The answer holds no secrets.
    ///
    /// ```
    /// use std::time::Duration;
    /// use supervision::{Cx, Event, Exit, InitError, Process, System, sys, sys::{Question, SysError}};
    ///
    /// struct Login { user: String, password: String, tries: u64 }
    /// impl Process for Login {
    ///     type Args = ();
    ///     type Msg = ();
    ///     const NAME: &'static str = "login";
    ///     async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> {
    ///         Ok(Self { user: "anna".to_owned(), password: "secret".to_owned(), tries: 1 })
    ///     }
    ///     async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
    ///         loop {
    ///             // fields that another branch of a `select!` has borrowed may be others than these
    ///             let event = cx.next_answering(|question| {
    ///                 if let Question::Replace(new) = question {
    ///                     self.tries = new["tries"].as_u64().ok_or(SysError::NotSupported)?;
    ///                 }
    ///                 Ok(serde_json::json!({ "user": self.user, "tries": self.tries }))
    ///             });
    ///             match event.await {
    ///                 Event::Exit { reason, .. } => return reason,
    ///                 Event::Msg(()) => assert!(!self.password.is_empty()),
    ///                 Event::Down { .. } => {}
    ///             }
    ///         }
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let (system, second) = (System::new("demo"), Duration::from_secs(1));
    /// let login = system.spawn::<Login>("/login", ()).await.unwrap();
    /// sys::replace_state(login.pid(), serde_json::json!({ "tries": 3 }), second).await.unwrap();
    /// let shown = sys::state(login.pid(), second).await.unwrap();
    /// assert_eq!(shown, serde_json::json!({ "user": "anna", "tries": 3 }));
    /// # });
    /// ```
    pub async fn next_answering(
        &mut self,
        mut answer: impl FnMut(Question) -> Result<Value, SysError>,
    ) -> Event<M> {
        tokio::task::coop::consume_budget().await;
        loop {
            match self.take() {
                Some(Taken::Event(event)) => {
                    self.me.pid.count();
                    return event;
                }
                Some(Taken::Ask(ask)) => {
                    ask.answer(&mut answer);
                    continue;
                }
                None => {}
            }
            self.idle().await;
        }
    }
}

impl Cx<Infallible> {
    /// Resolves when its parent stops it, with the reason: how a process that traps exits and gets no messages hears
    /// of its end, beside what else it waits for. The exits of others are passed over. Can be cancelled without loss.
    ///
    /// ```
    /// use std::{convert::Infallible, time::Duration};
    /// use supervision::{Cx, Exit, InitError, Process};
    ///
    /// struct Sweeper;
    /// impl Process for Sweeper {
    ///     type Args = ();
    ///     type Msg = Infallible;
    ///     const NAME: &'static str = "sweeper";
    ///     async fn init((): (), cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
    ///         cx.trap_exit(true);
    ///         Ok(Self)
    ///     }
    ///     async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
    ///         loop {
    ///             tokio::select! {
    ///                 biased;
    ///                 reason = cx.stopped() => return reason,
    ///                 () = tokio::time::sleep(Duration::from_secs(60)) => println!("sweeps"),
    ///             }
    ///         }
    ///     }
    /// }
    /// ```
    pub async fn stopped(&mut self) -> Exit {
        loop {
            if let Event::Exit { from, reason } = self.next().await
                && self.is_parent(&from)
            {
                return reason;
            }
        }
    }
}
