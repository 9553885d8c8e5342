//! What is known of a process without asking it: how much waits, what it has handled, for how long it is busy, what it says
//! of itself, its names and groups; and who watches its events.

use super::{ENDED, Local, WATCHED, nanos};
use crate::{
    restarts::{Supervision, View},
    system::Owned,
    watch::Watch,
};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

impl Local {
    /// Sets or removes what watches its events. A sink that goes is to be dropped by who called: here it would be under the lock.
    pub(crate) fn watch<T>(&self, change: impl FnOnce(&mut Option<Watch>) -> T) -> T {
        let mut state = self.0.state.lock();
        if self.has(ENDED) {
            drop(state);
            return change(&mut None);
        }
        let extra = state.extra();
        let gone = change(&mut extra.watch);
        self.set(WATCHED, extra.watch.is_some());
        gone
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.has(WATCHED)
    }

    pub(crate) fn set_depth(&self, depth: usize) {
        self.0.depth.store(u32::try_from(depth).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// How many messages wait in its inbox.
    pub fn depth(&self) -> usize {
        self.0.depth.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn set_status(&self, status: Arc<str>) {
        self.0.state.lock().extra().status = Some(status);
    }

    /// What the process last said of itself.
    pub fn status(&self) -> Option<Arc<str>> {
        self.0.state.lock().extra.as_ref().and_then(|e| e.status.clone())
    }

    pub(crate) fn set_supervision(&self, view: View) {
        self.0.state.lock().extra().supervision = Some(view);
    }

    /// Of a supervisor: what it knows of restarts.
    pub fn supervision(&self) -> Option<Supervision> {
        let view = self.0.state.lock().extra.as_ref()?.supervision.clone()?;
        // not under the lock: it has one of its own
        Some(view())
    }

    pub(crate) fn begin(&self) {
        // 0 means that it waits
        let since = nanos(self.uptime()).saturating_add(1);
        self.0.busy_since.store(since, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.0.busy_since.store(0, Ordering::Relaxed);
        self.count();
    }

    /// Its loop has ended, perhaps within a handler.
    pub(crate) fn interrupted(&self) {
        if self.busy().is_some() {
            self.end();
        }
    }

    /// Counts an event it takes.
    pub(crate) fn count(&self) {
        // only the process itself counts: no atomic addition is needed
        let handled = self.0.handled.load(Ordering::Relaxed);
        self.0.handled.store(handled + 1, Ordering::Relaxed);
    }

    /// How long it has been in the handler of its present message; `None` when it waits.
    pub fn busy(&self) -> Option<Duration> {
        let since = self.0.busy_since.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.uptime().saturating_sub(Duration::from_nanos(since)))
    }

    pub(crate) fn add_ran(&self, time: Duration) {
        let mut state = self.0.state.lock();
        if !self.has(ENDED) {
            state.extra().ran += time;
        }
    }

    pub(crate) fn ran(&self) -> Duration {
        self.0.state.lock().extra.as_ref().map_or(Duration::ZERO, |e| e.ran)
    }

    /// How many messages it has handled.
    pub fn handled(&self) -> u64 {
        self.0.handled.load(Ordering::Relaxed)
    }
}

impl Local {
    /// Notes what is to be cleared up with its end; `false`: it has ended.
    pub(crate) fn own(&self, what: Owned) -> bool {
        let mut state = self.0.state.lock();
        let alive = !self.has(ENDED);
        if alive {
            state.extra().owned.insert(what);
        }
        alive
    }

    /// Its names ([`System::register`]).
    pub fn names(&self) -> Vec<Arc<str>> {
        self.owns(|owned| if let Owned::Name(name) = owned { Some(name) } else { None })
    }

    /// The groups it is in ([`System::join`]).
    pub fn groups(&self) -> Vec<Arc<str>> {
        self.owns(|owned| if let Owned::Group(group) = owned { Some(group) } else { None })
    }

    fn owns(&self, which: impl Fn(&Owned) -> Option<&Arc<str>>) -> Vec<Arc<str>> {
        let state = self.0.state.lock();
        let owned = state.extra.iter().flat_map(|extra| &extra.owned);
        owned.filter_map(which).cloned().collect()
    }

    /// It is cleared up already.
    pub(crate) fn disown(&self, what: &Owned) {
        if let Some(extra) = &mut self.0.state.lock().extra {
            extra.owned.remove(what);
        }
    }
}
