//! A state machine (`gen_statem`): events in, a [`Step`] out; what it does is a value, so a test can
//! look at it. A server inside.
//!
//! A time-out is a message like others: it is what the machine asked to be told. A postponed message
//! goes back into the step and comes again after the state has changed.
//!
//! See `examples/door.rs`.

mod machine;
mod step;

use crate::{cx::Cx, event::Event, exit::Exit, start_error::InitError, watch::SysError};
pub use machine::Machine;
use serde_json::Value;
use std::{borrow::Cow, fmt};
pub use step::{Actions, Step};

/// A state machine.
///
/// ```
/// use std::{borrow::Cow, time::Duration};
/// use supervision::{Actions, Cx, InitError, StateMachine, Step, sys, sys::SysError, testkit};
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
///     async fn enter(&mut self, state: &Is, _: &mut Cx<Msg>) -> Actions<Msg> {
///         match state {
///             Is::On => Actions::new().state_timeout(Duration::from_secs(60), Msg::TooLong),
///             Is::Off => Actions::new(),
///         }
///     }
///     fn show(&self, state: &Is) -> Option<serde_json::Value> {
///         Some(format!("{state:?}").into())
///     }
///     fn describe(msg: &Msg) -> Cow<'static, str> {
///         if matches!(msg, Msg::Press) { "press".into() } else { "too long".into() }
///     }
///     fn replace_state(&mut self, shown: serde_json::Value) -> Result<Is, SysError> {
///         match shown.as_str() {
///             Some("On") => Ok(Is::On),
///             Some("Off") => Ok(Is::Off),
///             _ => Err(SysError::Refused(format!("no state: {shown}"))),
///         }
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
/// let second = Duration::from_secs(1);
/// assert_eq!(sys::state(lamp.me.pid(), second).await.unwrap(), "On");
/// sys::replace_state(lamp.me.pid(), "Off".into(), second).await.unwrap();
/// assert_eq!(sys::state(lamp.me.pid(), second).await.unwrap(), "Off");
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

    /// Called when a state begins, the first one included (`state_enter`), and waited for: nothing else is handled meanwhile, and of the
    /// first its parent waits too.
    fn enter(
        &mut self,
        _state: &Self::State,
        _cx: &mut Cx<Self::Msg>,
    ) -> impl Future<Output = Actions<Self::Msg>> + Send {
        async { Actions::new() }
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

    /// How a crash report, [`crate::sys::trace`] and [`crate::sys::log`] show a message: a word, no secrets. Asked of each
    /// message that is taken: a word that is there already costs nothing, a text that is made costs its making.
    fn describe(_msg: &Self::Msg) -> Cow<'static, str> {
        Cow::Borrowed(std::any::type_name::<Self::Msg>())
    }

    /// What [`crate::sys::state`] shows, without secrets. The default is the state's name.
    fn show(&self, state: &Self::State) -> Option<Value> {
        Some(Value::String(format!("{state:?}")))
    }

    /// Takes another state from [`crate::sys::replace_state`], in the form in which [`StateMachine::show`] shows it; what is
    /// in the machine itself it puts there. No [`StateMachine::enter`] is called, and time-outs go on. The default does not.
    ///
    /// # Errors
    /// When it is none.
    fn replace_state(&mut self, _shown: Value) -> Result<Self::State, SysError> {
        Err(SysError::NotSupported)
    }

    /// The last thing it does, also after a panic; not when it was killed.
    fn terminate(&mut self, _state: &Self::State, _why: &Exit) -> impl Future<Output = ()> + Send {
        async {}
    }
}
