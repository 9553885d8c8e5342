//! Batches: what goes from node to node at once, in one message of ractor_cluster. A head in postcard's format, then the frames, each behind
//! its length.

use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};
use supervision::dist::Class;

/// The version of their form, which is their first byte.
pub(super) const VERSION: u8 = 1;
/// The most frames of one.
pub(super) const FRAMES: usize = 64;
/// The most bytes of one, unless a single frame is longer.
pub(super) const BYTES: usize = 64 << 10;
/// In the length of a frame: it took credit.
const CREDIT: u32 = 1 << 31;

/// Measures how long what is said takes there and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beat {
    /// When it was sent, in microseconds by the sender's clock.
    pub(super) at: u64,
    /// The last that came, and for how long it was here.
    pub(super) echo: Option<(u64, u64)>,
}

/// What a link says beside the frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// The receiver's word for the link.
    pub(super) token: u64,
    /// From 0; one that is missing is the end of the link.
    pub(super) number: u64,
    /// How many messages, and bytes of them, the sender of this has taken since the link began: so much credit is given back.
    pub(super) taken: (u64, u64),
    pub(super) beat: Option<Beat>,
    /// It is the last, and why.
    pub(super) closing: Option<String>,
}

pub(super) fn write(head: &Head, frames: &[(Class, Bytes)]) -> Result<Vec<u8>, postcard::Error> {
    let bytes: usize = frames.iter().map(|(_, frame)| frame.len() + 4).sum();
    let mut batch = Vec::with_capacity(bytes + 64);
    batch.push(VERSION);
    let mut batch = postcard::to_extend(head, batch)?;
    for (class, frame) in frames {
        let credit = if *class == Class::Message { CREDIT } else { 0 };
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX) & !CREDIT;
        batch.put_u32(length | credit);
        batch.extend_from_slice(frame);
    }
    Ok(batch)
}

/// The head, and what is behind it; `None`: it is malformed, or of another version.
pub(super) fn read(batch: &[u8]) -> Option<(Head, Frames<'_>)> {
    let rest = batch.strip_prefix(&[VERSION])?;
    let (head, rest) = postcard::take_from_bytes(rest).ok()?;
    Some((head, Frames(rest)))
}

/// The frames of a batch, each whether it took credit; `Err`: the batch is malformed.
pub(super) struct Frames<'a>(&'a [u8]);

impl<'a> Iterator for Frames<'a> {
    type Item = Result<(Class, &'a [u8]), ()>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let Some((length, rest)) = self.0.split_first_chunk() else {
            self.0 = &[];
            return Some(Err(()));
        };
        let length = u32::from_be_bytes(*length);
        let class = if length & CREDIT == 0 { Class::Signal } else { Class::Message };
        let length = usize::try_from(length & !CREDIT).unwrap_or(usize::MAX);
        let Some((frame, rest)) = rest.split_at_checked(length) else {
            self.0 = &[];
            return Some(Err(()));
        };
        self.0 = rest;
        Some(Ok((class, frame)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_cut_is_refused() {
        let beat = Some(Beat { at: 1, echo: Some((2, 3)) });
        let head = Head { token: 7, number: 8, taken: (9, 10), beat, closing: None };
        let frames = [
            (Class::Message, Bytes::from_static(b"one")),
            (Class::Signal, Bytes::from_static(b"")),
        ];
        let batch = write(&head, &frames).unwrap();
        // what nodes of the first version send is read for ever
        assert_eq!(batch, std::fs::read("tests/wire/v1/batch.bin").unwrap());
        let (read_head, read_frames) = read(&batch).unwrap();
        assert_eq!(read_head, head);
        let read_frames: Vec<_> = read_frames.map(Result::unwrap).collect();
        assert_eq!(read_frames, [(Class::Message, &b"one"[..]), (Class::Signal, &b""[..])]);
        let cut = batch.len() - 5;
        let (_, mut read_frames) = read(&batch[..cut]).unwrap();
        assert!(read_frames.any(|frame| frame.is_err()));
        assert!(read(&[2, 0, 0]).is_none() && read(&[]).is_none() && read(&batch[..3]).is_none());
    }
}
