//! Faults: what is to go wrong, at which message. They happen where a message is taken: within a node sending cannot
//! fail, and what a receiver gets late is late for all that comes behind it, so the order of sending stays.

use super::dice::Dice;
use std::time::Duration;

/// What goes wrong with a message.
///
/// Example: [`crate::schedule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It comes later: its receiver stands still before it for so long, as a suspended process does.
    Delay(Duration),
    /// It is gone, as from an inbox that overflowed: who called learns that nobody answers.
    Drop,
    /// Its receiver ends with an error instead of handling it, `terminate` included.
    Crash,
    /// Its receiver is killed.
    Kill,
}

/// What is planned.
#[derive(Default)]
pub(super) struct Plan {
    /// The path, how many messages are left until then, and what happens.
    at: Vec<(String, u64, Fault)>,
    often: Vec<(String, u64, Fault)>,
    pub(super) happened: Vec<String>,
    /// So many messages were taken.
    seen: u64,
}

fn is_below(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Plan {
    pub(super) fn at(&mut self, path: &str, nth: u64, fault: Fault) {
        self.at.push((path.to_owned(), nth, fault));
    }

    pub(super) fn often(&mut self, path: &str, one_in: u64, fault: Fault) {
        self.often.push((path.to_owned(), one_in, fault));
    }

    pub(super) fn fault(&mut self, path: &str, dice: &mut Dice) -> Option<Fault> {
        self.seen += 1;
        let mut fault = None;
        for (of, left, what) in &mut self.at {
            if of == path && *left > 0 {
                *left -= 1;
                if *left == 0 {
                    fault = Some(*what);
                }
            }
        }
        for (above, one_in, what) in &self.often {
            if fault.is_none() && is_below(path, above) && dice.below(*one_in) == 0 {
                fault = Some(*what);
            }
        }
        let what = fault?;
        self.happened.push(format!("{what:?}: message {} to {path}", self.seen));
        fault
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_for_a_path_or_all_below_it() {
        let mut plan = Plan::default();
        plan.at("/a/b", 2, Fault::Drop);
        plan.often("/c", 1, Fault::Kill);
        let mut dice = Dice::new(1);
        let below = ["/c", "/c/d", "/cd", "/"].map(|path| is_below(path, "/c"));
        assert_eq!(below, [true, true, false, false]);
        let faults = [(); 3].map(|()| plan.fault("/a/b", &mut dice));
        assert_eq!(faults, [None, Some(Fault::Drop), None]);
        assert_eq!(plan.fault("/c/#1", &mut dice), Some(Fault::Kill));
        assert_eq!(plan.happened, ["Drop: message 2 to /a/b", "Kill: message 4 to /c/#1"]);
        plan.often("/", 1, Fault::Crash);
        assert_eq!(plan.fault("/anything", &mut dice), Some(Fault::Crash));
    }
}
