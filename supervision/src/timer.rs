//! Timers of a process: its own, and gone with it (`erlang:send_after/3`). When its time has come, the message of a timer
//! takes its turn behind those that wait.

use crate::{
    inbox::Ref,
    pid::{Local, Turn},
};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Longer than any program runs, and still a time.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The time after so long; a very long time after, if there is none.
pub(crate) fn after(now: Instant, time: Duration) -> Instant {
    now.checked_add(time).unwrap_or_else(|| now + NEVER)
}

/// A timer, to cancel it.
///
/// Example: [`crate::Cx::send_after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timer {
    at: Instant,
    number: u64,
}

pub(crate) enum Fire<M> {
    Once(M),
    Every(Duration, Box<dyn FnMut() -> M + Send>),
}

/// The timers that run, the next first.
pub(crate) struct Timers<M> {
    running: BTreeMap<Timer, Fire<M>>,
    /// When those that repeat are due: what is known of one has its first time.
    repeating: HashMap<u64, Instant>,
    /// Those whose time has come.
    due: VecDeque<(Turn, Timer, Fire<M>)>,
    /// Time-outs of no time, of a state machine: before what waits.
    at_once: VecDeque<(Timer, M)>,
    next: u64,
    /// Ends with whatever comes.
    idle: Option<Timer>,
}

impl<M> Default for Timers<M> {
    fn default() -> Self {
        let (running, repeating, due, at_once, idle) = Default::default();
        Self { running, repeating, due, at_once, next: 0, idle }
    }
}

impl<M: Send + 'static> Timers<M> {
    /// What they were to fire.
    pub(crate) fn into_all(self) -> impl Iterator<Item = Fire<M>> {
        let Self { running, due, at_once, .. } = self;
        let at_once = at_once.into_iter().map(|(_, msg)| Fire::Once(msg));
        running.into_values().chain(due.into_iter().map(|(.., fire)| fire)).chain(at_once)
    }

    fn add(&mut self, time: Duration, fire: Fire<M>) -> Timer {
        self.next += 1;
        let timer = Timer { at: after(Instant::now(), time), number: self.next };
        self.running.insert(timer, fire);
        timer
    }

    pub(crate) fn once(&mut self, after: Duration, msg: M) -> Timer {
        self.add(after, Fire::Once(msg))
    }

    pub(crate) fn at_once(&mut self, msg: M) -> Timer {
        self.next += 1;
        let timer = Timer { at: Instant::now(), number: self.next };
        self.at_once.push_back((timer, msg));
        timer
    }

    pub(crate) fn take_at_once(&mut self) -> Option<M> {
        self.at_once.pop_front().map(|(_, msg)| msg)
    }

    pub(crate) fn every(
        &mut self,
        period: Duration,
        make: impl FnMut() -> M + Send + 'static,
    ) -> Timer {
        // a period of zero would leave room for nothing else
        let period = period.max(Duration::from_millis(1));
        let timer = self.add(period, Fire::Every(period, Box::new(make)));
        self.repeating.insert(timer.number, timer.at);
        timer
    }

    /// Whether its message was not taken yet, and will not be.
    pub(crate) fn cancel(&mut self, timer: Timer) -> bool {
        let at = self.repeating.remove(&timer.number).unwrap_or(timer.at);
        if self.running.remove(&Timer { at, ..timer }).is_some() {
            return true;
        }
        if let Some(due) = self.due.iter().position(|(_, due, _)| due.number == timer.number) {
            return self.due.remove(due).is_some();
        }
        let at_once = self.at_once.iter().position(|(at_once, _)| *at_once == timer);
        at_once.is_some_and(|n| self.at_once.remove(n).is_some())
    }

    /// Whether its message was not taken yet, and will be.
    pub(crate) fn is_pending(&self, timer: Timer) -> bool {
        let at = self.repeating.get(&timer.number).copied().unwrap_or(timer.at);
        self.running.contains_key(&Timer { at, ..timer })
            || self.due.iter().any(|(_, due, _)| due.number == timer.number)
            || self.at_once.iter().any(|(at_once, _)| *at_once == timer)
    }

    pub(crate) fn set_idle(&mut self, after: Duration, msg: M) {
        self.stop_idle();
        self.idle = Some(self.once(after, msg));
    }

    /// Something came.
    pub(crate) fn stop_idle(&mut self) {
        if let Some(timer) = self.idle.take() {
            self.cancel(timer);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.running.keys().next().map(|t| t.at)
    }

    /// Those whose time has come get their turn: behind what had come by then.
    pub(crate) fn look(&mut self, me: &Ref<M>) {
        let now = match self.deadline() {
            Some(_) => Instant::now(),
            None => return,
        };
        let before = self.due.len();
        while let Some(first) = self.running.first_entry().filter(|first| first.key().at <= now) {
            let (timer, fire) = first.remove_entry();
            self.due.push_back((me.turn_at(timer.at), timer, fire));
        }
        if self.due.len() > before {
            me.set_deadline(self.deadline());
        }
    }

    /// The turn of the first whose time has come, and when that was.
    pub(crate) fn first_due(&self) -> Option<(Turn, Instant)> {
        self.due.front().map(|(turn, timer, _)| (*turn, timer.at))
    }

    /// The message of a timer whose turn it is.
    pub(crate) fn take(&mut self, pid: &Local) -> Option<M> {
        loop {
            let (_, timer, fire) = self.due.pop_front_if(|(turn, ..)| pid.is_turn(*turn))?;
            if self.idle == Some(timer) {
                self.idle = None;
            }
            let (period, mut make) = match fire {
                Fire::Once(msg) => return Some(msg),
                Fire::Every(period, make) => (period, make),
            };
            match pid.catch(&mut make) {
                Ok(msg) => {
                    // missed ones are not caught up
                    let at = after(timer.at, period).max(Instant::now());
                    self.repeating.insert(timer.number, at);
                    self.running.insert(Timer { at, ..timer }, Fire::Every(period, make));
                    return Some(msg);
                }
                Err(panic) => {
                    self.repeating.remove(&timer.number);
                    pid.report_beside(panic, Some("a timer that repeats: it has ended"));
                    pid.discard([make]);
                }
            }
        }
    }
}
