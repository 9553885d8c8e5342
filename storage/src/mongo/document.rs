//! Documents as values. Names of fields: see the table in the module's documentation.

use super::failure::Failure;
use crate::{
    Account, OfflineMessage, Origin, StoreError, StoredSession,
    accounts::address,
    offline::{Kept, sender},
    quarantine::Quarantined,
};
use mongodb::bson::{Binary, Bson, Document, Uuid, doc, spec::BinarySubtype};
use serde::{Deserialize, Serialize};
use xmpp::{
    jid::{BareJid, Jid},
    sasl::{Hash, ScramKeys},
    stanza::Stanza,
};

/// BSON's integers have a sign; nothing here comes near the end of them.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn uint(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

pub(super) fn ints(all: &[u64]) -> Vec<i64> {
    all.iter().map(|n| int(*n)).collect()
}

/// Of a roster: nothing that was written before has it.
pub(super) fn revision() -> Binary {
    binary(&Uuid::new().bytes())
}

pub(super) fn binary(bytes: &[u8]) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() }
}

pub(super) fn stanza(xml: &str) -> Result<Stanza, StoreError> {
    let damaged = || StoreError::Corrupt("a message that cannot be read".to_owned());
    Stanza::parse(xml.as_bytes()).ok_or_else(damaged)
}

/// The numbers that the last operation of a node noted in a user's document.
pub(super) fn numbers(user: &Document, node: &str) -> Vec<u64> {
    let op = user.get_document("op").and_then(|op| op.get_document(node));
    let noted = op.and_then(|op| op.get_array("n")).map(Vec::as_slice).unwrap_or_default();
    noted.iter().filter_map(Bson::as_i64).map(uint).collect()
}

/// What transactions need of a user's document.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Head {
    #[serde(default)]
    pub(super) ver: i64,
    #[serde(default)]
    last: i64,
    #[serde(default)]
    created: i64,
    most: Option<Most>,
}

/// How much may be kept for a user, at most, as long as `at` is the last number of a message: whoever kept more since then has not
/// counted it here.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Most {
    n: i64,
    b: i64,
    at: i64,
}

/// The same as a document.
pub(super) fn bound(most: Kept, at: i64) -> Document {
    doc! { "n": int(most.messages as u64), "b": int(most.bytes as u64), "at": at }
}

impl Head {
    pub(super) fn fields() -> Document {
        doc! { "ver": 1, "last": 1, "created": 1, "most": 1 }
    }

    /// When the account was made, in milliseconds of the epoch.
    pub(super) fn created(&self) -> u64 {
        uint(self.created)
    }

    /// The last number of the user's messages.
    pub(super) fn last(&self) -> u64 {
        uint(self.last)
    }

    /// No more is kept for the user; `None`: nobody has counted.
    pub(super) fn most(&self) -> Option<Kept> {
        let Most { n, b, .. } = self.most.filter(|most| most.at == self.last)?;
        let number = |n| usize::try_from(n).unwrap_or(usize::MAX);
        Some(Kept { messages: number(n), bytes: number(b) })
    }
}

/// SCRAM keys.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Keys {
    hash: String,
    salt: Binary,
    iterations: i64,
    stored_key: Binary,
    server_key: Binary,
}

fn name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha1 => "SHA-1",
        Hash::Sha256 => "SHA-256",
        Hash::Sha512 => "SHA-512",
    }
}

impl From<&ScramKeys> for Keys {
    fn from(keys: &ScramKeys) -> Self {
        Self {
            hash: name(keys.hash).to_owned(),
            salt: binary(&keys.salt),
            iterations: i64::from(keys.iterations),
            stored_key: binary(&keys.stored_key),
            server_key: binary(&keys.server_key),
        }
    }
}

impl TryFrom<Keys> for ScramKeys {
    type Error = StoreError;

    fn try_from(keys: Keys) -> Result<Self, StoreError> {
        let hash = Hash::ALL.into_iter().find(|hash| name(*hash) == keys.hash);
        let unknown = || StoreError::Corrupt(format!("unknown hash function {:?}", keys.hash));
        let iterations = u32::try_from(keys.iterations)
            .map_err(|_| StoreError::Corrupt("an impossible number of iterations".to_owned()))?;
        Ok(Self {
            hash: hash.ok_or_else(unknown)?,
            salt: keys.salt.bytes,
            iterations,
            stored_key: keys.stored_key.bytes,
            server_key: keys.server_key.bytes,
        })
    }
}

/// An account, as a part of the user's document.
#[derive(Serialize, Deserialize)]
pub(super) struct User {
    #[serde(rename = "_id")]
    pub(super) id: String,
    host: String,
    created: i64,
    pub(super) disabled: bool,
    pub(super) keys: Vec<Keys>,
    #[serde(default)]
    pub(super) origin: Option<Origin>,
    /// Of a new one: the roster's revision.
    #[serde(skip_deserializing)]
    rev: Option<Binary>,
}

impl User {
    pub(super) fn fields() -> Document {
        doc! { "host": 1, "created": 1, "disabled": 1, "keys": 1, "origin": 1 }
    }

    pub(super) fn new(user: &BareJid, account: &Account) -> Self {
        Self {
            id: user.as_str().to_owned(),
            host: user.domain().to_owned(),
            created: int(account.created),
            disabled: account.disabled,
            keys: account.keys.iter().map(Keys::from).collect(),
            origin: account.origin.clone(),
            rev: Some(revision()),
        }
    }
}

impl TryFrom<User> for Account {
    type Error = StoreError;

    fn try_from(user: User) -> Result<Self, StoreError> {
        let keys: Result<_, StoreError> = user.keys.into_iter().map(ScramKeys::try_from).collect();
        let (created, disabled) = (uint(user.created), user.disabled);
        Ok(Self { keys: keys?, created, disabled, origin: user.origin })
    }
}

/// A message that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Message {
    #[serde(rename = "_id")]
    pub(super) id: i64,
    pub(super) u: String,
    pub(super) at: i64,
    /// A bare address, or nothing.
    pub(super) from: String,
    pub(super) b: i64,
    pub(super) x: String,
    pub(super) w: bool,
    pub(super) h: Vec<String>,
    #[serde(default)]
    pub(super) d: bool,
    #[serde(default)]
    pub(super) s: u32,
}

/// The account (or server) that sent it, or nothing.
pub(super) fn from(stanza: &Stanza) -> String {
    sender(stanza).map_or_else(String::new, |from| from.as_str().to_owned())
}

impl Message {
    pub(super) fn new(user: &BareJid, id: u64, at: u64, stanza: &Stanza, h: Vec<String>) -> Self {
        Self {
            id: int(id),
            u: user.as_str().to_owned(),
            at: int(at),
            from: from(stanza),
            b: int(stanza.weight() as u64),
            x: stanza.to_xml(),
            w: h.is_empty(),
            h,
            d: false,
            s: 0,
        }
    }

    /// As limits count it.
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.b).unwrap_or(usize::MAX)
    }

    /// Without what only the store knows.
    pub(super) fn read(&self) -> Result<OfflineMessage, StoreError> {
        let stanza = stanza(&self.x)?;
        Ok(OfflineMessage { id: uint(self.id), at: uint(self.at), stanza, strikes: self.s })
    }
}

/// A session that is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Session {
    #[serde(rename = "_id")]
    pub(super) id: String,
    u: String,
    epoch: i64,
    until: i64,
    handled: u32,
    frozen: Binary,
}

impl Session {
    pub(super) fn new(session: &StoredSession, handled: u32) -> Self {
        Self {
            id: session.key.clone(),
            u: session.user.as_str().to_owned(),
            epoch: int(session.epoch),
            until: int(session.until),
            handled,
            frozen: binary(&session.frozen),
        }
    }
}

impl TryFrom<Session> for StoredSession {
    type Error = StoreError;

    fn try_from(session: Session) -> Result<Self, StoreError> {
        Ok(Self {
            key: session.id,
            user: address(&session.u)?,
            epoch: uint(session.epoch),
            until: uint(session.until),
            handled: session.handled,
            frozen: session.frozen.bytes,
        })
    }
}

/// A message in quarantine; `x` is not read for lists.
#[derive(Serialize, Deserialize)]
pub(super) struct Quarantine {
    #[serde(rename = "_id")]
    pub(super) id: i64,
    pub(super) u: String,
    at: i64,
    since: i64,
    from: String,
    b: i64,
    #[serde(default)]
    pub(super) x: String,
}

impl Quarantine {
    pub(super) fn new(message: &Message, since: u64) -> Self {
        Self {
            id: message.id,
            u: message.u.clone(),
            at: message.at,
            since: int(since),
            from: message.from.clone(),
            b: message.b,
            x: message.x.clone(),
        }
    }

    /// As a message of its user again.
    pub(super) fn restored(self, id: u64) -> Message {
        Message {
            id: int(id),
            u: self.u,
            at: self.at,
            from: self.from,
            b: self.b,
            x: self.x,
            w: true,
            h: Vec::new(),
            d: false,
            s: 0,
        }
    }

    pub(super) fn seen(&self) -> Result<Quarantined, StoreError> {
        Ok(Quarantined {
            id: uint(self.id),
            user: address(&self.u)?,
            from: self.from.parse::<Jid>().ok(),
            at: uint(self.at),
            since: uint(self.since),
            bytes: usize::try_from(self.b).unwrap_or_default(),
        })
    }
}

/// An address, as the value of a field or a part of a key.
pub(super) fn texts<'a>(all: impl IntoIterator<Item = &'a Jid>) -> Vec<String> {
    all.into_iter().map(|jid| jid.as_str().to_owned()).collect()
}

/// A value as BSON.
pub(super) fn bson<T: Serialize>(value: &T) -> Result<Bson, Failure> {
    Ok(mongodb::bson::serialize_to_bson(value)?)
}
