//! What a supervisor does when a child ends: pure functions of (children, event, now).
//!
//! The reference is OTP 25's `supervisor.erl`; the oracle in `tests/otp` judges the whole.
//!
//! ```
//! use supervision::{AutoShutdown, ChildSpec, Exit, Intensity, Restart, Shutdown, Strategy};
//! use supervision::decide::{Verdict, Window, affected, auto_shutdown, check, check_all, is_shutdown_error, on_exit};
//! # use supervision::Started;
//!
//! assert_eq!(on_exit(Restart::Transient, &Exit::Normal), Verdict::Forget);
//! assert_eq!(on_exit(Restart::Transient, &Exit::error("no")), Verdict::Restart);
//! assert!(is_shutdown_error(Shutdown::Infinity, Restart::Permanent, &Exit::Killed));
//! assert_eq!(affected(Strategy::RestForOne, 1, 3), 1..3);
//! assert!(auto_shutdown(AutoShutdown::AnySignificant, true, true));
//!
//! let (once, now) = (Intensity::default(), tokio::time::Instant::now());
//! let mut window = Window::default();
//! assert!(window.add(once, now) && !window.add(once, now));
//! assert_eq!((window.within(once, now), window.within(once, now + once.period * 2)), (2, 0));
//!
//! let child = || ChildSpec::new("a", |_| async { Ok(Started::Ignored) }).significant(true);
//! assert!(check(&child(), AutoShutdown::AnySignificant).is_err(), "significant and permanent");
//! let twice = [child().restart(Restart::Temporary), child().restart(Restart::Temporary)];
//! let checked = check_all(Strategy::OneForOne, once, AutoShutdown::AnySignificant, &twice);
//! assert_eq!(checked, Err("a: duplicate child name".to_owned()));
//! ```

use crate::{
    exit::Exit,
    policy::{AutoShutdown, Intensity, Restart, Shutdown, Strategy},
    spec::ChildSpec,
};
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// What is to be done about a child that ended by itself (`do_restart/3`).
///
/// Example: [`crate::decide`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start it again, if the intensity allows.
    Restart,
    /// It has done its work; then look at [`auto_shutdown`].
    Forget,
}

/// Whether a child is restarted.
///
/// Example: [`crate::decide`].
pub fn on_exit(restart: Restart, reason: &Exit) -> Verdict {
    match restart {
        Restart::Permanent => Verdict::Restart,
        Restart::Transient if reason.is_abnormal() => Verdict::Restart,
        Restart::Transient | Restart::Temporary => Verdict::Forget,
    }
}

/// Whether a child that was told to stop ended otherwise: that is reported (`shutdown/1`,
/// `wait_dynamic_children/5`). A permanent one is not to end by itself at that very moment either.
///
/// Example: [`crate::decide`].
pub fn is_shutdown_error(shutdown: Shutdown, restart: Restart, reason: &Exit) -> bool {
    match (shutdown, reason) {
        (Shutdown::BrutalKill, Exit::Killed) => false,
        (Shutdown::BrutalKill, Exit::Shutdown) => restart == Restart::Permanent,
        (_, Exit::Shutdown) => false,
        (_, Exit::Normal | Exit::ShutdownWith(_)) => restart == Restart::Permanent,
        (_, Exit::Killed | Exit::NoProc | Exit::NoConnection) => true,
        (_, Exit::Error(_) | Exit::Crash(_)) => true,
    }
}

/// Whether the supervisor ends because of a child that ended by itself and is not restarted
/// (`do_auto_shutdown/2`). `others`: another significant child is alive or being restarted.
///
/// Example: [`crate::decide`].
pub fn auto_shutdown(mode: AutoShutdown, significant: bool, others: bool) -> bool {
    match mode {
        AutoShutdown::Never => false,
        AutoShutdown::AnySignificant => significant,
        AutoShutdown::AllSignificant => significant && !others,
    }
}

/// Which of `count` children, in start order, a restart of number `index` affects.
///
/// Example: [`crate::decide`].
pub fn affected(strategy: Strategy, index: usize, count: usize) -> std::ops::Range<usize> {
    match strategy {
        Strategy::OneForAll => 0..count,
        Strategy::RestForOne => index..count,
        Strategy::OneForOne | Strategy::SimpleOneForOne => index..index + 1,
    }
}

/// The restarts of the last period (`add_restart/1`).
///
/// Example: [`crate::decide`].
#[derive(Debug, Default)]
pub struct Window(VecDeque<Instant>);

impl Window {
    /// Counts a restart; `false` when it is one too many.
    pub fn add(&mut self, intensity: Intensity, now: Instant) -> bool {
        // a restart exactly one period ago still counts (`inPeriod/3`)
        let old = |then: &Instant| now.duration_since(*then) > intensity.period;
        while self.0.front().is_some_and(old) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        // never more than the intensity and one are kept: with one more the supervisor ends
        self.0.len() <= intensity.restarts as usize
    }

    /// How many restarts were within the period that ends now.
    pub fn within(&self, intensity: Intensity, now: Instant) -> usize {
        self.0
            .iter()
            .rev()
            .take_while(|then| now.duration_since(**then) <= intensity.period)
            .count()
    }

    /// How many restarts are in the window.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a child cannot be part of a supervisor (`check_childspec/2`).
///
/// Example: [`crate::decide`].
pub fn check(child: &ChildSpec, mode: AutoShutdown) -> Result<(), String> {
    match (child.significant, child.restart, mode) {
        // its path would be its supervisor's
        _ if child.id.is_empty() => Err("a child has no name".to_owned()),
        (true, Restart::Permanent, _) => Err(format!("{}: significant and permanent", child.id)),
        (true, _, AutoShutdown::Never) => {
            Err(format!("{}: significant, but the supervisor never shuts down by itself", child.id))
        }
        _ => Ok(()),
    }
}

/// Whether a supervisor's specification makes sense.
///
/// Example: [`crate::decide`].
pub fn check_all(
    strategy: Strategy,
    intensity: Intensity,
    mode: AutoShutdown,
    children: &[ChildSpec],
) -> Result<(), String> {
    if intensity.period == Duration::ZERO {
        return Err("the period of the intensity is zero".to_owned());
    }
    if strategy == Strategy::SimpleOneForOne && children.len() != 1 {
        return Err("simple_one_for_one has exactly one child".to_owned());
    }
    for (n, child) in children.iter().enumerate() {
        check(child, mode)?;
        if children.iter().take(n).any(|c| c.id == child.id) {
            return Err(format!("{}: duplicate child name", child.id));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Started;

    #[test]
    fn a_child_without_a_name_would_have_the_path_of_its_supervisor() {
        let named = |id| ChildSpec::new(id, |_| async { Ok(Started::Ignored) });
        assert!(check(&named("a"), AutoShutdown::Never).is_ok());
        assert!(check(&named(""), AutoShutdown::Never).is_err());
    }

    #[test]
    fn a_transient_child_is_restarted_after_what_is_abnormal() {
        for (reason, verdict) in [
            (Exit::Normal, Verdict::Forget),
            (Exit::Shutdown, Verdict::Forget),
            (Exit::shutdown("x"), Verdict::Forget),
            (Exit::Killed, Verdict::Restart),
            (Exit::error("x"), Verdict::Restart),
        ] {
            assert_eq!(on_exit(Restart::Transient, &reason), verdict, "{reason}");
            assert_eq!(on_exit(Restart::Permanent, &reason), Verdict::Restart);
            assert_eq!(on_exit(Restart::Temporary, &reason), Verdict::Forget);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_is_closed_at_both_ends() {
        let intensity = Intensity { restarts: 2, period: Duration::from_secs(5) };
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut w = Window::default();
        assert!(w.add(intensity, at(0)) && w.add(intensity, at(1)));
        assert!(!w.add(intensity, at(5_000)), "the first is exactly one period old: it counts");
        let mut w = Window::default();
        assert!(w.add(intensity, at(0)) && w.add(intensity, at(1)));
        assert!(w.add(intensity, at(5_001)), "now it does not");
        let none = Intensity { restarts: 0, period: Duration::from_secs(5) };
        assert!(!Window::default().add(none, at(0)));
    }

    #[test]
    fn the_affected_children_are_those_of_the_strategy() {
        assert_eq!(affected(Strategy::OneForOne, 1, 4), 1..2);
        assert_eq!(affected(Strategy::RestForOne, 1, 4), 1..4);
        assert_eq!(affected(Strategy::OneForAll, 1, 4), 0..4);
    }

    #[test]
    fn significant_children_end_their_supervisor() {
        use AutoShutdown::{AllSignificant, AnySignificant, Never};
        for (mode, significant, others, ends) in [
            (Never, true, false, false),
            (AnySignificant, true, true, true),
            (AnySignificant, false, false, false),
            (AllSignificant, true, true, false),
            (AllSignificant, true, false, true),
            (AllSignificant, false, false, false),
        ] {
            assert_eq!(auto_shutdown(mode, significant, others), ends);
        }
    }
}
