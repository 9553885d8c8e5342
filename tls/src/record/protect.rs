//! One record sealed and opened: its form, its nonce, what it authenticates besides (RFC 8446 5.2; RFC 5246 6.2.3.3).

use super::{
    RecordError, Version,
    crypto::{NONCE, TAG},
    direction::Direction,
};
use std::ops::Range;

/// Bytes of a record's header.
pub const HEADER: usize = 5;
/// What a record can carry (RFC 8446 5.1, RFC 5246 6.2.1).
pub const MAX_PLAIN: usize = 1 << 14;
/// What a record may be longer by than what it carries: RFC 8446 5.2, RFC 5246 6.2.3.
const EXPANSION_13: usize = 256;
const EXPANSION_12: usize = 2048;
/// The part of a nonce that comes with the record (RFC 5288 3).
const EXPLICIT: usize = 8;

/// Types of records.
pub const CHANGE_CIPHER_SPEC: u8 = 20;
/// An alert.
pub const ALERT: u8 = 21;
/// Messages of the handshake, which in TLS 1.3 come after it too.
pub const HANDSHAKE: u8 = 22;
/// Data, and in TLS 1.3 the outside of everything.
pub const DATA: u8 = 23;

/// Length of the first record in `wire`, with its header; `None` when more bytes are needed.
///
/// # Errors
/// As soon as the header has something that cannot be.
pub fn whole(version: Version, wire: &[u8]) -> Result<Option<usize>, RecordError> {
    let (known, longest) = match version {
        Version::Tls13 => (DATA..=DATA, MAX_PLAIN + EXPANSION_13),
        Version::Tls12 => (CHANGE_CIPHER_SPEC..=DATA, MAX_PLAIN + EXPANSION_12),
    };
    if wire.first().is_some_and(|kind| !known.contains(kind)) {
        return Err(RecordError::Unexpected("a record of this type"));
    }
    if wire.get(1).is_some_and(|major| *major != 3) {
        return Err(RecordError::Version);
    }
    let &[_, _, _, high, low, ..] = wire else { return Ok(None) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > longest {
        return Err(RecordError::Overflow);
    }
    Ok((wire.len() >= HEADER + len).then_some(HEADER + len))
}

/// Seals `content` (at most [`MAX_PLAIN`]) onto `out`; in TLS 1.3 padded to a multiple of `block`, as far as it fits. On an error
/// `out` is as before.
///
/// # Errors
/// When no sequence number is left.
pub fn seal(
    by: &mut Direction,
    kind: u8,
    content: &[u8],
    block: usize,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
    let before = out.len();
    let sealed = match by.version {
        Version::Tls13 => seal13(by, kind, content, block, out),
        Version::Tls12 => seal12(by, kind, content, out),
    };
    match sealed {
        Ok(following) => by.seq = following,
        Err(_) => out.truncate(before),
    }
    sealed.map(drop)
}

fn header(kind: u8, len: usize) -> Result<[u8; HEADER], RecordError> {
    let [high, low] = u16::try_from(len).map_err(|_| RecordError::Overflow)?.to_be_bytes();
    Ok([kind, 3, 3, high, low])
}

fn seal13(
    by: &Direction,
    kind: u8,
    content: &[u8],
    block: usize,
    out: &mut Vec<u8>,
) -> Result<u64, RecordError> {
    let following = by.following()?;
    let padded = match block {
        0 => content.len(),
        block => content.len().next_multiple_of(block).min(MAX_PLAIN).max(content.len()),
    };
    let header = header(DATA, padded + 1 + TAG)?;
    out.reserve(HEADER + padded + 1 + TAG);
    out.extend_from_slice(&header);
    let text = out.len();
    out.extend_from_slice(content);
    out.push(kind);
    out.resize(text + padded + 1, 0);
    let text = out.get_mut(text..).unwrap_or_default();
    let tag = by.key.seal(by.nonce(), &header, text)?;
    out.extend_from_slice(&tag);
    Ok(following)
}

fn seal12(by: &Direction, kind: u8, content: &[u8], out: &mut Vec<u8>) -> Result<u64, RecordError> {
    let following = by.following()?;
    let nonce = by.nonce();
    let explicit = match by.suite.is_gcm() {
        true => nonce.get(NONCE - EXPLICIT..).unwrap_or_default(),
        false => &[],
    };
    let header = header(kind, explicit.len() + content.len() + TAG)?;
    out.reserve(HEADER + explicit.len() + content.len() + TAG);
    out.extend_from_slice(&header);
    out.extend_from_slice(explicit);
    let text = out.len();
    out.extend_from_slice(content);
    let aad = aad12(by.seq, header, content.len())?;
    let tag = by.key.seal(nonce, &aad, out.get_mut(text..).unwrap_or_default())?;
    out.extend_from_slice(&tag);
    Ok(following)
}

/// Opens one whole record in place: its type, and where its content is.
///
/// # Errors
/// See [`RecordError`].
pub fn open(by: &mut Direction, record: &mut [u8]) -> Result<(u8, Range<usize>), RecordError> {
    if whole(by.version, record)? != Some(record.len()) {
        return Err(RecordError::NotOne);
    }
    let (header, body) = record.split_first_chunk_mut().ok_or(RecordError::NotOne)?;
    let following = by.following()?;
    let opened = match by.version {
        Version::Tls13 => open13(by, *header, body),
        Version::Tls12 => open12(by, *header, body),
    }?;
    by.seq = following;
    Ok(opened)
}

fn open13(
    by: &Direction,
    header: [u8; HEADER],
    body: &mut [u8],
) -> Result<(u8, Range<usize>), RecordError> {
    let len = by.key.open(by.nonce(), &header, body)?;
    // with its type and padding (RFC 8446 5.4)
    if len > MAX_PLAIN + 1 {
        return Err(RecordError::Overflow);
    }
    let plain = body.get(..len).unwrap_or_default();
    let end = plain.iter().rposition(|byte| *byte != 0);
    let (end, kind) = end
        .and_then(|end| Some((end, *plain.get(end)?)))
        .ok_or(RecordError::Unexpected("a record without a type"))?;
    Ok((kind, HEADER..HEADER + end))
}

fn open12(
    by: &Direction,
    header: [u8; HEADER],
    body: &mut [u8],
) -> Result<(u8, Range<usize>), RecordError> {
    let explicit = if by.suite.is_gcm() { EXPLICIT } else { 0 };
    let (explicit, sealed) = body.split_at_mut_checked(explicit).ok_or(RecordError::BadMac)?;
    let len = sealed.len().checked_sub(TAG).ok_or(RecordError::BadMac)?;
    if len > MAX_PLAIN {
        return Err(RecordError::Overflow);
    }
    let nonce = if by.suite.is_gcm() { by.nonce_with(explicit) } else { by.nonce() };
    let from = HEADER + explicit.len();
    by.key.open(nonce, &aad12(by.seq, header, len)?, sealed)?;
    let [kind, ..] = header;
    Ok((kind, from..from + len))
}

/// Sequence number, type, version and length (RFC 5246 6.2.3.3).
fn aad12(seq: u64, header: [u8; HEADER], len: usize) -> Result<[u8; 13], RecordError> {
    let [kind, major, minor, ..] = header;
    let [high, low] = u16::try_from(len).map_err(|_| RecordError::Overflow)?.to_be_bytes();
    let [a, b, c, d, e, f, g, h] = seq.to_be_bytes();
    Ok([a, b, c, d, e, f, g, h, kind, major, minor, high, low])
}
