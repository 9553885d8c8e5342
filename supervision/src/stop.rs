//! Children are stopped, and those that did not end as they were told are reported: one report for each
//! reason, with how many ended so, as OTP's supervisor does it for the instances of a template.

use crate::{
    crash::cut,
    decide,
    exit::Exit,
    pid::Local,
    policy::{Restart, Shutdown},
    timer::after,
};
use std::collections::BTreeMap;
use tokio::time::{Instant, timeout_at};

/// Children of one specification that are to end.
pub(crate) struct Stop<'a> {
    /// Whose children they are.
    pub(crate) supervisor: &'a Local,
    /// What the report names them.
    pub(crate) child: &'a str,
    pub(crate) shutdown: Shutdown,
    pub(crate) restart: Restart,
}

impl Stop<'_> {
    /// Stops them at the same time, under one timer (`shutdown/1`, `terminate_dynamic_children/1`).
    pub(crate) async fn all(&self, pids: &[Local]) {
        for pid in pids {
            self.tell(pid);
        }
        let mut deadline = match self.shutdown {
            Shutdown::Timeout(time) => Some(after(Instant::now(), time)),
            Shutdown::BrutalKill | Shutdown::Infinity => None,
        };
        let mut reasons = Reasons::default();
        for (n, pid) in pids.iter().enumerate() {
            let in_time = match (pid.gone(), deadline) {
                (Some(reason), _) => Some(reason),
                (None, Some(at)) => timeout_at(at, pid.wait()).await.ok(),
                (None, None) => Some(pid.wait().await),
            };
            let reason = match in_time {
                Some(reason) => reason,
                None => {
                    pids.iter().skip(n).for_each(Local::kill);
                    deadline = None;
                    pid.wait().await
                }
            };
            if decide::is_shutdown_error(self.shutdown, self.restart, &reason) {
                reasons.add(&reason);
            }
        }
        reasons.report(self);
    }

    fn tell(&self, pid: &Local) {
        pid.dismiss();
        if let Some(parent) = pid.parent() {
            parent.parts_from(pid);
        }
        match (self.shutdown, pid.parent()) {
            (Shutdown::BrutalKill, _) => pid.kill(),
            (_, Some(parent)) => pid.exit_from(parent, Exit::Shutdown),
            (_, None) => pid.exit(Exit::Shutdown),
        }
    }
}

/// How many children ended for which reason.
#[derive(Debug, Default)]
pub(crate) struct Reasons {
    /// By OTP's word and what is said besides.
    counts: BTreeMap<(&'static str, String), u64>,
    others: u64,
}

impl Reasons {
    /// The most that are told apart; what a panic says may be different each time.
    pub(crate) const MAX: usize = 64;

    /// The most bytes of one: a pool keeps them for as long as it lives.
    const BYTES: usize = 256;

    /// One more; how many there are of that reason, `None` if it is not told apart.
    pub(crate) fn add(&mut self, reason: &Exit) -> Option<u64> {
        let mut text = reason.to_string();
        cut(&mut text, Self::BYTES);
        let key = (reason.word(), text);
        if self.counts.len() >= Self::MAX && !self.counts.contains_key(&key) {
            self.others += 1;
            return None;
        }
        let count = self.counts.entry(key).or_default();
        *count += 1;
        Some(*count)
    }

    fn report(&self, stop: &Stop<'_>) {
        let (supervisor, child) = (stop.supervisor.path(), stop.child);
        for ((_, reason), count) in &self.counts {
            tracing::error!(%supervisor, child, reason, count, "children did not stop as told");
        }
        if self.others > 0 {
            let count = self.others;
            tracing::error!(
                %supervisor, child, count, "children did not stop as told, for other reasons"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_reasons_are_told_apart_and_those_go_on_being_counted() {
        let mut reasons = Reasons::default();
        let panics = || (0..100).map(|n| Exit::error(&format!("index {n}")));
        let counted: Vec<_> = panics().map(|reason| reasons.add(&reason)).collect();
        let kept = counted.iter().filter(|count| **count == Some(1)).count();
        assert_eq!((kept, reasons.others), (Reasons::MAX, 36));
        assert_eq!(reasons.add(&Exit::error("index 0")), Some(2));
        assert_eq!(reasons.add(&Exit::Killed), None);
        assert_eq!(reasons.others, 37);
        // a pool keeps no more of one
        let mut reasons = Reasons::default();
        assert_eq!(
            [0, 1].map(|_| reasons.add(&Exit::error(&"long".repeat(1 << 20)))),
            [Some(1), Some(2)]
        );
        assert!(reasons.counts.keys().all(|(_, text)| text.capacity() < 300));
        // an error that says so is no kill
        let mut reasons = Reasons::default();
        assert_eq!([Exit::Killed, Exit::error("killed")].map(|r| reasons.add(&r)), [Some(1); 2]);
    }
}
