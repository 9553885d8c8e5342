//! Links and monitors, and the end of a process, of which they tell.

use super::{At, ENDED, Extra, GONE, Local, Monitor, Pid, SIGNALLED, State};
use crate::exit::Exit;
use std::{
    mem,
    sync::atomic::{AtomicU64, Ordering},
};

static MONITORS: AtomicU64 = AtomicU64::new(1);

/// Of the program, not of a system: processes of two may monitor each other.
pub(crate) fn next_monitor() -> u64 {
    MONITORS.fetch_add(1, Ordering::Relaxed)
}

impl Local {
    pub(super) fn add_link(&self, other: &Self) -> bool {
        let mut state = self.0.state.lock();
        let alive = !self.has(ENDED);
        if alive {
            let extra = state.extra();
            match other.number_below(self) {
                Some(number) => extra.numbered.insert(number, other.clone()),
                None => extra.links.insert(other.id(), other.clone()),
            };
        }
        alive
    }

    /// By which number that one knows it as its child.
    fn number_below(&self, other: &Self) -> Option<u64> {
        (self.0.number != 0 && self.parent() == Some(other)).then_some(self.0.number)
    }

    /// Links two processes: when one ends, the other gets an exit signal (`link/1`).
    pub fn link(&self, other: impl Into<Pid>) {
        let address = other.into();
        let Some(other) = address.local().filter(|other| *other != self) else {
            if *self != address {
                address.link_away(self);
            }
            return;
        };
        // a link between parent and child is in the parent's map only
        if other.parent() != Some(self) && !other.add_link(self) {
            return self.exit_from(other, Exit::NoProc);
        }
        if self.parent() == Some(other) {
            return;
        }
        if !self.add_link(other) {
            other.drop_link(self);
            other.exit_from(self, Exit::NoProc);
        } else if !other.is_alive() && self.drop_link(other) {
            self.exit_from(other, Exit::NoProc);
        }
    }

    /// Removes a link (`unlink/1`).
    pub fn unlink(&self, other: impl Into<Pid>) {
        let address = other.into();
        match address.local() {
            Some(other) => self.parts_from(other),
            None => address.unlink_away(self),
        }
    }

    /// [`Local::unlink`] of one that is here. What is linked to its parent is so in the parent's map only.
    pub(crate) fn parts_from(&self, other: &Self) {
        if self.parent() != Some(other) {
            self.drop_link(other);
        }
        if other.parent() != Some(self) {
            other.drop_link(self);
        }
    }

    pub(super) fn drop_link(&self, other: &Self) -> bool {
        self.take_link(&mut self.0.state.lock(), other)
    }

    fn take_link(&self, state: &mut State, other: &Self) -> bool {
        let Some(extra) = &mut state.extra else { return false };
        let link = match other.number_below(self) {
            Some(number) => extra.numbered.remove(&number),
            None => extra.links.remove(&other.id()),
        };
        link.is_some()
    }

    /// One that it is linked to has ended: it is told unless it has taken the link back, in one step with that.
    fn link_ends(&self, other: &Self, exit: &Exit) {
        let mut state = self.0.state.lock();
        if self.take_link(&mut state, other) {
            self.exits(state, other, exit.clone());
        }
    }

    /// It has ended: tells the next that it is linked to. `false`: all are told.
    fn tell_link(&self, exit: &Exit) -> bool {
        let mut state = self.0.state.lock();
        let next = state.extra.as_mut().and_then(|extra| {
            let next = extra.links.pop_first().map(|(_, other)| other);
            next.or_else(|| extra.numbered.pop_first().map(|(_, other)| other))
        });
        let Some(other) = &next else { return false };
        if other.parent() == Some(self) {
            // the link was in this map only: with the lock held, which taking it back needs
            other.exit_from(self, exit.clone());
            drop(state);
        } else {
            drop(state);
            other.link_ends(self, exit);
        }
        true
    }

    /// It has ended: tells the next that watches it. Until that is done the monitor can be found, and taken back. `false`: all are told.
    fn tell_watcher(&self, exit: &Exit) -> bool {
        let first = |extra: &Extra| {
            let (monitor, watcher) = extra.monitors.first_key_value()?;
            Some((*monitor, watcher.clone()))
        };
        let next = self.0.state.lock().extra.as_deref().and_then(first);
        let Some((monitor, watcher)) = next else { return false };
        watcher.down(monitor, exit.clone());
        if let Some(extra) = &mut self.0.state.lock().extra {
            extra.monitors.remove(&monitor);
        }
        true
    }

    /// `watcher` gets a [`crate::Event::Down`] when this process ends (`monitor/2`).
    pub fn monitor(&self, watcher: &Self) -> Monitor {
        self.monitor_as(self.into(), watcher)
    }

    /// [`Local::monitor`]; the `Down` says that address.
    pub(crate) fn monitor_as(&self, address: Pid, watcher: &Self) -> Monitor {
        let monitor = next_monitor();
        if !watcher.watch_of(monitor, address) {
            return Monitor(monitor);
        }
        let mut state = self.0.state.lock();
        if self.has(ENDED) {
            drop(state);
            watcher.down(monitor, Exit::NoProc);
            return Monitor(monitor);
        }
        state.extra().monitors.insert(monitor, watcher.clone());
        drop(state);
        // its end may have passed in between
        if !watcher.is_alive() {
            self.demonitor(Monitor(monitor));
        }
        Monitor(monitor)
    }

    /// `false`: it has ended, and watches nobody.
    pub(super) fn watch_of(&self, monitor: u64, whom: Pid) -> bool {
        let mut state = self.0.state.lock();
        let alive = !self.has(ENDED);
        if alive {
            state.extra().watched.insert(monitor, whom);
        }
        alive
    }

    pub(crate) fn stop_watching(&self, monitor: u64) {
        if let Some(extra) = &mut self.0.state.lock().extra {
            extra.watched.remove(&monitor);
        }
    }

    /// Ends a monitor (`demonitor/1`).
    pub fn demonitor(&self, monitor: Monitor) {
        let mut state = self.0.state.lock();
        let watcher = state.extra.as_mut().and_then(|extra| extra.monitors.remove(&monitor.0));
        drop(state);
        if let Some(watcher) = watcher {
            watcher.stop_watching(monitor.0);
        }
    }

    /// Takes back a monitor of its own: no `Down` of it is sent from now on. `false`: it was sent already; with `flush` it is thrown
    /// away where it waits.
    pub(crate) fn take_back(&self, monitor: Monitor, flush: bool) -> bool {
        let mut state = self.0.state.lock();
        let Some(extra) = &mut state.extra else { return false };
        let watched = extra.watched.remove(&monitor.0);
        if flush && watched.is_none() {
            extra.signals.retain(|(.., signal)| signal.monitor() != Some(monitor.0));
            self.set(SIGNALLED, !extra.signals.is_empty());
        }
        drop(state);
        if let Some(pid) = &watched {
            self.watches_no_more(pid, monitor);
        }
        watched.is_some()
    }

    /// The live processes it started and is linked to, in start order.
    pub(crate) fn linked_children(&self) -> Vec<Self> {
        self.linked(usize::MAX).into_iter().filter(|p| p.parent() == Some(self)).collect()
    }

    /// What it is linked to, at most `limit`: its children, and what [`Pid::link`] has added; not
    /// its parent.
    pub fn links(&self, limit: usize) -> Vec<Pid> {
        let here = self.linked(limit).into_iter().map(Pid::from);
        let far = self.system().distribution().map(|far| far.linked(self)).unwrap_or_default();
        here.chain(far).take(limit).collect()
    }

    /// Those of them that live there and have such a number, or a later one. Others are not asked for their paths.
    pub(crate) fn linked_at(&self, at: &At, since: u64) -> Vec<Self> {
        let path = at.path(Some(self.name()));
        let state = self.0.state.lock();
        let Some(extra) = &state.extra else { return Vec::new() };
        let named = extra.links.values().filter(|pid| pid.given_path() == Some(&path));
        let numbered = at.number().and_then(|number| extra.numbered.get(&number));
        let here = |pid: &&Self| pid.system().creation() == self.system().creation();
        named.chain(numbered).filter(|pid| here(pid) && pid.0.id >= since).cloned().collect()
    }

    /// Those of them that are here.
    pub(crate) fn linked(&self, limit: usize) -> Vec<Self> {
        let state = self.0.state.lock();
        let links = state.extra.as_ref().map(|e| e.links.values().chain(e.numbered.values()));
        links.into_iter().flatten().take(limit).cloned().collect()
    }

    /// How many monitors tell it of the ends of others.
    pub fn watching(&self) -> usize {
        self.0.state.lock().extra.as_ref().map_or(0, |e| e.watched.len())
    }

    /// How many processes watch it.
    pub fn watchers(&self) -> usize {
        let here = self.0.state.lock().extra.as_ref().map_or(0, |e| e.monitors.len());
        here + self.system().distribution().map_or(0, |far| far.watchers(self))
    }

    /// Ends the process: whoever is linked or watches is told, once.
    pub(crate) fn finish(&self, exit: &Exit) {
        let mut state = self.0.state.lock();
        if self.has(ENDED) {
            return;
        }
        state.reason = exit.clone().into();
        // of most there is nothing
        let mut extra = state.retire();
        let tells = state.extra.is_some();
        self.set(ENDED, true);
        drop(state);
        self.0.bell.clear();
        self.0.fatal.clear();
        self.log_exit(exit);
        self.0.system.leave(self, exit, extra.as_mut().map(|extra| mem::take(&mut extra.owned)));
        if let Some(extra) = &mut extra {
            for (monitor, pid) in mem::take(&mut extra.watched) {
                self.watches_no_more(&pid, Monitor(monitor));
            }
        }
        while tells && self.tell_link(exit) {}
        if let Some(parent) = &self.0.parent {
            parent.link_ends(self, exit);
        }
        if tells {
            while self.tell_watcher(exit) {}
            let told = self.0.state.lock().extra.take();
            drop(told);
        }
        self.set(GONE, true);
        self.0.ended.notify_waiters();
        if let Some(extra) = &mut extra {
            self.discard(extra.watch.take());
        }
    }
}
