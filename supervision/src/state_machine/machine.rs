//! The server a machine runs in: applies its steps.

use super::{
    StateMachine,
    step::{Action, Actions, Step, To},
};
use crate::{
    cx::Cx,
    event::Event,
    exit::Exit,
    inbox::Overflow,
    server::{Next, Server},
    start_error::InitError,
    timer::Timer,
    watch::SysError,
};
use serde_json::Value;
use std::{
    borrow::Cow,
    collections::{HashMap, VecDeque},
};

/// The server a machine runs in.
#[doc(hidden)]
pub struct Machine<M: StateMachine> {
    machine: M,
    state: M::State,
    postponed: VecDeque<M::Msg>,
    state_timer: Option<Timer>,
    event_timer: Option<Timer>,
    named: HashMap<Cow<'static, str>, Timer>,
}

impl<M: StateMachine> Machine<M> {
    /// Applies a step: replies and timers, then the new state, then what comes next.
    async fn apply(&mut self, step: Step<M::State, M::Msg>, cx: &mut Cx<M::Msg>) -> Next {
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
            self.enter(&mut next, cx).await;
        }
        if changed {
            next.append(&mut self.postponed);
        }
        cx.continue_first(next);
        Next::Continue
    }

    async fn enter(&mut self, next: &mut VecDeque<M::Msg>, cx: &mut Cx<M::Msg>) {
        let actions = self.machine.enter(&self.state, cx).await;
        self.act(actions, next, cx);
    }

    fn act(&mut self, actions: Actions<M::Msg>, next: &mut VecDeque<M::Msg>, cx: &mut Cx<M::Msg>) {
        for action in actions.0 {
            let (slot, timer) = match action {
                Action::State(after, msg) => (&mut self.state_timer, cx.time_out(after, msg)),
                Action::Event(after, msg) => (&mut self.event_timer, cx.time_out(after, msg)),
                Action::Named(name, after, msg) => {
                    // those that have come go before there is room for more
                    if self.named.len() == self.named.capacity() {
                        self.named.retain(|_, timer| cx.is_pending(*timer));
                    }
                    let timer = cx.time_out(after, msg);
                    if let Some(old) = self.named.insert(name, timer) {
                        cx.cancel(old);
                    }
                    continue;
                }
                Action::Cancel(name) => {
                    if let Some(timer) = self.named.remove(&*name) {
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
        me.enter(&mut next, cx).await;
        cx.continue_first(next);
        Ok(me)
    }

    async fn handle(&mut self, msg: M::Msg, cx: &mut Cx<M::Msg>) -> Next {
        self.stop_event_timer(cx);
        let step = self.machine.handle(&self.state, msg, cx).await;
        self.apply(step, cx).await
    }

    async fn event(&mut self, event: Event<M::Msg>, cx: &mut Cx<M::Msg>) -> Next {
        self.stop_event_timer(cx);
        let step = self.machine.event(&self.state, event, cx).await;
        self.apply(step, cx).await
    }

    fn describe(msg: &M::Msg) -> Cow<'static, str> {
        M::describe(msg)
    }

    fn put_off(&mut self) -> VecDeque<M::Msg> {
        std::mem::take(&mut self.postponed)
    }

    fn state(&self) -> Option<Value> {
        self.machine.show(&self.state)
    }

    fn replace_state(&mut self, shown: Value) -> Result<(), SysError> {
        self.state = self.machine.replace_state(shown)?;
        Ok(())
    }

    async fn terminate(&mut self, why: &Exit, _: &mut Cx<M::Msg>) {
        self.machine.terminate(&self.state, why).await;
    }
}
