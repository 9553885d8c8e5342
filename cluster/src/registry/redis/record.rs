//! What a record and a lease are as bytes in Redis. Scripts read them at the same places (see `scripts`).

use crate::{Member, Record, RegistryError, Token};
use bytes::{BufMut, Bytes, BytesMut};
use std::{sync::Arc, time::Duration};
use supervision::Node;

/// The version of a record's form.
const VERSION: u8 = 1;

/// `version u8 | priority: whether u8, i8 | seq u64 | incarnation u64 | session u64 | node's name`; the last three are the token.
pub(super) fn encode(record: &Record) -> Bytes {
    let name = record.token.node.name();
    let mut bytes = BytesMut::with_capacity(27 + name.len());
    bytes.put_u8(VERSION);
    bytes.put_slice(&priority(record.priority));
    bytes.put_u64(record.seq);
    bytes.put_u64(record.token.incarnation);
    bytes.put_u64(record.token.session);
    bytes.put_slice(name.as_bytes());
    bytes.freeze()
}

/// Whether there is one, and which.
pub(super) fn priority(priority: Option<i8>) -> [u8; 2] {
    let [byte] = priority.unwrap_or_default().to_be_bytes();
    [u8::from(priority.is_some()), byte]
}

/// The record of a resource; `None`: this version does not know its form.
pub(super) fn decode(resource: Arc<str>, bytes: &[u8]) -> Option<Record> {
    let (&[version, whether, byte], rest) = bytes.split_first_chunk()?;
    let (seq, rest) = rest.split_first_chunk()?;
    let (incarnation, rest) = rest.split_first_chunk()?;
    let (session, name) = rest.split_first_chunk()?;
    let node = Node::new(std::str::from_utf8(name).ok()?).ok()?;
    let token = Token {
        node,
        incarnation: u64::from_be_bytes(*incarnation),
        session: u64::from_be_bytes(*session),
    };
    let priority = (whether != 0).then_some(i8::from_be_bytes([byte]));
    let seq = u64::from_be_bytes(*seq);
    (version == VERSION).then_some(Record { resource, token, priority, seq })
}

/// Names a record in the index of its node: `bytes of the user u32 | user | resource`.
pub(super) fn member(user: &str, resource: &str) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + user.len() + resource.len());
    bytes.put_u32(u32::try_from(user.len()).unwrap_or(u32::MAX));
    bytes.put_slice(user.as_bytes());
    bytes.put_slice(resource.as_bytes());
    bytes.freeze()
}

/// User and resource of a name in an index.
pub(super) fn named(member: &[u8]) -> Option<(&str, &str)> {
    let (length, rest) = member.split_first_chunk()?;
    let (user, resource) =
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some((std::str::from_utf8(user).ok()?, std::str::from_utf8(resource).ok()?))
}

/// A lease as Redis has it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) incarnation: u64,
    /// Given back, or declared dead.
    pub(super) dead: bool,
    /// How much longer it is good by Redis's clock.
    pub(super) left: Duration,
    /// The epoch whose sessions it has published.
    pub(super) confirmed: u64,
    /// What its owner said of itself; nothing of a node that was declared dead without a lease.
    pub(super) member: Option<Member>,
}

impl Lease {
    /// `incarnation u64 | l(ive) or d(ead) | until, ms, 15 digits | term, ms, 10 digits | confirmed, 20 digits | JSON`, read at `now`
    /// (ms, by Redis's clock).
    ///
    /// # Errors
    /// When this version does not know its form.
    pub(super) fn decode(bytes: &[u8], now: u64) -> Result<Self, RegistryError> {
        Self::read(bytes, now).ok_or(super::call::AWAY)
    }

    fn read(bytes: &[u8], now: u64) -> Option<Self> {
        let (incarnation, rest) = bytes.split_first_chunk()?;
        let (&[flag], rest) = rest.split_first_chunk()?;
        let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u64>().ok();
        let (until, rest) = rest.split_at_checked(15)?;
        let (term, rest) = rest.split_at_checked(10)?;
        let (confirmed, json) = rest.split_at_checked(20)?;
        // a clock that went back makes no lease longer than it was
        let left = number(until)?.saturating_sub(now).min(number(term)?);
        let confirmed = number(confirmed)?;
        let member: Option<Member> = serde_json::from_slice(json).ok();
        Some(Self {
            incarnation: u64::from_be_bytes(*incarnation),
            dead: flag == b'd',
            left: Duration::from_millis(left),
            confirmed,
            member: member.map(|member| Member { confirmed, ..member }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_it_was() {
        let token = Token { node: Node::default(), incarnation: u64::MAX, session: 7 };
        for priority in [None, Some(-128), Some(0), Some(127)] {
            let record = Record { resource: "r".into(), token, priority, seq: u64::MAX - 1 };
            let bytes = encode(&record);
            assert_eq!(decode("r".into(), &bytes), Some(record));
            assert_eq!(decode("r".into(), &bytes[..26]), None);
            let other = [&[VERSION + 1], &bytes[1..]].concat();
            assert_eq!(decode("r".into(), &other), None, "of a later version");
        }
    }

    #[test]
    fn users_and_resources_with_anything_in_them_are_told_apart() {
        for (user, resource) in [("a", "bc"), ("ab", "c"), ("a\0b", "}{:/"), ("ä", "")] {
            assert_eq!(named(&member(user, resource)), Some((user, resource)));
        }
        assert_ne!(member("a", "bc"), member("ab", "c"));
        assert_eq!(named(b"\0\0\0\x09a"), None);
    }
}
