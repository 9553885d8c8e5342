//! Several futures in one task.

use crate::BoxFuture;
use std::{future::poll_fn, task::Poll};

/// Waits for all at the same time; the answers in the order of the futures.
pub(crate) async fn all<'a, T>(futures: impl IntoIterator<Item = BoxFuture<'a, T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(|f| (f, None)).collect();
    poll_fn(|cx| {
        let mut ready = true;
        for (future, value) in &mut futures {
            if value.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(v) => *value = Some(v),
                    Poll::Pending => ready = false,
                }
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(|(_, value)| value).collect()
}
