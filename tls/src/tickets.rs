//! Session tickets under keys of ours (RFC 5077 section 4, RFC 8446 section 4.6.1): rotated, and data, so that the next
//! process and other nodes take what this one gave.
//!
//! A ticket is `name of the key (16) || nonce (12) || sealed state || tag (16)`, sealed with ChaCha20-Poly1305 over the name
//! and the certificates: a client that resumes sees no certificate, and binds its authentication to the one it knows
//! (RFC 5929 section 4), so a ticket is good as long as the certificates are the same, and for the host it was given for
//! (RFC 6066 section 3: the library compares SNI; where there is none, a client says the host before TLS).

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD as BASE64};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest,
    hkdf::{HKDF_SHA256, KeyType, Salt},
    rand::{SecureRandom, SystemRandom},
};
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};
use std::{fmt, iter, sync::Arc, time::Duration};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// How long a ticket is good for (RFC 8446 section 4.6.1 allows 7 days).
pub const TICKET_LIFE: Duration = Duration::from_hours(12);
/// How long a key makes tickets. Who learns it can read the connections of TLS 1.2 that it was used for (RFC 5077 section 5.5).
pub const ROTATION: Duration = Duration::from_hours(6);
/// The most keys that are in use at once, whatever a clock does.
const MOST: usize = 24;

const NAME: usize = 16;

/// The keys cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TicketError {
    /// There is no randomness.
    #[error("the system has no random numbers")]
    Random,
    /// What was kept of a key is no key.
    #[error("a ticket key is not 48 bytes in base64, or there is none")]
    Damaged,
}

/// One key: its name, then itself, as base64 has it.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Key {
    key: String,
    /// When it was made, in seconds since 1970.
    since: u64,
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        NAME + 32
    }
}

impl Key {
    fn new(random: &SystemRandom, now: Duration) -> Result<Self, TicketError> {
        let mut bytes = [0; NAME + 32];
        random.fill(&mut bytes).map_err(|_| TicketError::Random)?;
        let key = BASE64.encode(bytes);
        bytes.zeroize();
        Ok(Self { key, since: now.as_secs() })
    }

    fn derived(secret: &[u8; 32], window: u64) -> Option<Self> {
        let mut bytes = [0; NAME + 32];
        let salt = Salt::new(HKDF_SHA256, b"mangrove ticket keys");
        let window_bytes = window.to_be_bytes();
        let info = [&window_bytes[..]];
        let expanded = salt.extract(secret).expand(&info, Length).and_then(|k| k.fill(&mut bytes));
        let key = expanded.ok().map(|()| BASE64.encode(bytes));
        bytes.zeroize();
        Some(Self { key: key?, since: window * ROTATION.as_secs() })
    }

    fn live(&self) -> Option<Live> {
        let mut bytes = [0; NAME + 32];
        // the decoder wants room for whole groups of characters
        let decoded = BASE64.decode_slice(&self.key, &mut bytes) == Ok(bytes.len());
        let (name, key) = bytes.split_first_chunk()?;
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).ok().filter(|_| decoded);
        let live = key.map(|key| Live { name: *name, key: LessSafeKey::new(key) });
        bytes.zeroize();
        live
    }
}

/// The keys of tickets as data, the newest first: what a process keeps for the next one, and nodes share.
#[derive(Serialize, Deserialize)]
pub struct TicketKeys {
    keys: Vec<Key>,
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketKeys({})", self.keys.len())
    }
}

impl TicketKeys {
    /// A first key, made at `now`, the time since 1970.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(now: Duration) -> Result<Self, TicketError> {
        Ok(Self { keys: vec![Key::new(&SystemRandom::new(), now)?] })
    }

    /// The keys that all nodes with these secrets have at `now`, the time since 1970, without a word to each other: one for each secret
    /// and each [`ROTATION`], those of the first secret that are current first. Those to come are among them, since clocks differ.
    pub fn derived(secrets: &[[u8; 32]], now: Duration) -> Self {
        let window = now.as_secs() / ROTATION.as_secs();
        let back = TICKET_LIFE.as_secs().div_ceil(ROTATION.as_secs());
        let windows = (window.saturating_sub(back)..=window + 1).rev();
        // what is current makes tickets
        let windows = iter::once(window).chain(windows.filter(|other| *other != window));
        let key = |(window, secret): (u64, &[u8; 32])| Key::derived(secret, window);
        let all = windows.flat_map(|window| secrets.iter().map(move |secret| (window, secret)));
        Self { keys: all.filter_map(key).take(MOST).collect() }
    }

    /// Makes a new key when the newest has been used for [`ROTATION`], and forgets those whose tickets are all over.
    /// Whether anything changed.
    ///
    /// # Errors
    /// When there is no randomness; then the keys stay as they are.
    pub fn rotate(&mut self, now: Duration) -> Result<bool, TicketError> {
        let now = now.as_secs();
        let age = |key: &Key| now.saturating_sub(key.since);
        // one from the future was made by a clock that was wrong
        let fresh = |key: &Key| age(key) < ROTATION.as_secs() && key.since <= now;
        if self.keys.first().is_some_and(fresh) {
            return Ok(false);
        }
        self.keys.insert(0, Key::new(&SystemRandom::new(), Duration::from_secs(now))?);
        self.keys.retain(|key| age(key) < (ROTATION + TICKET_LIFE).as_secs());
        self.keys.truncate(MOST);
        Ok(true)
    }

    /// Whether they can be used: what comes from a file may be anything.
    ///
    /// # Errors
    /// When one is no key, or there is none.
    pub fn check(&self) -> Result<(), TicketError> {
        self.live().map(drop)
    }

    fn live(&self) -> Result<Vec<Live>, TicketError> {
        let live: Option<Vec<Live>> = self.keys.iter().take(MOST).map(Key::live).collect();
        live.filter(|live| !live.is_empty()).ok_or(TicketError::Damaged)
    }
}

/// A key in use. The provider does not wipe its copy when it is dropped.
struct Live {
    name: [u8; NAME],
    key: LessSafeKey,
}

/// The keys in force, for all certificates there were and will be.
pub(crate) struct Keys(ArcSwap<Vec<Live>>);

impl Keys {
    pub(crate) fn new(keys: &TicketKeys) -> Result<Self, TicketError> {
        Ok(Self(ArcSwap::from_pointee(keys.live()?)))
    }

    pub(crate) fn replace(&self, keys: &TicketKeys) -> Result<(), TicketError> {
        self.0.store(Arc::new(keys.live()?));
        Ok(())
    }
}

/// Tickets of connections with the same certificates.
pub(crate) struct Tickets {
    pub(crate) keys: Arc<Keys>,
    /// A hash of the certificates.
    pub(crate) certificates: [u8; 32],
    pub(crate) random: SystemRandom,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// Tickets that are good where a client gets this one of the certificates.
    pub(crate) fn of(&self, certificate: &[u8]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.certificates);
        hash.update(certificate);
        let mut certificates = [0; 32];
        certificates.copy_from_slice(hash.finish().as_ref());
        Self { keys: Arc::clone(&self.keys), certificates, random: self.random.clone() }
    }

    fn covered(&self, name: [u8; NAME]) -> Aad<[u8; NAME + 32]> {
        let mut covered = [0; NAME + 32];
        if let Some((first, rest)) = covered.split_first_chunk_mut() {
            *first = name;
            rest.copy_from_slice(&self.certificates);
        }
        Aad::from(covered)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TICKET_LIFE.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.0.load();
        let live = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut ticket = [&live.name[..], &nonce, plain].concat();
        let (_, sealed) = ticket.split_at_mut_checked(NAME + NONCE_LEN)?;
        let (nonce, covered) = (Nonce::assume_unique_for_key(nonce), self.covered(live.name));
        let tag = live.key.seal_in_place_separate_tag(nonce, covered, sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk()?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        let keys = self.keys.0.load();
        let live = keys.iter().find(|live| live.name == *name)?;
        let mut sealed = sealed.to_vec();
        let (nonce, covered) = (Nonce::assume_unique_for_key(*nonce), self.covered(*name));
        let len = live.key.open_in_place(nonce, covered, &mut sealed).ok()?.len();
        sealed.truncate(len);
        Some(sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn tickets(keys: &TicketKeys, certificates: u8) -> Tickets {
        let keys = Arc::new(Keys::new(keys).unwrap());
        Tickets { keys, certificates: [certificates; 32], random: SystemRandom::new() }
    }

    #[test]
    fn a_ticket_is_taken_by_whoever_has_the_keys_and_the_certificates() {
        let keys = TicketKeys::new(HOUR).unwrap();
        let ticket = tickets(&keys, 1).encrypt(b"state").unwrap();
        let sent = serde_json::to_string(&keys).unwrap();
        let shared: TicketKeys = serde_json::from_str(&sent).unwrap();
        assert_eq!(tickets(&shared, 1).decrypt(&ticket).unwrap(), b"state");
        assert_eq!(tickets(&shared, 2).decrypt(&ticket), None, "of other certificates");
        assert_eq!(tickets(&TicketKeys::new(HOUR).unwrap(), 1).decrypt(&ticket), None);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets(&shared, 1).decrypt(&changed), None, "byte {at}");
            assert_eq!(tickets(&shared, 1).decrypt(&ticket[..at]), None, "{at} bytes");
        }
    }

    #[test]
    fn a_key_makes_tickets_for_a_while_and_takes_them_for_as_long_as_they_are_good() {
        let mut keys = TicketKeys::new(HOUR).unwrap();
        let first = tickets(&keys, 1).encrypt(b"1").unwrap();
        assert!(!keys.rotate(HOUR + ROTATION - HOUR / 60).unwrap());
        assert!(keys.rotate(HOUR + ROTATION).unwrap());
        let second = tickets(&keys, 1).encrypt(b"2").unwrap();
        assert_ne!(first[..NAME], second[..NAME], "under the new key");
        assert!(tickets(&keys, 1).decrypt(&first).is_some());
        // the last ticket of a key is given just before it is replaced
        for (hours, is_taken) in [(12, true), (18, false)] {
            keys.rotate(HOUR * (1 + hours)).unwrap();
            assert_eq!(tickets(&keys, 1).decrypt(&first).is_some(), is_taken, "after {hours} h");
        }
        assert!(keys.keys.len() <= 3);
    }

    #[test]
    fn a_clock_that_jumps_makes_neither_many_keys_nor_old_ones() {
        let mut keys = TicketKeys::new(HOUR * 1_000).unwrap();
        assert!(keys.rotate(HOUR).unwrap(), "one from the future is not used");
        for n in 0..100 {
            keys.rotate(HOUR * (1 + n % 2 * 7)).unwrap();
        }
        assert!(keys.keys.len() <= MOST);
    }

    #[test]
    fn nodes_that_share_a_secret_take_one_anothers_tickets() {
        let (old, new) = ([1; 32], [2; 32]);
        let at = HOUR * 500_000;
        let ticket = tickets(&TicketKeys::derived(&[old], at), 1).encrypt(b"state").unwrap();
        let taken = |secrets: &[[u8; 32]], hours: u32, back: u32| {
            let keys = TicketKeys::derived(secrets, at + HOUR * hours - HOUR * back);
            tickets(&keys, 1).decrypt(&ticket).is_some()
        };
        // later, by a clock that is behind, and when the secret was changed
        assert!(taken(&[old], 0, 0) && taken(&[old], 12, 0) && taken(&[old], 0, 6));
        assert!(taken(&[new, old], 0, 0) && taken(&[new, old], 12, 0) && !taken(&[new], 0, 0));
        assert!(!taken(&[old], 24, 0));
        // what is made now is made with the newest secret
        let made = tickets(&TicketKeys::derived(&[new, old], at), 1).encrypt(b"state").unwrap();
        assert!(tickets(&TicketKeys::derived(&[new], at), 1).decrypt(&made).is_some());
    }

    #[test]
    fn what_is_no_key_is_an_error() {
        for text in [r#"{"keys":[]}"#, r#"{"keys":[{"key":"AAAA","since":1}]}"#] {
            let keys: TicketKeys = serde_json::from_str(text).unwrap();
            assert_eq!(Keys::new(&keys).err(), Some(TicketError::Damaged));
        }
    }
}
