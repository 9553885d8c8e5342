//! What a supervisor shows of its restarts, and what it says about a crash below it.

use super::{Supervisor, children::Key, ledger::Ledger};
use crate::{
    crash::{Did, Of, SupervisorReport},
    cx::Cx,
    exit::Exit,
    pid::Local,
    policy::Intensity,
    start_error::StartError,
    supervisor_ref::Msg,
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;

impl Supervisor {
    /// Its restarts can be seen from now on.
    pub(super) fn opens(&mut self, intensity: Intensity, me: &Local) {
        let ledger = Ledger::new(self.strategy, intensity);
        self.children.ledger = Arc::new(Mutex::new(ledger));
        let seen = Arc::clone(&self.children.ledger);
        me.set_supervision(Arc::new(move || seen.lock().view(Instant::now())));
    }

    /// Which report is that of a child's end, if there is one.
    pub(super) fn report_of(child: &Local, reason: &Exit) -> Option<Of> {
        match reason {
            // over a link: somebody else's
            Exit::Crash(report) if *report.path != **child.path() => None,
            Exit::Crash(report) => Some(Of::Report(report.id)),
            reason => reason.is_abnormal().then(|| Of::Process(child.id().number)),
        }
    }

    /// Says in the report of a crash what it does about it.
    pub(super) fn answers(&self, crash: Option<Of>, key: Key, did: Did, cx: &Cx<Msg>) {
        let (Some(crash), Some(child)) = (crash, self.children.rows.get(&key)) else { return };
        let spec = &child.spec;
        cx.system().crashes().answered(crash, || {
            let ledger = self.children.ledger.lock();
            SupervisorReport {
                supervisor: cx.pid().path().to_string(),
                child: spec.id.to_string(),
                restart: spec.restart,
                strategy: self.strategy,
                restarts: ledger.within(Instant::now()),
                intensity: ledger.intensity,
                did,
            }
        });
    }

    /// The start of a child failed: it is tried again, and why is kept.
    pub(super) fn failed(&mut self, key: Key, error: &StartError, cx: &mut Cx<Msg>) {
        self.children.note(key, error.to_string());
        let did = self.try_again(key, cx);
        if let StartError::Exited(Exit::Crash(report)) = error {
            self.answers(Some(Of::Report(report.id)), key, did, cx);
        }
    }

    /// Children are restarted with the one that ended.
    pub(super) fn takes_along(&self, first: Key, all: &[Key]) {
        let Some(child) = self.children.rows.get(&first) else { return };
        let why = format!("with {}: {}", child.spec.id, self.children.ledger.lock().why(first));
        for key in all.iter().filter(|key| **key != first) {
            self.children.note(*key, why.clone());
        }
    }
}
