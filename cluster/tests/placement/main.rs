//! Placement over several nodes in one thread and in paused time: what each promise is, and under seeds that nothing breaks one.
//!
//! `SEED=7` runs one, `SEEDS=100000` as many, `SHOW=1` shows what happens.

#![cfg(test)]

mod counter;
mod faults;
mod promises;
mod store;
mod world;
