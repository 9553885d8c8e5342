//! What everybody has of a placement on one node.

use super::{
    epochs::Epochs,
    message::SeatMsg,
    placed::{Info, Placed, Spec},
};
use crate::{View, relay::Start};
use quick_cache::sync::Cache;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use supervision::{Far, System};
use tokio::time::sleep;

pub(super) struct Shared<P: Placed> {
    pub(super) system: System,
    pub(super) view: Arc<View>,
    pub(super) epochs: Arc<dyn Epochs>,
    pub(super) args: P::Args,
    pub(super) spec: Spec,
    /// Where keys were found; what is there no more is asked for again.
    pub(super) addresses: Cache<Arc<str>, Far<SeatMsg<P>>>,
    pub(super) keys: AtomicUsize,
    pub(super) waiting: AtomicUsize,
    pub(super) starts: AtomicU64,
    pub(super) moved: AtomicU64,
    pub(super) states: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl<P: Placed> Shared<P> {
    /// Whether this node may act, with the margin.
    pub(super) fn acts(&self) -> bool {
        let left = self.view.left().is_none_or(|left| left > self.spec.margin);
        left && self.view.may_act()
    }

    /// Whether that start of this node may act.
    pub(super) fn acts_as(&self, start: Start) -> bool {
        self.view.me() == start && self.acts()
    }

    /// Resolves when that start may not act any more.
    pub(super) async fn stops_acting(&self, start: Start) {
        while self.acts_as(start) {
            let left = self.view.left().map(|left| left.saturating_sub(self.spec.margin));
            // it may be declared not ready at any time
            sleep(left.unwrap_or(self.spec.look).clamp(Duration::from_millis(1), self.spec.look))
                .await;
        }
    }

    /// The name of the process that keeps the keys of this kind.
    pub(super) fn host() -> String {
        format!("placement.{}", P::KIND)
    }

    /// The name of the pool of its processes.
    pub(super) fn seats() -> String {
        format!("placement.{}.keys", P::KIND)
    }

    pub(super) fn info(&self) -> Info {
        Info {
            keys: self.keys.load(Relaxed),
            starts: self.starts.load(Relaxed),
            moved: self.moved.load(Relaxed),
            states: self.states.load(Relaxed),
            refused: self.refused.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
        }
    }
}
