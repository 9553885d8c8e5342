//! A whole node in one thread under many seeds: which of its processes runs first, how long its store takes and what is killed is
//! drawn. What fails says its seed; `SEED=7 cargo test -p actors --test seeds NAME` runs that one alone.

#![expect(clippy::unwrap_used, reason = "a failed step of the scene is a panic")]

mod lossless;
mod race;

use actors::{
    modules::{
        blocking::{BlockingConfig, BlockingModule},
        offline::{OfflineConfig, OfflineModule},
        roster::{RosterConfig, RosterModule},
    },
    registrar::Modules,
    testkit::node::Node,
};

/// Scripts that are run over TCP too: what they expect does not depend on who is faster.
const SCRIPTS: [&str; 3] = [
    include_str!("../../../tests/scripts/roster.xmpp"),
    include_str!("../../../tests/scripts/subscription.xmpp"),
    include_str!("../../../tests/scripts/presence.xmpp"),
];

fn modules(modules: &mut Modules) {
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules.add_with::<RosterModule>(RosterConfig::default());
    modules.add_with::<BlockingModule>(BlockingConfig::default());
}

#[test]
fn what_a_client_may_expect_holds_whoever_runs_first() {
    for script in SCRIPTS {
        Node::check(0..10, script, modules);
    }
}
