//! The tests of servers, state machines and supervisors once more, with lean ones: `common::engine` knows by the name of
//! this program.
#![expect(clippy::duplicate_mod, reason = "each of them has its own `common`")]

#[path = "addresses.rs"]
mod addresses;
#[path = "answers.rs"]
mod answers;
#[path = "behaviours.rs"]
mod behaviours;
#[path = "childspecs.rs"]
mod childspecs;
mod common;
#[path = "crash_reports.rs"]
mod crash_reports;
#[path = "crashes.rs"]
mod crashes;
#[path = "destructors.rs"]
mod destructors;
#[path = "exits.rs"]
mod exits;
#[path = "fatal.rs"]
mod fatal;
#[path = "fences.rs"]
mod fences;
#[path = "groups.rs"]
mod groups;
#[path = "intensity.rs"]
mod intensity;
#[path = "leaks.rs"]
mod leaks;
#[path = "names.rs"]
mod names;
#[path = "order.rs"]
mod order;
#[path = "races.rs"]
mod races;
#[path = "replay.rs"]
mod replay;
#[path = "reports.rs"]
mod reports;
#[path = "restarts.rs"]
mod restarts;
#[path = "room.rs"]
mod room;
#[path = "seeds.rs"]
mod seeds;
#[path = "start_links.rs"]
mod start_links;
#[path = "state_machines.rs"]
mod state_machines;
#[path = "statem.rs"]
mod statem;
#[path = "stress.rs"]
mod stress;
#[path = "sys.rs"]
mod sys;
#[path = "turns.rs"]
mod turns;

#[test]
fn these_are_lean() {
    assert_eq!(common::engine(), supervision::Engine::Lean);
}
