//! The timers of a process, and what it goes on with.

use super::Cx;
use crate::timer::Timer;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

impl<M: Send + 'static> Cx<M> {
    /// Sends itself a message later, behind those that wait then. The timer ends with the process; of a time that is too long
    /// to be one it is never.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use supervision::{Cx, Timer};
    /// # enum Msg { Ping, Late }
    /// async fn handle(waiting: &mut Option<Timer>, msg: Msg, cx: &mut Cx<Msg>) {
    ///     match msg {
    ///         Msg::Ping => {
    ///             if let Some(timer) = waiting.take() {
    ///                 cx.cancel(timer);
    ///             }
    ///             *waiting = Some(cx.send_after(Duration::from_secs(30), Msg::Late));
    ///         }
    ///         Msg::Late => println!("nothing for 30 s"),
    ///     }
    /// }
    /// ```
    pub fn send_after(&mut self, after: Duration, msg: M) -> Timer {
        let timer = self.own().timers.once(after, msg);
        self.timed();
        timer
    }

    /// A time-out of a state machine: of zero its message comes before what waits, behind what is continued.
    pub(crate) fn time_out(&mut self, after: Duration, msg: M) -> Timer {
        if after.is_zero() { self.own().timers.at_once(msg) } else { self.send_after(after, msg) }
    }

    /// Sends itself a message every `period`, the first after one. What was missed is not caught up; between two there is room
    /// for a message of somebody else's, however long they take.
    pub fn send_every(
        &mut self,
        period: Duration,
        make: impl FnMut() -> M + Send + 'static,
    ) -> Timer {
        let timer = self.own().timers.every(period, make);
        self.timed();
        timer
    }

    /// Cancels a timer; `false` when its message was taken already.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        let cancelled = self.own.as_mut().is_some_and(|own| own.get_mut().timers.cancel(timer));
        if cancelled {
            self.timed();
        }
        cancelled
    }

    pub(crate) fn is_pending(&mut self, timer: Timer) -> bool {
        self.own.as_mut().is_some_and(|own| own.get_mut().timers.is_pending(timer))
    }

    /// Sends itself `msg` when nothing else comes for so long, be it a message, a signal or a timer's message (the time-out of a
    /// `gen_server`). Of zero: after what waits, if nothing does.
    pub fn idle_after(&mut self, after: Duration, msg: M) {
        self.own().timers.set_idle(after, msg);
        self.timed();
    }

    /// Handles `msg` next, before everything that waits (`{continue, Msg}`): in `init`, for work
    /// that the parent need not wait for. Several are handled in order.
    pub fn continue_with(&mut self, msg: M) {
        self.own().continued.push_back(msg);
    }

    /// [`Cx::continue_with`], before what is continued already.
    pub(crate) fn continue_first(&mut self, messages: VecDeque<M>) {
        for msg in messages.into_iter().rev() {
            self.own().continued.push_front(msg);
        }
    }

    /// Whoever sends is told when the next timer is due.
    fn timed(&mut self) {
        let deadline = self.deadline();
        self.me.set_deadline(deadline);
    }

    /// When the next timer is due. What comes from then on is behind it.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        self.own.as_mut()?.get_mut().timers.deadline()
    }
}
