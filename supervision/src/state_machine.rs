//! A state machine (`gen_statem`): events in, a [`Step`] out; what it does is a value, so a test can
//! look at it. A server inside.
//!
//! A time-out is a message like others: it is what the machine asked to be told. A postponed message
//! goes back into the step and comes again after the state has changed.
//!
//! See `examples/door.rs`.

use crate::{
    cx::Cx,
    event::Event,
    exit::Exit,
    inbox::{Overflow, Reply},
    server::{Next, Server},
    start_error::InitError,
    timer::Timer,
};
use serde_json::Value;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    time::Duration,
};

/// A state machine.
///
/// ```
/// use std::time::Duration;
/// use supervision::{Actions, Cx, InitError, StateMachine, Step, testkit};
///
/// struct Lamp;
/// #[derive(Debug, PartialEq)]
/// enum Is { Off, On }
/// enum Msg { Press, TooLong }
///
/// impl StateMachine for Lamp {
///     type Args = ();
///     type Msg = Msg;
///     type State = Is;
///     const NAME: &'static str = "lamp";
///     async fn init((): (), _: &mut Cx<Msg>) -> Result<(Is, Self), InitError> {
///         Ok((Is::Off, Self))
///     }
///     fn enter(&mut self, state: &Is) -> Actions<Msg> {
///         match state {
///             Is::On => Actions::new().state_timeout(Duration::from_secs(60), Msg::TooLong),
///             Is::Off => Actions::new(),
///         }
///     }
///     fn show(&self, state: &Is) -> Option<serde_json::Value> {
///         Some(format!("{state:?}").into())
///     }
///     fn describe(msg: &Msg) -> String {
///         if matches!(msg, Msg::Press) { "press".to_owned() } else { "too long".to_owned() }
///     }
///     async fn terminate(&mut self, state: &Is, why: &supervision::Exit) {
///         println!("it was {state:?} when it ended: {why}");
///     }
///     async fn handle(&mut self, state: &Is, msg: Msg, _: &mut Cx<Msg>) -> Step<Is, Msg> {
///         match (state, msg) {
///             (Is::Off, Msg::Press) => Step::to(Is::On),
///             (Is::On, Msg::Press | Msg::TooLong) => Step::to(Is::Off),
///             (Is::Off, Msg::TooLong) => Step::keep(),
///         }
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let lamp = testkit::state_machine::<Lamp>("lamp", || ()).await;
/// lamp.me.cast(Msg::Press).unwrap();
/// tokio::task::yield_now().await;
/// let shown = supervision::sys::state(lamp.me.pid(), Duration::from_secs(1)).await;
/// assert_eq!(shown.unwrap(), "On");
/// # lamp.root.stop().await;
/// # });
/// ```
pub trait StateMachine: Sized + Send + 'static {
    /// What it is started with.
    type Args: Send + 'static;
    /// Its messages, time-outs included.
    type Msg: Send + 'static;
    /// Its states. What changes without being another state is in the machine itself.
    type State: PartialEq + fmt::Debug + Send + Sync + 'static;
    /// What it is, for the tree and crash reports.
    const NAME: &'static str;
    /// The most messages that wait, and the most that are postponed.
    const INBOX: usize = 1024;

    /// Starts it, in a state; the parent waits for it.
    fn init(
        args: Self::Args,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Result<(Self::State, Self), InitError>> + Send;

    /// Called when a state begins, the first one included (`state_enter`).
    fn enter(&mut self, _state: &Self::State) -> Actions<Self::Msg> {
        Actions::new()
    }

    /// Handles a message in a state.
    fn handle(
        &mut self,
        state: &Self::State,
        msg: Self::Msg,
        cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Step<Self::State, Self::Msg>> + Send;

    /// Handles an exit signal (with [`Cx::trap_exit`]) or the end of a monitored process. The parent's exit signal does not
    /// come here: it ends the machine.
    fn event(
        &mut self,
        _state: &Self::State,
        _event: Event<Self::Msg>,
        _cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Step<Self::State, Self::Msg>> + Send {
        async { Step::keep() }
    }

    /// How [`crate::sys::trace`] and [`crate::sys::log`] show a message: a word, no secrets.
    fn describe(_msg: &Self::Msg) -> String {
        std::any::type_name::<Self::Msg>().to_owned()
    }

    /// What [`crate::sys::state`] shows, without secrets. The default is the state's name.
    fn show(&self, state: &Self::State) -> Option<Value> {
        Some(Value::String(format!("{state:?}")))
    }

    /// The last thing it does, also after a panic; not when it was killed.
    fn terminate(&mut self, _state: &Self::State, _why: &Exit) -> impl Future<Output = ()> + Send {
        async {}
    }
}

enum Action<M> {
    State(Duration, M),
    Event(Duration, M),
    Named(&'static str, Duration, M),
    Cancel(&'static str),
    Next(M),
    Reply(Box<dyn FnOnce() + Send>),
}

impl<M> fmt::Debug for Action<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(after, _) => write!(f, "state_timeout {after:?}"),
            Self::Event(after, _) => write!(f, "event_timeout {after:?}"),
            Self::Named(name, after, _) => write!(f, "timeout {name} {after:?}"),
            Self::Cancel(name) => write!(f, "cancel {name}"),
            Self::Next(_) => f.write_str("next_event"),
            Self::Reply(_) => f.write_str("reply"),
        }
    }
}

/// What a machine wants done.
///
/// Example: [`Step`].
#[derive(Debug)]
pub struct Actions<M>(Vec<Action<M>>);

impl<M> Default for Actions<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M> Actions<M> {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    fn and(mut self, action: Action<M>) -> Self {
        self.0.push(action);
        self
    }

    /// Is told `msg` when the state has lasted so long (`state_timeout`).
    #[must_use]
    pub fn state_timeout(self, after: Duration, msg: M) -> Self {
        self.and(Action::State(after, msg))
    }

    /// Is told `msg` when nothing else comes for so long (`event_timeout`).
    #[must_use]
    pub fn event_timeout(self, after: Duration, msg: M) -> Self {
        self.and(Action::Event(after, msg))
    }

    /// Is told `msg` after so long, whatever happens (`{timeout, Name}`); a second one of the same
    /// name replaces the first.
    #[must_use]
    pub fn timeout(self, name: &'static str, after: Duration, msg: M) -> Self {
        self.and(Action::Named(name, after, msg))
    }

    /// Cancels the time-out of that name.
    #[must_use]
    pub fn cancel(self, name: &'static str) -> Self {
        self.and(Action::Cancel(name))
    }

    /// Handles `msg` before what waits (`next_event`).
    #[must_use]
    pub fn next_event(self, msg: M) -> Self {
        self.and(Action::Next(msg))
    }

    /// Answers a call.
    #[must_use]
    pub fn reply<R: Send + 'static>(self, to: Reply<R>, answer: R) -> Self {
        self.and(Action::Reply(Box::new(move || to.send(answer))))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum To<S> {
    Keep,
    Repeat,
    State(S),
}

/// What follows from an event: the state, and what is to be done.
///
/// ```
/// use std::time::Duration;
/// use supervision::{Actions, Step};
///
/// #[derive(Debug, PartialEq)]
/// enum Is { Ringing, Talking }
/// #[derive(Debug)]
/// enum Msg { Hello, NoAnswer, Silence, Hangup }
///
/// let second = Duration::from_secs(1);
/// let actions = Actions::new()
///     .timeout("no answer", second * 30, Msg::NoAnswer)
///     .event_timeout(second * 5, Msg::Silence)
///     .next_event(Msg::Hello);
/// let answered = Step::to(Is::Talking).with(actions);
/// assert_eq!(answered.next_state(), Some(&Is::Talking));
/// let early: Step<Is, Msg> = Step::keep().postpone(Msg::Hangup);
/// let again: Step<Is, Msg> = Step::repeat().with(Actions::new().cancel("no answer"));
/// assert_eq!((early.next_state(), again.next_state()), (None, None));
/// ```
#[derive(Debug)]
pub struct Step<S, M> {
    to: To<S>,
    stop: Option<Exit>,
    postponed: Option<M>,
    actions: Actions<M>,
}

impl<S, M> Step<S, M> {
    fn new(to: To<S>) -> Self {
        Self { to, stop: None, postponed: None, actions: Actions::new() }
    }

    /// Stays in its state.
    pub fn keep() -> Self {
        Self::new(To::Keep)
    }

    /// Stays, and enters it once more (`repeat_state`). As with [`Step::keep`] its time-out goes on, and what was postponed waits.
    pub fn repeat() -> Self {
        Self::new(To::Repeat)
    }

    /// Goes to a state. To the one it is in is the same as [`Step::keep`].
    pub fn to(state: S) -> Self {
        Self::new(To::State(state))
    }

    /// Ends.
    pub fn stop(why: Exit) -> Self {
        Self { stop: Some(why), ..Self::keep() }
    }

    /// Puts the message back: it comes again, before others, when the state has changed.
    #[must_use]
    pub fn postpone(self, msg: M) -> Self {
        Self { postponed: Some(msg), ..self }
    }

    /// Adds what is to be done.
    #[must_use]
    pub fn with(mut self, actions: Actions<M>) -> Self {
        self.actions.0.extend(actions.0);
        self
    }

    /// The state it goes to, if it goes to one: for tests.
    pub fn next_state(&self) -> Option<&S> {
        match &self.to {
            To::State(state) => Some(state),
            To::Keep | To::Repeat => None,
        }
    }
}

/// The server a machine runs in.
#[doc(hidden)]
pub struct Machine<M: StateMachine> {
    machine: M,
    state: M::State,
    postponed: VecDeque<M::Msg>,
    state_timer: Option<Timer>,
    event_timer: Option<Timer>,
    named: HashMap<&'static str, Timer>,
}

impl<M: StateMachine> Machine<M> {
    /// Applies a step: replies and timers, then the new state, then what comes next.
    fn apply(&mut self, step: Step<M::State, M::Msg>, cx: &mut Cx<M::Msg>) -> Next {
        let Step { to, stop, postponed, actions } = step;
        if let Some(msg) = postponed {
            if self.postponed.len() >= M::INBOX {
                return Next::Stop(Exit::error("too many messages are postponed"));
            }
            self.postponed.push_back(msg);
        }
        let (changed, enters) = match to {
            To::Keep => (false, false),
            To::Repeat => (false, true),
            To::State(state) => {
                let changed = state != self.state;
                self.state = state;
                (changed, changed)
            }
        };
        if changed && let Some(timer) = self.state_timer.take() {
            cx.cancel(timer);
        }
        let mut next = VecDeque::new();
        self.act(actions, &mut next, cx);
        if let Some(why) = stop {
            return Next::Stop(why);
        }
        if enters {
            self.enter(&mut next, cx);
        }
        if changed {
            next.append(&mut self.postponed);
        }
        cx.continue_first(next);
        Next::Continue
    }

    fn enter(&mut self, next: &mut VecDeque<M::Msg>, cx: &mut Cx<M::Msg>) {
        let actions = self.machine.enter(&self.state);
        self.act(actions, next, cx);
    }

    fn act(&mut self, actions: Actions<M::Msg>, next: &mut VecDeque<M::Msg>, cx: &mut Cx<M::Msg>) {
        for action in actions.0 {
            let (slot, timer) = match action {
                Action::State(after, msg) => (&mut self.state_timer, cx.send_after(after, msg)),
                Action::Event(after, msg) => (&mut self.event_timer, cx.send_after(after, msg)),
                Action::Named(name, after, msg) => {
                    let timer = cx.send_after(after, msg);
                    if let Some(old) = self.named.insert(name, timer) {
                        cx.cancel(old);
                    }
                    continue;
                }
                Action::Cancel(name) => {
                    if let Some(timer) = self.named.remove(name) {
                        cx.cancel(timer);
                    }
                    continue;
                }
                Action::Next(msg) => {
                    next.push_back(msg);
                    continue;
                }
                Action::Reply(reply) => {
                    reply();
                    continue;
                }
            };
            if let Some(old) = slot.replace(timer) {
                cx.cancel(old);
            }
        }
    }

    fn stop_event_timer(&mut self, cx: &mut Cx<M::Msg>) {
        if let Some(timer) = self.event_timer.take() {
            cx.cancel(timer);
        }
    }
}

impl<M: StateMachine> Server for Machine<M> {
    type Args = M::Args;
    type Msg = M::Msg;
    const NAME: &'static str = M::NAME;
    const INBOX: usize = M::INBOX;
    const OVERFLOW: Overflow = Overflow::Reject;

    async fn init(args: M::Args, cx: &mut Cx<M::Msg>) -> Result<Self, InitError> {
        let (state, machine) = M::init(args, cx).await?;
        let mut me = Self {
            machine,
            state,
            postponed: VecDeque::new(),
            state_timer: None,
            event_timer: None,
            named: HashMap::new(),
        };
        let mut next = VecDeque::new();
        me.enter(&mut next, cx);
        cx.continue_first(next);
        Ok(me)
    }

    async fn handle(&mut self, msg: M::Msg, cx: &mut Cx<M::Msg>) -> Next {
        self.stop_event_timer(cx);
        let step = self.machine.handle(&self.state, msg, cx).await;
        self.apply(step, cx)
    }

    async fn event(&mut self, event: Event<M::Msg>, cx: &mut Cx<M::Msg>) -> Next {
        self.stop_event_timer(cx);
        let step = self.machine.event(&self.state, event, cx).await;
        self.apply(step, cx)
    }

    fn describe(msg: &M::Msg) -> String {
        M::describe(msg)
    }

    fn state(&self) -> Option<Value> {
        self.machine.show(&self.state)
    }

    async fn terminate(&mut self, why: &Exit, _: &mut Cx<M::Msg>) {
        self.machine.terminate(&self.state, why).await;
    }
}
