//! The resource a connection serves, which is told what the connection holds for it: when memory is short that
//! counts as its queue does (`crate::relief`).

use crate::{
    resource::{Owner, Resource},
    session::turn::Turn,
};
use std::{ops::Deref, sync::Arc};

/// The resource is told only when so many bytes more or less are held, and that is a part of what there was:
/// a chat never gets there, and a large stanza is not looked through for each read.
const GRAIN: usize = 8 << 10;
const PART: usize = 8;

/// Dropped, nothing is held any more.
#[derive(Debug)]
pub(super) struct Serving {
    resource: Arc<Resource>,
    /// With which it is attached.
    epoch: u64,
    /// [`Turn::bytes`] when the resource was told last.
    seen: usize,
    /// What it was told.
    told: usize,
}

impl Serving {
    pub(super) fn new(resource: Arc<Resource>, epoch: u64) -> Self {
        Self { resource, epoch, seen: 0, told: 0 }
    }

    /// Resolves when there is something to do for it.
    pub(super) async fn notified(&self) {
        self.resource.notified(self.epoch).await;
    }

    /// Whether it is still served here.
    pub(super) fn is_ours(&self) -> bool {
        self.resource.owner() == Owner::Attached(self.epoch)
    }

    pub(super) fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// A turn is over.
    pub(super) fn tell(&mut self, turn: &Turn) {
        let bytes = turn.bytes();
        if bytes.abs_diff(self.seen) >= GRAIN.max(self.seen / PART) {
            self.seen = bytes;
            self.say(turn.weight());
        }
    }

    fn say(&mut self, now: usize) {
        self.resource.holds(self.told, now);
        self.told = now;
    }
}

impl Deref for Serving {
    type Target = Resource;

    fn deref(&self) -> &Resource {
        &self.resource
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.say(0);
    }
}
