//! Futures of a process are polled here: what panics in them is caught, and a signal may be first.

use crate::{crash::Panic, exit::Exit, pid::Local};
use std::{
    future::{Future, poll_fn},
    mem::needs_drop,
    pin::Pin,
    task::{Context, Poll},
};

/// Polls a future of a process; a panic in it becomes an error with what the hook noted. It is dropped where it is, behind the
/// fence that it ended in; `badly` is told of a panic in that.
fn poll_caught<T>(
    pid: &Local,
    mut future: Pin<&mut Option<impl Future<Output = T>>>,
    badly: impl Fn(Panic),
    cx: &mut Context<'_>,
) -> Poll<Result<T, Panic>> {
    let mut done = None;
    let polled = pid.catch(|| {
        if let Some(Poll::Ready(value)) = future.as_mut().as_pin_mut().map(|f| f.poll(cx)) {
            done = Some(value);
            future.set(None);
        }
    });
    match (done, polled) {
        (Some(value), polled) => {
            polled.unwrap_or_else(badly);
            Poll::Ready(Ok(value))
        }
        (None, Ok(())) => {
            pid.tell_unanswered();
            Poll::Pending
        }
        (None, Err(panic)) => {
            cut(pid, future, badly);
            Poll::Ready(Err(panic))
        }
    }
}

/// Awaits a future of a process, and catches what panics in it, and then in its destructor. Takes it pinned: a future that is moved
/// into another is stored twice, and is none of its own for the same reason.
pub(crate) fn caught<T>(
    pid: &Local,
    mut future: Pin<&mut Option<impl Future<Output = T>>>,
    badly: impl Fn(Panic),
) -> impl Future<Output = Result<T, Panic>> {
    poll_fn(move |cx| poll_caught(pid, future.as_mut(), &badly, cx))
}

/// [`caught`], unless a signal ends the process: why it does. Every process is in here while it lives, and a `select!` would be
/// five times as large.
pub(crate) fn unless_ended<T>(
    pid: &Local,
    future: Pin<&mut Option<impl Future<Output = T>>>,
) -> impl Future<Output = Result<Result<T, Panic>, Exit>> {
    until(pid, Local::fatal_now, future)
}

/// [`caught`], unless the process is killed.
pub(crate) fn unless_killed<T>(
    pid: &Local,
    future: Pin<&mut Option<impl Future<Output = T>>>,
) -> impl Future<Output = Result<Result<T, Panic>, Exit>> {
    until(pid, Local::killed_now, future)
}

/// The future is dropped where it is, finished or not.
fn until<T>(
    pid: &Local,
    end: fn(&Local) -> Option<Exit>,
    mut future: Pin<&mut Option<impl Future<Output = T>>>,
) -> impl Future<Output = Result<Result<T, Panic>, Exit>> {
    poll_fn(move |cx| {
        // made here: outside it would be a part of every process
        let badly = |panic: Panic| drop(pid.report_beside(panic.in_terminate(), None));
        let mut ended = end(pid);
        if ended.is_none() {
            if let Poll::Ready(done) = poll_caught(pid, future.as_mut(), badly, cx) {
                return Poll::Ready(Ok(done));
            }
            // most of what is short never waits for a signal
            while ended.is_none() && pid.poll_doom(cx).is_ready() {
                ended = end(pid);
            }
        }
        match ended {
            Some(reason) => {
                cut(pid, future.as_mut(), badly);
                Poll::Ready(Err(reason))
            }
            None => Poll::Pending,
        }
    })
}

/// Drops a future of the process where it is; `badly` is told of a panic in its destructor.
pub(crate) fn cut<T>(pid: &Local, mut future: Pin<&mut Option<T>>, badly: impl Fn(Panic)) {
    if needs_drop::<T>() && future.is_some() {
        pid.catch(|| future.set(None)).unwrap_or_else(badly);
    }
}
