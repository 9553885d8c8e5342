//! What is sent: data, answers, KeyUpdates, the end.

use super::{
    Incoming, RecordError, Records, Version,
    message::KEY_UPDATE,
    protect::{ALERT, DATA, HANDSHAKE, MAX_PLAIN, seal},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Records that a key of TLS 1.3 seals before it is changed. RFC 8446 5.5 has AES-GCM seal 2^24.5 of full length: this is a third
/// of that. ChaCha20-Poly1305 has no limit before its sequence numbers end; it gets a new key like the others.
pub const UPDATE_AFTER: u64 = 1 << 23;
/// How old a key of TLS 1.3 gets while there is something to send: what was sent before the last change stays secret from
/// whoever gets hold of the process's memory.
pub const UPDATE_EVERY: Duration = Duration::from_secs(6 * 60 * 60);
/// Records of data that a key of AES-GCM seals in TLS 1.2, which cannot change it: below the 2^24.5 of RFC 8446 5.5, which
/// RFC 9325 4.4 has hold there too. Then the connection is to be closed, for which there are numbers left.
pub const WORN_OUT_AFTER: u64 = 1 << 24;

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const NO_RENEGOTIATION: u8 = 100;

/// Answers that are due. Each is one, however often it was asked for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Owed {
    /// A KeyUpdate (RFC 8446 4.6.3).
    pub update: bool,
    /// The warning `no_renegotiation` (RFC 5246 7.2.2).
    pub refusal: bool,
}

impl Records {
    /// Seals `plain` onto `out`, in records of at most 2^14 bytes, after what is owed and with a new key when it is time for one.
    /// Nothing becomes no record.
    ///
    /// # Errors
    /// When sending is over: after the end or an error ([`RecordError::Closed`], [`RecordError::Dead`]), or when a key has sealed
    /// what it may ([`RecordError::WornOut`]: close). Then `out` has those records that were complete.
    pub fn seal(
        &mut self,
        plain: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        self.may_send()?;
        self.pay(now, out)?;
        for content in plain.chunks(MAX_PLAIN) {
            self.refresh(now, out)?;
            self.send(DATA, content, out)?;
        }
        Ok(())
    }

    /// Pads what is sent with TLS 1.3 to multiples of `block` bytes, as far as a record can have them (RFC 8446 5.4). 0, as
    /// in the beginning: not at all.
    pub fn set_padding(&mut self, block: u16) {
        self.padding = block;
    }

    /// Whether answers are due that [`Records::pay`] writes. The next data does too, but it may be long in coming.
    pub fn owes(&self) -> bool {
        self.owed != Owed::default()
    }

    /// Seals the answers that are due onto `out`.
    ///
    /// # Errors
    /// When no sequence number is left.
    pub fn pay(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), RecordError> {
        if self.owed.update {
            self.send_update(false, now, out)?;
        }
        if self.owed.refusal {
            self.send(ALERT, &[WARNING, NO_RENEGOTIATION], out)?;
        }
        self.owed = Owed::default();
        Ok(())
    }

    /// Changes our sending key with a KeyUpdate onto `out`, and has the peer change its own if `request`.
    ///
    /// # Errors
    /// In TLS 1.2, and when sending is over.
    pub fn update(
        &mut self,
        request: bool,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        self.may_send()?;
        if self.version() == Version::Tls12 {
            return Err(RecordError::NoUpdate);
        }
        // the answer to the peer's has to be one that asks for nothing
        let answered = self.owed.update;
        self.pay(now, out)?;
        if request || !answered {
            self.send_update(request, now, out)?;
        }
        Ok(())
    }

    /// Seals our `close_notify` onto `out`, if it was not sent before. Nothing is sealed after it; what the peer sends can
    /// still be opened.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.end(WARNING, CLOSE_NOTIFY, out);
    }

    /// Seals the fatal alert for an error onto `out`, if there is one for it and sending is not over. Nothing is sealed
    /// after it.
    pub fn alert(&mut self, error: &RecordError, out: &mut Vec<u8>) {
        if let Some(alert) = error.alert() {
            self.end(FATAL, alert, out);
        }
    }

    fn end(&mut self, level: u8, alert: u8, out: &mut Vec<u8>) {
        if !self.closed {
            self.closed = true;
            self.owed = Owed::default();
            // without a number there is no way to say it
            let _: Result<(), RecordError> = self.send(ALERT, &[level, alert], out);
        }
    }

    fn may_send(&self) -> Result<(), RecordError> {
        match (self.closed, self.incoming) {
            (true, _) => Err(RecordError::Closed),
            (_, Incoming::Dead) => Err(RecordError::Dead),
            _ => Ok(()),
        }
    }

    /// A new key when the old one has done its work.
    fn refresh(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), RecordError> {
        let sealed = self.sending.seq;
        match self.version() {
            Version::Tls13 if sealed >= UPDATE_AFTER || now >= self.due => {
                self.send_update(false, now, out)
            }
            Version::Tls12 if self.suite().is_gcm() && sealed >= WORN_OUT_AFTER => {
                Err(RecordError::WornOut)
            }
            _ => Ok(()),
        }
    }

    /// A KeyUpdate is the last under the old key (RFC 8446 4.6.3).
    fn send_update(
        &mut self,
        request: bool,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        self.send(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, u8::from(request)], out)?;
        self.owed.update = false;
        self.due = due(now, UPDATE_EVERY);
        self.sending.update()
    }

    fn send(&mut self, kind: u8, content: &[u8], out: &mut Vec<u8>) -> Result<(), RecordError> {
        seal(&mut self.sending, kind, content, usize::from(self.padding), out)
    }
}

/// When a sending key is to be changed that is good for so long.
pub fn due(now: Instant, left: Duration) -> Instant {
    now.checked_add(left.min(UPDATE_EVERY)).unwrap_or(now)
}
