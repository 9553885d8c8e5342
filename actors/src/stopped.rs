//! The end of processes that nobody sends messages to and that work until their parent stops them.

use std::convert::Infallible;
use supervision::{Cx, Event, Exit};

/// Resolves when the parent stops this process, with its reason. The exits of others are passed
/// over: the process has to trap them. Can be cancelled.
pub(crate) async fn stopped(cx: &mut Cx<Infallible>) -> Exit {
    loop {
        if let Event::Exit { from, reason } = cx.next().await
            && Some(&from) == cx.pid().parent()
        {
            return reason;
        }
    }
}
