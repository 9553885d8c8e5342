//! The clock of a run, what happened in all of them, and what is shown of one.

use parking_lot::Mutex;
use std::{cell::Cell, collections::BTreeMap, env, sync::LazyLock};
use tokio::time::Instant;

thread_local! {
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A run begins now.
pub fn begins() {
    BEGAN.set(Some(Instant::now()));
}

/// The wall clock of all nodes, in ms.
pub fn wall() -> u64 {
    let began = BEGAN.get().unwrap_or_else(Instant::now);
    1_000_000 + began.elapsed().as_millis() as u64
}

/// What happened, over all seeds.
pub static SEEN: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

static SHOWN: LazyLock<bool> = LazyLock::new(|| env::var_os("SHOW").is_some());

pub fn saw(what: &'static str) {
    notes(|| what.to_owned());
    *SEEN.lock().entry(what).or_default() += 1;
}

/// For who looks into one seed.
pub fn notes(what: impl FnOnce() -> String) {
    if *SHOWN {
        println!("{:>7} {}", wall() - 1_000_000, what());
    }
}
