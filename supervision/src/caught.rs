//! Futures of a process are polled here: what panics in them is caught, and a signal may be first.

use crate::{crash::Panic, exit::Exit, pid::Local};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

/// Polls a future of a process; a panic in it becomes an error with what the hook noted.
fn poll_caught<T>(
    pid: &Local,
    future: Pin<&mut impl Future<Output = T>>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, Panic>> {
    match pid.catch(|| future.poll(cx)) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => {
            pid.tell_unanswered();
            Poll::Pending
        }
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// Awaits a future of a process, and catches what panics in it. Takes it pinned: a future that is moved into another is
/// stored twice, and is none of its own for the same reason.
pub(crate) fn caught<T>(
    pid: &Local,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> impl Future<Output = Result<T, Panic>> {
    poll_fn(move |cx| poll_caught(pid, future.as_mut(), cx))
}

/// [`caught`], unless a signal ends the process: why it does. Every process is in here while it lives, and a `select!` would be
/// five times as large.
pub(crate) fn unless_ended<T>(
    pid: &Local,
    future: Pin<&mut Option<impl Future<Output = T>>>,
) -> impl Future<Output = Result<Result<T, Panic>, Exit>> {
    until(pid, Local::poll_fatal, future)
}

/// [`caught`], unless the process is killed.
pub(crate) fn unless_killed<T>(
    pid: &Local,
    future: Pin<&mut Option<impl Future<Output = T>>>,
) -> impl Future<Output = Result<Result<T, Panic>, Exit>> {
    until(pid, Local::poll_killed, future)
}

/// The future is dropped where it is, finished or not.
fn until<T>(
    pid: &Local,
    end: fn(&Local, &Context<'_>) -> Poll<Exit>,
    mut future: Pin<&mut Option<impl Future<Output = T>>>,
) -> impl Future<Output = Result<Result<T, Panic>, Exit>> {
    poll_fn(move |cx| {
        let done = match (end(pid, cx), future.as_mut().as_pin_mut()) {
            (Poll::Ready(reason), _) => Poll::Ready(Err(reason)),
            (Poll::Pending, Some(future)) => poll_caught(pid, future, cx).map(Ok),
            (Poll::Pending, None) => Poll::Pending,
        };
        if done.is_ready() {
            cut(pid, future.as_mut());
        }
        done
    })
}

/// Drops a future of the process where it is; a panic in a destructor is reported as one in `terminate`.
fn cut<T>(pid: &Local, mut future: Pin<&mut Option<T>>) {
    if let Err(panic) = pid.catch(|| future.set(None)) {
        pid.report_beside(panic.in_terminate(), None);
    }
}
