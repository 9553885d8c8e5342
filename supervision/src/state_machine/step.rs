//! What a machine wants, as a value: where it goes, and what is to be done.

use crate::{exit::Exit, inbox::Reply};
use std::{borrow::Cow, fmt, time::Duration};

pub(super) enum Action<M> {
    State(Duration, M),
    Event(Duration, M),
    Named(Cow<'static, str>, Duration, M),
    Cancel(Cow<'static, str>),
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
pub struct Actions<M>(pub(super) Vec<Action<M>>);

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

    /// Is told `msg` when the state has lasted so long (`state_timeout`). Of zero, as any time-out: after what [`Actions::next_event`]
    /// and a change of state bring back, before all that waits.
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
    /// name replaces the first. A name may be made when it is needed (`format!("call {id}")`).
    #[must_use]
    pub fn timeout(self, name: impl Into<Cow<'static, str>>, after: Duration, msg: M) -> Self {
        self.and(Action::Named(name.into(), after, msg))
    }

    /// Cancels the time-out of that name.
    #[must_use]
    pub fn cancel(self, name: impl Into<Cow<'static, str>>) -> Self {
        self.and(Action::Cancel(name.into()))
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
pub(super) enum To<S> {
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
    pub(super) to: To<S>,
    pub(super) stop: Option<Exit>,
    pub(super) postponed: Option<M>,
    pub(super) actions: Actions<M>,
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
