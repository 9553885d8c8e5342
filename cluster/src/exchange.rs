//! Questions between nodes: bytes to one node, and bytes back, or why not.

use crate::BoxFuture;
use bytes::Bytes;
use std::time::Duration;
use supervision::Node;
use thiserror::Error;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AskError {
    /// There is no connection to the node, or it was lost before the answer came: the question may have been dealt with.
    #[error("no connection to the node")]
    NoConnection,
    /// The node does not take it now.
    #[error("the node has too much to do")]
    Full,
    /// It did not answer in time: the question may be dealt with later.
    #[error("the node did not answer in time")]
    Timeout,
    /// The node does not know this kind of question.
    #[error("the node does not understand")]
    Unknown,
}

/// Asks other nodes.
pub trait Exchange: Send + Sync + 'static {
    /// Asks a node, and waits for its answer until the deadline.
    ///
    /// # Errors
    /// When there is none.
    fn ask(
        &self,
        node: Node,
        question: Bytes,
        deadline: Duration,
    ) -> BoxFuture<'_, Result<Bytes, AskError>>;
}

/// Answers other nodes.
pub trait Answering: Send + Sync + 'static {
    /// What a node asks. `None`: it is not understood.
    fn answer(&self, from: Node, question: Bytes) -> BoxFuture<'static, Option<Bytes>>;
}
