//! How often content is looked into and written: the figures of law 7, that a stanza is parsed once
//! and forwarding copies its bytes.
//!
//! Framing is not in them, since a stanza that came in counts as a stanza, nor is rendering, which
//! copies. A count costs one addition: it belongs to the thread until somebody takes it.

use std::cell::Cell;

/// What was done on a thread since somebody asked last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Contents, or children of one, that were parsed after the framer had seen them; what this
    /// program wrote itself and then looked into, too.
    pub parsed: u64,
    /// Elements that were written as XML, each with all that is in it.
    pub serialised: u64,
}

thread_local! {
    static WORK: Cell<Work> = const { Cell::new(Work { parsed: 0, serialised: 0 }) };
}

/// What this thread has done; it begins anew.
pub fn take() -> Work {
    WORK.take()
}

pub(crate) fn parsed() {
    WORK.with(|cell| {
        let work = cell.get();
        cell.set(Work { parsed: work.parsed + 1, ..work });
    });
}

pub(crate) fn serialised() {
    WORK.with(|cell| {
        let work = cell.get();
        cell.set(Work { serialised: work.serialised + 1, ..work });
    });
}
