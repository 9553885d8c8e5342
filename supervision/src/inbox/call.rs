//! Calls: a message with a [`Reply`] in it, and the answer.

use super::{CastError, Ref};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::oneshot;

/// Why a call has no answer.
///
/// Example: [`Ref`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CallError {
    /// The inbox is at its limit.
    #[error("the inbox is full")]
    Full,
    /// The process had ended, or ended before it answered.
    #[error("the process has ended")]
    Gone,
    /// No answer within the deadline; the request may still be carried out.
    #[error("no answer in time")]
    Timeout,
    /// The process called itself: it could never answer (`calling_self`).
    #[error("the process called itself")]
    Itself,
}

/// Where the answer to a call goes. Dropped without an answer, the caller gets
/// [`CallError::Gone`].
///
/// Example: [`Ref`].
#[derive(Debug)]
pub struct Reply<R>(oneshot::Sender<R>);

impl<R> Reply<R> {
    /// Answers. Nothing happens when the caller does not wait any more.
    pub fn send(self, answer: R) {
        drop(self.0.send(answer));
    }

    /// Whether the caller still waits.
    pub fn is_awaited(&self) -> bool {
        !self.0.is_closed()
    }
}

impl<M: Send + 'static> Ref<M> {
    /// Sends a request and waits for its answer, at most `deadline`.
    ///
    /// # Errors
    /// At once when the process is gone, its inbox full, or it calls itself; [`CallError::Gone`] also when it ends
    /// while the call waits.
    pub async fn call<R>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
        deadline: Duration,
    ) -> Result<R, CallError> {
        match tokio::time::timeout(deadline, self.request(request)?).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(CallError::Gone),
            Err(_) => Err(CallError::Timeout),
        }
    }

    /// [`Ref::call`] without a deadline (`infinity`), which waits for room too.
    ///
    /// # Errors
    /// When the process is gone, ends before it answers, or calls itself.
    pub async fn ask<R>(&self, request: impl FnOnce(Reply<R>) -> M) -> Result<R, CallError> {
        if self.pid.is_inside() {
            return Err(CallError::Itself);
        }
        let (sender, receiver) = oneshot::channel();
        self.send(request(Reply(sender))).await.map_err(|_| CallError::Gone)?;
        receiver.await.map_err(|_| CallError::Gone)
    }

    fn request<R>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
    ) -> Result<oneshot::Receiver<R>, CallError> {
        if self.pid.is_inside() {
            return Err(CallError::Itself);
        }
        let (sender, receiver) = oneshot::channel();
        self.cast(request(Reply(sender))).map_err(|e| match e {
            CastError::Full(_) => CallError::Full,
            CastError::Gone(_) => CallError::Gone,
        })?;
        Ok(receiver)
    }
}
