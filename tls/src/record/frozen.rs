//! The state of both directions as data, for another process.

use super::{
    Incoming, RecordError, Records, Suite, Version,
    direction::Direction,
    incoming::MAX_IDLE,
    message::Part,
    outgoing::{Owed, due},
    secret::Secret,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// The form that is written. A later one has a higher number; fields that are added to this one have a default.
const FORM: u8 = 1;

/// What [`Records::freeze`] leaves: some 200 bytes of JSON, with the secrets in it. They are zeroised when it is dropped; what it is
/// serialised into is the caller's to zeroise, and to keep from being thawed twice.
#[derive(Serialize, Deserialize)]
pub struct FrozenRecords {
    #[serde(rename = "v")]
    form: u8,
    tls: Version,
    suite: Suite,
    tx: FrozenDirection,
    rx: FrozenDirection,
    /// Seconds until the sending key is to be changed (1.3).
    left: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    pad: u16,
    #[serde(default, skip_serializing_if = "is_default")]
    idle: u8,
    #[serde(default, skip_serializing_if = "is_default")]
    part: Part,
    #[serde(default, skip_serializing_if = "is_default")]
    owed: Owed,
    #[serde(default, skip_serializing_if = "is_default")]
    incoming: Incoming,
    #[serde(default, skip_serializing_if = "is_default")]
    closed: bool,
}

/// The secret in use and the number of its next record.
#[derive(Serialize, Deserialize)]
struct FrozenDirection {
    k: Secret,
    n: u64,
}

impl FrozenDirection {
    fn of(direction: Direction) -> Self {
        Self { k: direction.secret, n: direction.seq }
    }

    fn thaw(self, version: Version, suite: Suite) -> Result<Direction, RecordError> {
        Direction::new(version, suite, self.k, self.n)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl fmt::Debug for FrozenRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FrozenRecords({:?}, {:?})", self.tls, self.suite)
    }
}

impl Records {
    /// All of it as data. This layer is gone: were two to go on with the same sequence numbers, AES-GCM would be broken.
    pub fn freeze(self, now: Instant) -> FrozenRecords {
        FrozenRecords {
            form: FORM,
            tls: self.version(),
            suite: self.suite(),
            left: self.due.saturating_duration_since(now).as_secs(),
            tx: FrozenDirection::of(self.sending),
            rx: FrozenDirection::of(self.receiving),
            pad: self.padding,
            idle: self.idle,
            part: self.part,
            owed: self.owed,
            incoming: self.incoming,
            closed: self.closed,
        }
    }

    /// Goes on where [`Records::freeze`] stopped.
    ///
    /// # Errors
    /// When it is of a later form, or no layer can have been in such a state.
    pub fn thaw(frozen: FrozenRecords, now: Instant) -> Result<Self, RecordError> {
        if frozen.form != FORM {
            return Err(RecordError::Frozen("its form"));
        }
        if frozen.idle > MAX_IDLE && frozen.incoming != Incoming::Dead {
            return Err(RecordError::Frozen("its idle records"));
        }
        let tls13 = frozen.tls == Version::Tls13;
        if !frozen.part.is_possible(tls13) {
            return Err(RecordError::Frozen("its part of a message"));
        }
        if (tls13 && frozen.owed.refusal) || (!tls13 && frozen.owed.update) {
            return Err(RecordError::Frozen("what it owes"));
        }
        Ok(Self {
            sending: frozen.tx.thaw(frozen.tls, frozen.suite)?,
            receiving: frozen.rx.thaw(frozen.tls, frozen.suite)?,
            due: due(now, Duration::from_secs(frozen.left)),
            part: frozen.part,
            padding: frozen.pad,
            idle: frozen.idle,
            owed: frozen.owed,
            incoming: frozen.incoming,
            closed: frozen.closed,
        })
    }
}
