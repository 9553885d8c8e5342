//! How a process is woken: one waits, anybody rings. As a `tokio::sync::Notify` for one waiter, in a
//! third of its room, and without a list.

use parking_lot::Mutex;
use std::{
    future::poll_fn,
    task::{Context, Poll, Waker},
};

#[derive(Default)]
struct Slot {
    waker: Option<Waker>,
    rung: bool,
}

/// Remembers one ring until somebody waits.
#[derive(Default)]
pub(crate) struct Bell(Mutex<Slot>);

impl Bell {
    pub(crate) fn ring(&self) {
        let mut slot = self.0.lock();
        slot.rung = true;
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Nobody will wait any more: a waker kept would keep the memory of a task that has ended.
    pub(crate) fn clear(&self) {
        let waker = self.0.lock().waker.take();
        drop(waker);
    }

    /// Waits for a ring. Dropped before it returned, the ring is still there.
    pub(crate) async fn heard(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// The same for who polls by hand.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut slot = self.0.lock();
        if std::mem::take(&mut slot.rung) {
            return Poll::Ready(());
        }
        if !slot.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            slot.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
