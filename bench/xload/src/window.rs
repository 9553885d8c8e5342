//! The measured window of a command: what the server used between its two ends.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::args::Args;
use crate::ctx::Ctx;
use crate::{procstat, sys};

/// what every command needs to time its measured window
pub struct Window {
    pub warmup: f64,
    pub secs: f64,
    pub on: Cell<bool>,
    pub stop: Cell<bool>,
}

impl Window {
    pub fn new(a: &Args) -> Rc<Window> {
        Window::of(a.num("warmup", 3.0), a.num("secs", 15.0))
    }
    pub fn of(warmup: f64, secs: f64) -> Rc<Window> {
        Rc::new(Window { warmup, secs, on: Cell::new(false), stop: Cell::new(false) })
    }
    /// run the window; `reset` is called where it begins, and the delta over it is returned
    pub async fn run(&self, cx: &Ctx, reset: impl FnOnce()) -> procstat::Delta {
        tokio::time::sleep(Duration::from_secs_f64(self.warmup)).await;
        reset();
        let a = procstat::snap(&cx.pids);
        self.on.set(true);
        let end = tokio::time::Instant::now() + Duration::from_secs_f64(self.secs);
        let mut spins = vec![];
        while tokio::time::Instant::now() < end {
            tokio::time::sleep_until(
                (tokio::time::Instant::now() + Duration::from_millis(250)).min(end),
            )
            .await;
            spins.push(sys::spin());
        }
        self.on.set(false);
        let b = procstat::snap(&cx.pids);
        self.stop.set(true);
        let mut d = b.since(&a);
        spins.sort_by(|a, b| a.total_cmp(b));
        d.spin_us = spins[spins.len() / 2];
        d
    }
}
