//! What goes from one node to another, as bytes: a word in postcard's format, the number of its kind first; behind it what is said to a
//! process. A kind never changes: what is new is a new kind, which a node that does not know it passes over.

use crate::{
    crash::{CrashReport, cut},
    exit::Exit,
    inbox::CallError,
    pid::Local,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most bytes of a text in a reason.
const TEXT_BYTES: usize = 16 << 10;

/// Whom it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum To<'a> {
    /// The process with that number.
    Process(u64),
    /// Who has that name.
    Name(&'a str),
}

/// A process has the number that it has on its node; `from` is of the sender's, `to` of the receiver's.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word<'a> {
    /// The message is behind it, its replies have these numbers.
    Message {
        to: To<'a>,
        tag: &'a str,
        version: u16,
        replies: Vec<u64>,
    },
    /// The answer is behind it.
    Answer {
        reply: u64,
    },
    NoAnswer {
        reply: u64,
        why: Why,
    },
    Link {
        from: u64,
        to: u64,
    },
    /// To be confirmed: until then what was said of the link is not about the next.
    Unlink {
        from: u64,
        to: u64,
        number: u64,
    },
    Unlinked {
        from: u64,
        to: u64,
        number: u64,
    },
    /// One that is linked has ended.
    Ended {
        from: u64,
        to: u64,
        reason: Reason,
    },
    Exit {
        to: u64,
        reason: Reason,
    },
    Kill {
        to: u64,
    },
    Monitor {
        monitor: u64,
        to: To<'a>,
    },
    Demonitor {
        monitor: u64,
    },
    Down {
        monitor: u64,
        reason: Reason,
    },
    Join {
        group: &'a str,
        member: u64,
    },
    Leave {
        group: &'a str,
        member: u64,
    },
}

/// Kinds from this on are not known.
const KINDS: u8 = 14;

/// Why a frame was not taken.
///
/// Example: [`crate::dist`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// The connection is lost already.
    #[error("the connection is lost")]
    Lost,
    /// It is longer than frames may be.
    #[error("the frame is too long")]
    TooLong,
    /// It is nothing that another node could have sent.
    #[error("the frame is malformed")]
    Malformed,
}

/// What was read.
pub(super) enum Read<'a> {
    /// A word, and what is behind it.
    Known(Word<'a>, &'a [u8]),
    /// The number of a kind of a later version.
    Unknown(u8),
}

/// As bytes; `None` when these are more than `limit`.
pub(super) fn write(word: &Word<'_>, behind: &[u8], limit: usize) -> Option<Bytes> {
    let mut frame = postcard::to_extend(word, Vec::with_capacity(64 + behind.len())).ok()?;
    frame.extend_from_slice(behind);
    (frame.len() <= limit).then(|| frame.into())
}

pub(super) fn read(frame: &[u8]) -> Result<Read<'_>, FrameError> {
    match frame.first() {
        Some(kind) if *kind >= KINDS => Ok(Read::Unknown(*kind)),
        _ => postcard::take_from_bytes(frame)
            .map(|(word, behind)| Read::Known(word, behind))
            .map_err(|_| FrameError::Malformed),
    }
}

/// An exit reason. Of a crash what it was and where: the report stays on its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reason {
    Normal,
    Shutdown,
    ShutdownWith(String),
    Killed,
    NoProc,
    NoConnection,
    Error(String),
    Crash { id: u64, at: u64, path: String, process: String, reason: String, location: String },
}

fn short(text: &str) -> String {
    let mut text = text.to_owned();
    cut(&mut text, TEXT_BYTES);
    text
}

impl From<&Exit> for Reason {
    fn from(exit: &Exit) -> Self {
        match exit {
            Exit::Normal => Self::Normal,
            Exit::Shutdown => Self::Shutdown,
            Exit::ShutdownWith(why) => Self::ShutdownWith(short(why)),
            Exit::Killed => Self::Killed,
            Exit::NoProc => Self::NoProc,
            Exit::NoConnection => Self::NoConnection,
            Exit::Error(why) => Self::Error(short(why)),
            Exit::Crash(report) => Self::Crash {
                id: report.id,
                at: report.at,
                path: short(&report.path),
                process: short(&report.process),
                reason: short(&report.reason),
                location: short(&report.location),
            },
        }
    }
}

impl From<Reason> for Exit {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Normal => Self::Normal,
            Reason::Shutdown => Self::Shutdown,
            Reason::ShutdownWith(why) => Self::ShutdownWith(why.into()),
            Reason::Killed => Self::Killed,
            Reason::NoProc => Self::NoProc,
            Reason::NoConnection => Self::NoConnection,
            Reason::Error(why) => Self::Error(why.into()),
            Reason::Crash { id, at, path, process, reason, location } => {
                let told = CrashReport::told((id, at), path, &process, reason, location);
                Self::Crash(told.into())
            }
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Why {
    Gone(Option<Reason>),
    Full,
    WrongType,
    Unknown,
    Unsendable(String),
}

impl Why {
    pub(super) fn noproc() -> Self {
        Self::Gone(Some(Reason::NoProc))
    }

    /// The process that was asked has ended, or is about to.
    pub(super) fn gone(local: &Local) -> Self {
        Self::Gone(local.why().as_ref().map(Reason::from))
    }
}

impl From<&CallError> for Why {
    fn from(error: &CallError) -> Self {
        match error {
            CallError::Gone(why) => Self::Gone(why.as_ref().map(Reason::from)),
            CallError::Full => Self::Full,
            CallError::WrongType => Self::WrongType,
            CallError::Unknown => Self::Unknown,
            CallError::Unsendable(why) => Self::Unsendable(short(why)),
            CallError::Timeout | CallError::Itself => Self::Gone(None),
        }
    }
}

impl From<Why> for CallError {
    fn from(why: Why) -> Self {
        match why {
            Why::Gone(reason) => Self::Gone(reason.map(Exit::from)),
            Why::Full => Self::Full,
            Why::WrongType => Self::WrongType,
            Why::Unknown => Self::Unknown,
            Why::Unsendable(why) => Self::Unsendable(why.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All kinds, in the order of their numbers.
    fn words() -> Vec<Word<'static>> {
        let crash = || Reason::Crash {
            id: 1,
            at: 2,
            path: "/p".to_owned(),
            process: "p".to_owned(),
            reason: "r".to_owned(),
            location: "l".to_owned(),
        };
        let to = To::Process(3);
        vec![
            Word::Message { to: To::Name("n"), tag: "t", version: 1, replies: vec![7, 300] },
            Word::Answer { reply: 7 },
            Word::NoAnswer { reply: 7, why: Why::Gone(Some(Reason::Killed)) },
            Word::Link { from: 1, to: 2 },
            Word::Unlink { from: 1, to: 2, number: 3 },
            Word::Unlinked { from: 1, to: 2, number: 3 },
            Word::Ended { from: 1, to: 2, reason: crash() },
            Word::Exit { to: 2, reason: Reason::ShutdownWith("s".to_owned()) },
            Word::Kill { to: 2 },
            Word::Monitor { monitor: 5, to },
            Word::Demonitor { monitor: 5 },
            Word::Down { monitor: 5, reason: Reason::Error("e".to_owned()) },
            Word::Join { group: "g", member: 2 },
            Word::Leave { group: "g", member: 2 },
        ]
    }

    /// What nodes of the first version write is what is read for ever.
    #[test]
    fn the_bytes_of_version_1_stay() {
        let first: [&[u8]; 14] = [
            &[0, 1, 1, b'n', 1, b't', 1, 2, 7, 172, 2, b'!'],
            &[1, 7, b'!'],
            &[2, 7, 0, 1, 3, b'!'],
            &[3, 1, 2, b'!'],
            &[4, 1, 2, 3, b'!'],
            &[5, 1, 2, 3, b'!'],
            &[6, 1, 2, 7, 1, 2, 2, b'/', b'p', 1, b'p', 1, b'r', 1, b'l', b'!'],
            &[7, 2, 2, 1, b's', b'!'],
            &[8, 2, b'!'],
            &[9, 5, 0, 3, b'!'],
            &[10, 5, b'!'],
            &[11, 5, 6, 1, b'e', b'!'],
            &[12, 1, b'g', 2, b'!'],
            &[13, 1, b'g', 2, b'!'],
        ];
        assert_eq!(words().len(), usize::from(KINDS));
        for (word, bytes) in words().into_iter().zip(first) {
            assert_eq!(&*write(&word, b"!", 100).unwrap(), bytes, "{word:?}");
            let Ok(Read::Known(read, b"!")) = read(bytes) else { panic!("{word:?}") };
            assert_eq!(read, word);
        }
    }

    #[test]
    fn what_is_later_is_passed_over_and_what_is_wrong_is_refused() {
        assert!(matches!(read(&[KINDS, 1, 2]), Ok(Read::Unknown(KINDS))));
        assert!(matches!(read(&[]), Err(FrameError::Malformed)));
        for word in words() {
            let frame = write(&word, b"", 100).unwrap();
            for end in 1..frame.len() {
                assert!(read(&frame[..end]).is_err(), "{word:?} cut at {end}");
            }
            assert!(write(&word, b"", frame.len()).is_some());
            assert!(write(&word, b"", frame.len() - 1).is_none());
        }
    }
}
