//! Each example prints what its reader should see: what it printed when this was written, to the letter.
//!
//! `cargo test` builds the examples with the tests; where it was told not to, they are built here.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{env, path::PathBuf, process::Command};

fn program(name: &str) -> PathBuf {
    // target/debug/deps/examples-0123 -> target/debug/examples/NAME
    let test = env::current_exe().unwrap();
    let built = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    if !built.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        let cargo = cargo.args(["build", "--quiet", "-p", "supervision", "--example", name]);
        assert!(cargo.status().unwrap().success());
    }
    built
}

fn prints(name: &str, expected: &str) {
    let run = Command::new(program(name)).output().unwrap();
    let (said, error) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{said}{error}");
    assert_eq!(said, expected);
    assert_eq!(error, "");
}

#[test]
fn a_counter() {
    prints("counter", include_str!("examples/counter.txt"));
}

#[test]
fn a_door_that_locks_itself() {
    prints("door", include_str!("examples/door.txt"));
}

#[test]
fn a_pool_with_workers_that_crash() {
    prints("pool", include_str!("examples/pool.txt"));
}

#[test]
fn a_tree_with_a_dependency_that_comes_and_goes() {
    prints("dependency", include_str!("examples/dependency.txt"));
}

#[test]
fn keys_and_values_with_a_cache() {
    prints("kv", include_str!("examples/kv.txt"));
}

#[test]
fn a_room_with_members_that_come_and_go() {
    prints("room", include_str!("examples/room.txt"));
}
