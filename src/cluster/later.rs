//! Who answers other nodes, before it is there.

use bytes::Bytes;
use cluster::{Answering, BoxFuture};
use std::sync::OnceLock;
use supervision::Node;

/// Answers as what it is given once; until then it understands nothing.
#[derive(Default)]
pub(crate) struct Later(OnceLock<Box<dyn Answering>>);

impl Later {
    /// From here on that answers. The first one only.
    pub(crate) fn is(&self, answering: impl Answering) {
        // a second one has nobody to answer
        drop(self.0.set(Box::new(answering)));
    }
}

impl Answering for Later {
    fn answer(&self, from: Node, question: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        match self.0.get() {
            Some(answering) => answering.answer(from, question),
            None => Box::pin(async { None }),
        }
    }
}
