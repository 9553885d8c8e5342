//! What a process is given to call is called here: a panic in it is caught; and the reports of its abnormal ends.

use super::{ENDED, Local, UNTOLD, Unanswered};
use crate::{
    crash::{self, BlackBox, CrashReport, LISTED, Panic, Recorded, Who},
    exit::Exit,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use std::{cell::RefCell, mem::needs_drop, sync::Arc, time::Duration};

thread_local! {
    /// What the process that runs has dropped of calls.
    static UNANSWERED: RefCell<Vec<Unanswered>> = const { RefCell::new(Vec::new()) };
}

/// Drops what a call has of its answer: who waits is told. What a process drops while it runs is kept until it waits for something, or
/// takes what is next, or it is known why it ends: so who waits learns that.
pub(crate) fn drop_unanswered(call: impl Send + 'static) {
    if crash::is_anybody_inside() {
        // an error: the thread ends, and with it the call is dropped at once
        let _ = UNANSWERED.try_with(|calls| calls.borrow_mut().push(Box::new(call)));
    }
}

impl Local {
    fn who(&self) -> (Who, u64) {
        ((self.system().crashes().number(), self.kind()), self.0.id)
    }

    /// Whether it runs on this thread: it is who asks.
    pub(crate) fn is_inside(&self) -> bool {
        crash::is_inside(self.who())
    }

    /// [`Pid::catch`] of what is nothing to speak of; whether it is metered is not asked.
    #[inline]
    pub(crate) fn guard<T>(&self, call: impl FnOnce() -> T) -> Result<T, Panic> {
        crash::catch(self.who(), call)
    }

    /// Calls something of the process; a panic in it becomes what the hook noted.
    pub(crate) fn catch<T>(&self, call: impl FnOnce() -> T) -> Result<T, Panic> {
        let began = self.system().is_metered().then(thread_cpu);
        // what is dropped while another runs is that one's
        let outermost = !crash::is_anybody_inside();
        let result = crash::catch(self.who(), call);
        if outermost && UNANSWERED.try_with(|calls| !calls.borrow().is_empty()).unwrap_or_default()
        {
            self.keep_unanswered(UNANSWERED.take());
        }
        if let Some(began) = began {
            self.add_ran(thread_cpu().saturating_sub(began));
        }
        result
    }

    /// Drops things of the process, one after the other. A panic in a destructor is reported as one in `terminate`, and spares no
    /// other: two at once would end the program.
    #[inline]
    pub(crate) fn discard<T>(&self, things: impl IntoIterator<Item = T>) {
        let mut things = things.into_iter().peekable();
        // of most there is nothing
        if needs_drop::<T>() && things.peek().is_some() {
            self.discard_all(things);
        }
    }

    #[cold]
    fn discard_all(&self, mut things: impl Iterator) {
        while let Err(panic) = self.catch(|| things.by_ref().for_each(drop)) {
            self.report_beside(panic.in_terminate(), None);
        }
    }

    /// Drops something of the process where it may be another one that runs, or none: it is not to come to harm by it.
    pub(crate) fn discard_elsewhere<T>(&self, thing: T, what: &str) {
        let drops = || drop(thing);
        let dropped = if crash::is_anybody_inside() {
            crash::catch_inside(drops)
        } else {
            let dropped = crash::catch(self.who(), drops);
            drop(UNANSWERED.take());
            dropped
        };
        if let Err(panic) = dropped {
            self.report_beside(panic, Some(what));
        }
    }

    fn keep_unanswered(&self, calls: Vec<Unanswered>) {
        let mut state = self.0.state.lock();
        // one that has ended tells nobody any more: they are dropped here
        if self.has(ENDED) {
            return;
        }
        state.extra().unanswered.extend(calls);
        self.set(UNTOLD, true);
        drop(state);
        // somebody else may have called what is its own
        self.wake();
    }

    /// Who waits for answers that it has dropped is told.
    pub(crate) fn tell_unanswered(&self) {
        if !self.has(UNTOLD) {
            return;
        }
        self.set(UNTOLD, false);
        let mut state = self.0.state.lock();
        let calls = state.extra.as_mut().map(|extra| std::mem::take(&mut extra.unanswered));
        drop(state);
        drop(calls);
    }

    /// Makes the report of a panic, logs it and keeps it. `waiting` are the first messages of its queue; what costs is only
    /// asked for when the report is kept.
    pub(crate) fn report(
        &self,
        panic: Panic,
        black_box: &mut BlackBox,
        state: Option<Value>,
        waiting: impl FnOnce() -> Vec<String>,
    ) -> Arc<CrashReport> {
        let texts = |of: Vec<Arc<str>>| of.iter().take(LISTED).map(ToString::to_string).collect();
        let path = |pid: &Self| pid.path().to_string();
        let report = CrashReport {
            path: path(self),
            inputs: black_box.take().map(|input| self.text_of(input)).collect(),
            message: black_box.last(),
            status: self.status().map(|s| s.to_string()),
            state,
            queued: self.depth(),
            uptime: self.uptime(),
            ..CrashReport::new(self.kind(), panic, self.system().version())
        };
        self.system().crashes().add(report, (self.0.id, self.kind()), |report| {
            report.ancestors = self.ancestors();
            report.waiting = waiting();
            report.links = self.linked(LISTED).iter().map(path).collect();
            report.names = texts(self.names());
            report.groups = texts(self.groups());
        })
    }

    fn text_of(&self, input: Recorded) -> String {
        let text = self.catch(|| input.to_text());
        self.discard([input]);
        text.unwrap_or_else(|panic| format!("without a text: {}", panic.message))
    }

    /// The report of an abnormal end that is no panic: a process that ended itself with an error, or that was killed, but
    /// not by its supervisor. One that ends with somebody else's crash, over a link, has that one's report.
    pub(crate) fn account_for(
        &self,
        exit: &Exit,
        black_box: &mut BlackBox,
        state: impl FnOnce() -> Option<Value>,
        waiting: impl FnOnce() -> Vec<String>,
    ) {
        let location = match exit {
            Exit::Killed if self.is_dismissed() => return,
            Exit::Killed if self.is_killed() => "killed from outside",
            Exit::Killed | Exit::Error(_) | Exit::NoProc | Exit::NoConnection => "no panic",
            Exit::Normal | Exit::Shutdown | Exit::ShutdownWith(_) | Exit::Crash(_) => return,
        };
        let message = exit.to_string();
        let location = location.to_owned();
        let state = self.catch(state).ok().flatten();
        let end = Panic { message, location, backtrace: None, in_terminate: false };
        self.report(end, black_box, state, waiting);
    }

    /// The report of a panic in something that a process was given to call beside its messages.
    pub(crate) fn report_beside(&self, panic: Panic, what: Option<&str>) -> Arc<CrashReport> {
        let mut black_box = BlackBox::default();
        if let Some(what) = what {
            black_box.record(what.into());
        }
        self.report(panic, &mut black_box, None, Vec::new)
    }

    /// Says in one line that it ended and why, unless it is as it should be.
    pub(super) fn log_exit(&self, exit: &Exit) {
        match exit {
            Exit::Crash(_) | Exit::Normal | Exit::Shutdown | Exit::ShutdownWith(_) => {}
            exit => tracing::debug!(path = %self.path(), reason = %exit, "process ended"),
        }
    }
}

/// What this thread has used of a CPU.
fn thread_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
