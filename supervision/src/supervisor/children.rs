//! The children of a supervisor, as a table: by start order, by process, by id.

pub(super) use super::ledger::Key;
use super::ledger::Ledger;
use crate::{
    id::{ById, Id},
    pid::Local,
    policy::{Kind, Restart},
    spec::ChildSpec,
    supervisor_ref::{ChildInfo, ChildState, Counts},
    timer::Timer,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

pub(super) struct Child {
    /// Shared by the instances of a template.
    pub(super) spec: Arc<ChildSpec>,
    pub(super) state: ChildState,
}

/// All of them.
#[derive(Default)]
pub(super) struct Children {
    /// The template, for simple_one_for_one.
    pub(super) template: Option<Arc<ChildSpec>>,
    /// A restart of an instance was ignored. OTP then keeps a child `undefined`, counts it, and
    /// ends with an error when it comes to stop it; so do we, for agreement.
    pub(super) ghost: bool,
    /// In start order: keys grow.
    pub(super) rows: BTreeMap<Key, Child>,
    /// Whose process it is.
    pub(super) by_pid: ById<Id, Key>,
    /// Without the instances of a template, which have none.
    by_id: HashMap<Arc<str>, Key>,
    /// Of the back-off: of those that wait, or did when somebody stopped them.
    pub(super) waits: BTreeMap<Key, Timer>,
    pub(super) next: u64,
    /// Shared with who looks from outside.
    pub(super) ledger: Arc<Mutex<Ledger>>,
}

impl Children {
    /// In start order.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.rows.keys().copied().collect()
    }

    pub(super) fn add(&mut self, spec: Arc<ChildSpec>, state: ChildState) -> Key {
        self.next += 1;
        let key = self.next;
        if let Some(pid) = state.pid() {
            self.by_pid.insert(pid.id(), key);
        }
        if self.template.is_none() {
            self.by_id.insert(Arc::clone(&spec.id), key);
        }
        self.rows.insert(key, Child { spec, state });
        key
    }

    /// Whether another significant child is alive or being restarted.
    pub(super) fn significant_left(&self) -> bool {
        self.ghost
            || self
                .rows
                .values()
                .any(|c| c.spec.significant && !matches!(c.state, ChildState::Undefined))
    }

    /// A child is not to run any more: a temporary one, and an instance, has no specification left.
    pub(super) fn forget(&mut self, key: Key) {
        let Some(child) = self.rows.get(&key) else { return };
        if child.spec.restart == Restart::Temporary || self.template.is_some() {
            self.remove(key);
        } else {
            self.set(key, ChildState::Undefined);
        }
    }

    /// Every change of a child goes through here, or through [`Self::add`] and [`Self::remove`].
    pub(super) fn set(&mut self, key: Key, state: ChildState) {
        let Some(child) = self.rows.get_mut(&key) else { return };
        if let Some(pid) = child.state.pid() {
            self.by_pid.remove(&pid.id());
        }
        if let Some(pid) = state.pid() {
            self.by_pid.insert(pid.id(), key);
        }
        if matches!(child.state, ChildState::Restarting) {
            self.ledger.lock().waits(key, None);
        }
        child.state = state;
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.set(key, ChildState::Undefined);
        let Some(child) = self.rows.remove(&key) else { return };
        self.ledger.lock().remove(key);
        self.waits.remove(&key);
        if self.template.is_none() {
            self.by_id.remove(&child.spec.id);
        }
    }

    /// Its process ended, and it is to be restarted.
    pub(super) fn ended(&self, key: Key, process: &Local, why: String) {
        self.note(key, why);
        if self.template.is_some() {
            self.ledger.lock().ended(key, process.id());
        }
    }

    /// A child is to be restarted: why is kept.
    pub(super) fn note(&self, key: Key, why: String) {
        let Some(Child { spec, .. }) = self.rows.get(&key) else { return };
        let restart = spec.restart;
        match self.template {
            Some(_) => {
                self.ledger.lock().note(key, &format!("{}#{key}", spec.id), restart, why);
            }
            None => self.ledger.lock().note(key, &spec.id, restart, why),
        }
    }

    /// The instance whose process that is; or was, of one that is to be started again.
    pub(super) fn instance(&self, process: &Local) -> Option<Key> {
        let restarting = || {
            let key = self.ledger.lock().was(process.id())?;
            matches!(self.rows.get(&key)?.state, ChildState::Restarting).then_some(key)
        };
        self.by_pid.get(&process.id()).copied().or_else(restarting)
    }

    pub(super) fn find(&self, id: &str) -> Option<(Key, &Child)> {
        let key = *self.by_id.get(id)?;
        self.rows.get(&key).map(|child| (key, child))
    }

    pub(super) fn which(&self) -> Vec<ChildInfo> {
        let info = |c: &Child| ChildInfo {
            id: self.template.is_none().then(|| Arc::clone(&c.spec.id)),
            state: c.state.clone(),
            kind: c.spec.kind,
        };
        let mut rows: Vec<ChildInfo> = self.rows.values().rev().map(info).collect();
        if let (true, Some(template)) = (self.ghost, &self.template) {
            let (state, kind) = (ChildState::Undefined, template.kind);
            rows.push(ChildInfo { id: None, state, kind });
        }
        rows
    }

    pub(super) fn count(&self) -> Counts {
        let ghost = |kind| self.ghost && self.template.as_ref().is_some_and(|t| t.kind == kind);
        let of = |kind| {
            let children = self.rows.values().filter(|c| c.spec.kind == kind).count();
            children + usize::from(ghost(kind))
        };
        Counts {
            specs: if self.template.is_some() { 1 } else { self.rows.len() },
            active: self
                .rows
                .values()
                .filter(|c| c.state.pid().is_some_and(Local::is_alive))
                .count()
                + usize::from(self.ghost),
            supervisors: of(Kind::Supervisor),
            workers: of(Kind::Worker),
        }
    }
}
