//! The fuzz target `records` on stable Rust, for a bounded time: scripts at random. The open-ended run is `cargo fuzz run records`
//! (see `fuzz/`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod checks;
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::time::Instant;
use support::{Rng, all, mirror};

#[test]
fn any_peer() {
    for seed in 0..20_000 {
        let mut rng = Rng::new(seed);
        let len = rng.below(200);
        let mut script = rng.bytes(len);
        // lengths that are small leave room for more to happen
        script.iter_mut().skip(1).step_by(1 + rng.below(4)).for_each(|byte| *byte %= 12);
        println!("seed {seed}");
        checks::records(&script);
    }
}

#[test]
fn any_frozen_state() {
    for (version, suite) in all() {
        let good = serde_json::to_vec(&mirror(version, suite).0.freeze(Instant::now())).unwrap();
        for seed in 0..5_000 {
            let mut rng = Rng::new(seed);
            let mut bad = good.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bad.len());
                bad[at] = b"0123456789aAzZ+/=\",:{}[]\\"[rng.below(25)];
            }
            println!("seed {seed}");
            checks::records(&[&[6], &bad[..]].concat());
        }
    }
}
