//! What comes to a process besides messages: exit signals and the ends of others, in their turn among its messages; what ends
//! it at once, what holds it, and the questions of [`crate::sys`].

use super::{
    ASKED, DISMISSED, DOOMED, ENDED, GROUP_EVENTS, KILLED, Local, Pid, SCHEDULED, SIGNALLED,
    SUPERVISES, SUSPENDED, Signal, State, TRAP, Turn, UNTOLD, WATCHED,
};
use crate::{exit::Exit, watch::Ask};
use parking_lot::MutexGuard;
use std::{
    sync::atomic::Ordering,
    task::{Context, Poll},
};
use tokio::time::Instant;

/// When questions are looked through for those that nobody waits for any more.
const ASKS: usize = 16;

impl Local {
    /// Sends an exit signal as OTP's `exit/2` without a sender of its own: one that does not trap
    /// exits ends with the reason; one that does gets it as an event. `normal` ends only a process that sends it to itself.
    pub fn exit(&self, reason: Exit) {
        if !self.has(TRAP) && self.is_inside() {
            return self.doom(reason, false);
        }
        self.exit_from(self, reason);
    }

    /// Ends it without asking: at its next `await`, without `terminate`. (A process that computes
    /// without ever awaiting cannot be ended from outside.)
    pub fn kill(&self) {
        self.set(KILLED, true);
        self.doom(Exit::Killed, true);
    }

    pub(crate) fn exit_from(&self, from: impl Into<Pid>, reason: Exit) {
        self.exits(self.0.state.lock(), from, reason);
    }

    /// An exit signal, in one step with what its sender did under the lock.
    pub(super) fn exits(&self, state: MutexGuard<'_, State>, from: impl Into<Pid>, reason: Exit) {
        if self.has(ENDED) {
            return;
        }
        if self.has(TRAP) {
            self.queue(state, Signal::Exit { from: from.into(), reason });
        } else if !matches!(reason, Exit::Normal) {
            // OTP: a signal `killed` that came over a link is not a kill
            self.dooms(state, reason, false);
        }
    }

    /// Ends it because its inbox overflowed.
    pub(crate) fn overflow(&self) {
        self.doom(Exit::error("inbox overflow"), false);
    }

    /// The first reason stays, unless it is killed.
    pub(super) fn doom(&self, reason: Exit, kill: bool) {
        self.dooms(self.0.state.lock(), reason, kill);
    }

    fn dooms(&self, mut state: MutexGuard<'_, State>, reason: Exit, kill: bool) {
        if self.has(ENDED) || (state.reason.is_some() && !kill) {
            return;
        }
        state.reason = reason.into();
        self.set(DOOMED, true);
        drop(state);
        self.0.fatal.ring();
        self.wake();
    }

    /// `false`: it has ended, nobody will take it.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let state = self.0.state.lock();
        if self.has(ENDED) {
            return false;
        }
        self.queue(state, signal);
        true
    }

    fn queue(&self, mut state: MutexGuard<'_, State>, signal: Signal) {
        let turn = self.last_turn();
        state.extra().signals.push_back((turn, Instant::now(), signal));
        self.set(SIGNALLED, true);
        drop(state);
        self.wake();
    }

    /// One that it watches is gone: it is told unless it has taken the monitor back, in one step with that.
    pub(crate) fn down(&self, monitor: u64, reason: Exit) {
        let mut state = self.0.state.lock();
        let watched = state.extra.as_mut().and_then(|extra| extra.watched.remove(&monitor));
        if let Some(pid) = watched {
            self.queue(state, Signal::Down { monitor, pid, reason });
        }
    }

    /// A group's event, if there is room for it.
    pub(crate) fn group_event(&self, event: Signal) {
        let state = self.0.state.lock();
        if self.has(ENDED) {
            return;
        }
        if state.extra.as_ref().is_some_and(|extra| extra.signals.len() >= GROUP_EVENTS) {
            drop(state);
            return self.overflow();
        }
        self.queue(state, event);
    }

    /// `false`: it has ended, nobody will answer.
    pub(crate) fn ask(&self, ask: Ask) -> bool {
        let mut state = self.0.state.lock();
        if self.has(ENDED) {
            return false;
        }
        let asks = &mut state.extra().asks;
        // of one that does not answer others ask again and again
        if asks.len() >= ASKS {
            asks.retain(|ask| !ask.is_given_up());
        }
        asks.push_back(ask);
        self.set(ASKED, true);
        drop(state);
        self.wake();
        true
    }

    /// The next question.
    pub(crate) fn next_ask(&self) -> Option<Ask> {
        if !self.has(ASKED) {
            return None;
        }
        let mut state = self.0.state.lock();
        let asks = &mut state.extra.as_mut()?.asks;
        let ask = std::iter::from_fn(|| asks.pop_front()).find(|ask| !ask.is_given_up());
        self.set(ASKED, !asks.is_empty());
        ask
    }

    /// Behind all messages that have come.
    pub(crate) fn last_turn(&self) -> Turn {
        Turn(self.0.came.load(Ordering::Acquire))
    }

    /// Whether all messages before that are taken.
    pub(crate) fn is_turn(&self, turn: Turn) -> bool {
        turn.is_by(Turn(self.0.taken.load(Ordering::Relaxed)))
    }

    /// A message came. Only with the lock on its inbox.
    pub(crate) fn came(&self) {
        let came = self.0.came.load(Ordering::Relaxed);
        self.0.came.store(came.wrapping_add(1), Ordering::Release);
    }

    /// One was taken, or dropped. Only with the lock on its inbox.
    pub(crate) fn took(&self) {
        let taken = self.0.taken.load(Ordering::Relaxed);
        self.0.taken.store(taken.wrapping_add(1), Ordering::Relaxed);
    }

    /// Whether there is a signal, whether it is its turn or not.
    pub(crate) fn is_signalled(&self) -> bool {
        self.has(SIGNALLED)
    }

    /// Whether nothing is to be seen to before its next message, nor with it.
    pub(crate) fn has_only_messages(&self) -> bool {
        !self.has(UNTOLD | ASKED | SIGNALLED | SUSPENDED | WATCHED | SCHEDULED)
    }

    pub(crate) fn wake(&self) {
        self.0.bell.ring();
    }

    /// The signal that comes before the next message, and before the next timer: its turn, and when it was due. One that is
    /// suspended takes only what it must: its parent's exit signal.
    pub(crate) fn next_signal(&self, timer: Option<(Turn, Instant)>) -> Option<Signal> {
        if !self.is_signalled() {
            return None;
        }
        let mut state = self.0.state.lock();
        let signals = &mut state.extra.as_mut()?.signals;
        let signal = if self.has(SUSPENDED) {
            let stops = |(.., signal): &(Turn, Instant, Signal)| match signal {
                Signal::Exit { from, .. } => self.is_child_of(from) || from == self,
                Signal::Down { .. } | Signal::Group { .. } | Signal::Node { .. } => false,
            };
            signals.remove(signals.iter().position(stops)?)
        } else {
            let first = |turn: Turn, at: Instant| {
                timer.is_none_or(|(its, due)| {
                    its != turn && turn.is_by(its) || its == turn && at < due
                })
            };
            signals.pop_front_if(|(turn, at, _)| self.is_turn(*turn) && first(*turn, *at))
        };
        self.set(SIGNALLED, !signals.is_empty());
        signal.map(|(.., signal)| signal)
    }

    pub(crate) fn set_trap(&self, trap: bool) {
        self.set(TRAP, trap);
    }

    /// Whether exit signals come to it as events.
    pub fn traps_exits(&self) -> bool {
        self.has(TRAP)
    }

    pub(crate) fn set_suspended(&self, suspended: bool) {
        self.set(SUSPENDED, suspended);
        self.wake();
    }

    /// Whether [`crate::sys::suspend`] holds it.
    pub fn is_suspended(&self) -> bool {
        self.has(SUSPENDED)
    }

    /// Its supervisor ends it: however it has to, that is no crash.
    pub(crate) fn dismiss(&self) {
        self.set(DISMISSED, true);
    }

    pub(crate) fn is_dismissed(&self) -> bool {
        self.has(DISMISSED)
    }

    /// Starts that fail are its daily work: `supervisor` throws their exit signals away, here there are none.
    pub(crate) fn set_supervises(&self) {
        self.set(SUPERVISES, true);
    }

    pub(crate) fn supervises(&self) -> bool {
        self.has(SUPERVISES)
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.has(KILLED)
    }

    /// Ready when something has come that may end it. Only the process itself waits for it, in one place at a time.
    pub(crate) fn poll_doom(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.fatal.poll(cx)
    }

    pub(crate) fn killed_now(&self) -> Option<Exit> {
        self.is_killed().then_some(Exit::Killed)
    }

    /// The reason of an exit signal that is not trapped.
    pub(crate) fn fatal_now(&self) -> Option<Exit> {
        if !self.has(DOOMED) {
            return None;
        }
        self.why()
    }

    /// It ends: that is why, for whoever asks from now on, and for those whose calls it left without an answer. (What else it was told to
    /// end with comes too late.)
    pub(crate) fn ends(&self, exit: &Exit) {
        if self.has(ENDED) {
            return;
        }
        self.0.state.lock().reason = exit.clone().into();
        self.tell_unanswered();
    }

    /// Why it has ended, or is about to.
    pub(crate) fn why(&self) -> Option<Exit> {
        self.0.state.lock().reason.get()
    }

    /// Whether that one started it.
    pub(crate) fn is_child_of(&self, pid: &Pid) -> bool {
        self.parent().is_some_and(|parent| parent == pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{system::System, testkit::Probe};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn questions_that_nobody_waits_for_do_not_pile_up() {
        let probe: Probe<()> = Probe::start(&System::new("test")).await;
        let pid = probe.pid();
        let (live, _awaited) = oneshot::channel();
        assert!(pid.ask(Ask::State(live)));
        for _ in 0..1000 {
            let (given_up, _) = oneshot::channel();
            assert!(pid.ask(Ask::State(given_up)));
        }
        let state = pid.0.state.lock();
        let asks = &state.extra.as_ref().unwrap().asks;
        assert!(asks.len() <= ASKS && asks.iter().any(|ask| !ask.is_given_up()));
    }
}
