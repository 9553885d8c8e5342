//! Typed addresses and bounded inboxes: [`Ref::cast`] and [`Ref::call`] fail at once when the
//! receiver is gone or full; nobody waits for room (law 2).

use crate::pid::Pid;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use thiserror::Error;
use tokio::sync::oneshot;

/// Why a message was not taken; it comes back.
#[derive(Error, PartialEq, Eq)]
pub enum CastError<M> {
    /// The inbox is at its limit.
    #[error("the inbox is full")]
    Full(M),
    /// The process has ended.
    #[error("the process has ended")]
    Gone(M),
}

impl<M> fmt::Debug for CastError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full",
            Self::Gone(_) => "Gone",
        })
    }
}

/// Why a call has no answer.
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
}

/// Where the answer to a call goes. Dropped without an answer, the caller gets
/// [`CallError::Gone`].
#[derive(Debug)]
pub struct Reply<R>(oneshot::Sender<R>);

impl<R> Reply<R> {
    /// Answers. Nothing happens when the caller does not wait any more.
    pub fn send(self, answer: R) {
        drop(self.0.send(answer));
    }
}

/// How messages get into a ractor actor.
pub(crate) type Push<M> = dyn Fn(M) -> Result<(), M> + Send + Sync;

pub(crate) enum Lane<M> {
    /// A queue of ours, allocated when it is needed.
    Lean(Mutex<VecDeque<M>>),
    /// ractor's mailbox behind a counter.
    Ractor(Box<Push<M>>),
}

pub(crate) struct Inbox<M> {
    pub(crate) lane: Lane<M>,
    pub(crate) depth: AtomicUsize,
    pub(crate) limit: usize,
}

/// A typed address.
pub struct Ref<M> {
    pub(crate) pid: Pid,
    pub(crate) inbox: Arc<Inbox<M>>,
}

impl<M> Clone for Ref<M> {
    fn clone(&self) -> Self {
        Self { pid: self.pid.clone(), inbox: Arc::clone(&self.inbox) }
    }
}

impl<M> fmt::Debug for Ref<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.pid)
    }
}

impl<M: Send + 'static> Ref<M> {
    pub(crate) fn lean(pid: Pid, limit: usize) -> Self {
        let lane = Lane::Lean(Mutex::new(VecDeque::new()));
        Self { pid, inbox: Arc::new(Inbox { lane, depth: AtomicUsize::new(0), limit }) }
    }

    /// The process behind the address.
    pub fn pid(&self) -> &Pid {
        &self.pid
    }

    /// How many messages wait.
    pub fn depth(&self) -> usize {
        self.inbox.depth.load(Ordering::Relaxed)
    }

    /// Sends a message and goes on.
    ///
    /// # Errors
    /// The message comes back when the inbox is full or the process has ended.
    pub fn cast(&self, msg: M) -> Result<(), CastError<M>> {
        match &self.inbox.lane {
            Lane::Lean(queue) => {
                let mut queue = queue.lock();
                if queue.len() >= self.inbox.limit {
                    return Err(CastError::Full(msg));
                }
                // under the queue's lock, which the end of the process takes too
                if !self.pid.is_alive() {
                    return Err(CastError::Gone(msg));
                }
                queue.push_back(msg);
                self.inbox.depth.store(queue.len(), Ordering::Relaxed);
                let first = queue.len() == 1;
                drop(queue);
                if first {
                    self.pid.0.wake.notify_one();
                }
                Ok(())
            }
            Lane::Ractor(push) => {
                if self.inbox.depth.fetch_add(1, Ordering::AcqRel) >= self.inbox.limit {
                    self.inbox.depth.fetch_sub(1, Ordering::AcqRel);
                    return Err(CastError::Full(msg));
                }
                if !self.pid.is_alive() {
                    self.inbox.depth.fetch_sub(1, Ordering::AcqRel);
                    return Err(CastError::Gone(msg));
                }
                push(msg).map_err(|msg| {
                    self.inbox.depth.fetch_sub(1, Ordering::AcqRel);
                    CastError::Gone(msg)
                })
            }
        }
    }

    /// Sends a request and waits for its answer, at most `deadline`.
    ///
    /// # Errors
    /// At once when the process is gone or its inbox full; [`CallError::Gone`] also when it ends
    /// while the call waits.
    pub async fn call<R>(
        &self,
        request: impl FnOnce(Reply<R>) -> M,
        deadline: Duration,
    ) -> Result<R, CallError> {
        let (sender, receiver) = oneshot::channel();
        self.cast(request(Reply(sender))).map_err(|e| match e {
            CastError::Full(_) => CallError::Full,
            CastError::Gone(_) => CallError::Gone,
        })?;
        match tokio::time::timeout(deadline, receiver).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(CallError::Gone),
            Err(_) => Err(CallError::Timeout),
        }
    }

    pub(crate) fn pop(&self) -> Option<M> {
        let Lane::Lean(queue) = &self.inbox.lane else { return None };
        let mut queue = queue.lock();
        let msg = queue.pop_front();
        self.inbox.depth.store(queue.len(), Ordering::Relaxed);
        if queue.is_empty() && queue.capacity() > 64 {
            *queue = VecDeque::new();
        }
        msg
    }

    /// Drops what waits, so that callers learn that nobody answers.
    pub(crate) fn clear(&self) {
        if let Lane::Lean(queue) = &self.inbox.lane {
            let waiting = std::mem::take(&mut *queue.lock());
            self.inbox.depth.store(0, Ordering::Relaxed);
            drop(waiting);
        }
    }
}
