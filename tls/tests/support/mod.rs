//! The other end of a connection, written once more and apart from the layer that is tested: it seals what a peer may not send,
//! too. And random numbers, and a way through bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use ring::{
    aead::{self, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use std::time::Instant;
use tls::record::{
    FrozenRecords, Opened, RecordError, Records, Secrets12, Secrets13, Suite, Version,
};

pub const SUITES: [Suite; 3] = [Suite::Aes128Gcm, Suite::Aes256Gcm, Suite::ChaCha20Poly1305];
pub const VERSIONS: [Version; 2] = [Version::Tls12, Version::Tls13];
pub const HEADER: usize = 5;
pub const MAX: usize = 1 << 14;

pub const CCS: u8 = 20;
pub const ALERT: u8 = 21;
pub const HANDSHAKE: u8 = 22;
pub const DATA: u8 = 23;

/// Every version with every suite.
pub fn all() -> impl Iterator<Item = (Version, Suite)> {
    VERSIONS.into_iter().flat_map(|version| SUITES.map(|suite| (version, suite)))
}

/// A KeyUpdate.
pub fn key_update(request: bool) -> [u8; 5] {
    [24, 0, 0, 1, u8::from(request)]
}

/// xorshift64*.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % n as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }
}

struct Len(usize);

impl hkdf::KeyType for Len {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label.
pub fn expand(suite: Suite, secret: &[u8], label: &str, len: usize) -> Vec<u8> {
    let hash = match suite {
        Suite::Aes256Gcm => hkdf::HKDF_SHA384,
        _ => hkdf::HKDF_SHA256,
    };
    let label = format!("tls13 {label}");
    let mut info = vec![0, len as u8, label.len() as u8];
    info.extend_from_slice(label.as_bytes());
    info.push(0);
    let mut out = vec![0; len];
    let prk = hkdf::Prk::new_less_safe(hash, secret);
    prk.expand(&[&info], Len(len)).unwrap().fill(&mut out).unwrap();
    out
}

pub fn key_len(suite: Suite) -> usize {
    if suite == Suite::Aes128Gcm { 16 } else { 32 }
}

pub fn hash_len(suite: Suite) -> usize {
    if suite == Suite::Aes256Gcm { 48 } else { 32 }
}

/// One direction.
pub struct Raw {
    version: Version,
    suite: Suite,
    secret: Vec<u8>,
    key: LessSafeKey,
    iv: Vec<u8>,
    pub seq: u64,
}

impl Raw {
    /// `secret`: the traffic secret, or a key with its IV.
    pub fn new(version: Version, suite: Suite, secret: &[u8]) -> Self {
        let (key, iv) = match version {
            Version::Tls13 => {
                (expand(suite, secret, "key", key_len(suite)), expand(suite, secret, "iv", 12))
            }
            Version::Tls12 => {
                let (key, iv) = secret.split_at(key_len(suite));
                (key.to_vec(), iv.to_vec())
            }
        };
        let algorithm = match suite {
            Suite::Aes128Gcm => &aead::AES_128_GCM,
            Suite::Aes256Gcm => &aead::AES_256_GCM,
            Suite::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, &key).unwrap());
        Self { version, suite, secret: secret.to_vec(), key, iv, seq: 0 }
    }

    pub fn update(&mut self) {
        let next = expand(self.suite, &self.secret, "traffic upd", hash_len(self.suite));
        *self = Self::new(self.version, self.suite, &next);
    }

    fn nonce(&mut self) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.seq.to_be_bytes());
        nonce.iter_mut().zip(&self.iv).for_each(|(n, iv)| *n ^= iv);
        self.seq += 1;
        nonce
    }

    fn explicit(&self) -> bool {
        self.version == Version::Tls12 && self.suite != Suite::ChaCha20Poly1305
    }

    fn aad12(&self, kind: u8, len: usize) -> Vec<u8> {
        let seq = self.seq.to_be_bytes();
        [&seq[..], &[kind, 3, 3, (len >> 8) as u8, len as u8]].concat()
    }

    pub fn seal(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        match self.version {
            Version::Tls13 => self.seal_inner(&[content, &[kind]].concat()),
            Version::Tls12 => {
                let aad = self.aad12(kind, content.len());
                let nonce = self.nonce();
                let mut text = content.to_vec();
                let at = Nonce::assume_unique_for_key(nonce);
                self.key.seal_in_place_append_tag(at, Aad::from(aad), &mut text).unwrap();
                if self.explicit() {
                    text.splice(0..0, nonce[4..].iter().copied());
                }
                let len = text.len();
                [&[kind, 3, 3, (len >> 8) as u8, len as u8][..], &text].concat()
            }
        }
    }

    /// A whole TLSInnerPlaintext, with its type and padding.
    pub fn seal_inner(&mut self, inner: &[u8]) -> Vec<u8> {
        let len = inner.len() + 16;
        let header = [DATA, 3, 3, (len >> 8) as u8, len as u8];
        let mut text = inner.to_vec();
        let nonce = Nonce::assume_unique_for_key(self.nonce());
        self.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut text).unwrap();
        [&header[..], &text].concat()
    }

    /// Type, content, and length of the padding.
    pub fn open(&mut self, record: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
        let (header, body) = record.split_at(HEADER);
        assert_eq!(header[1..3], [3, 3]);
        assert_eq!(usize::from(header[3]) << 8 | usize::from(header[4]), body.len());
        let mut text = body.to_vec();
        match self.version {
            Version::Tls13 => {
                assert_eq!(header[0], DATA);
                let nonce = Nonce::assume_unique_for_key(self.nonce());
                let plain = self.key.open_in_place(nonce, Aad::from(header), &mut text).ok()?;
                let end = plain.iter().rposition(|byte| *byte != 0).unwrap();
                Some((plain[end], plain[..end].to_vec(), plain.len() - 1 - end))
            }
            Version::Tls12 => {
                let skip = if self.explicit() { 8 } else { 0 };
                let aad = self.aad12(header[0], text.len() - skip - 16);
                let nonce = self.nonce();
                // ours says the number that we expect, and nothing else
                assert_eq!(text[..skip], nonce[12 - skip..]);
                let nonce = Nonce::assume_unique_for_key(nonce);
                let text = &mut text[skip..];
                let plain = self.key.open_in_place(nonce, Aad::from(aad), text).ok()?;
                Some((header[0], plain.to_vec(), 0))
            }
        }
    }

    /// Every record in `wire`: type and content. Keys change after a KeyUpdate.
    pub fn open_all(&mut self, mut wire: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        while !wire.is_empty() {
            let len = HEADER + (usize::from(wire[3]) << 8 | usize::from(wire[4]));
            let (kind, content, _) = self.open(&wire[..len]).expect("a record for the peer");
            if self.version == Version::Tls13 && kind == HANDSHAKE {
                self.update();
            }
            found.push((kind, content));
            wire = &wire[len..];
        }
        found
    }
}

/// A layer; what its peer seals, what its peer opens.
pub fn mirror(version: Version, suite: Suite) -> (Records, Raw, Raw) {
    let len = match version {
        Version::Tls13 => hash_len(suite),
        Version::Tls12 => key_len(suite) + 12,
    };
    let (sending, receiving) = (vec![0x5a; len], vec![0xa5; len]);
    let now = Instant::now();
    let records = match version {
        Version::Tls13 => {
            let [a, b] = [&sending, &receiving].map(|secret| Secrets13 { secret, seq: 0 });
            Records::tls13(suite, a, b, now)
        }
        Version::Tls12 => {
            let [a, b] = [&sending, &receiving].map(|secret| {
                let (key, iv) = secret.split_at(key_len(suite));
                Secrets12 { key, iv, seq: 0 }
            });
            Records::tls12(suite, a, b, now)
        }
    };
    let raw = |secret: &[u8]| Raw::new(version, suite, secret);
    (records.unwrap(), raw(&receiving), raw(&sending))
}

/// What is sealed.
pub fn sealed(records: &mut Records, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    records.seal(plain, Instant::now(), &mut out).unwrap();
    out
}

/// What one record had: data, or `None`.
pub fn opened(records: &mut Records, record: &[u8]) -> Result<Option<Vec<u8>>, RecordError> {
    let mut record = record.to_vec();
    Ok(match records.open(&mut record)? {
        Opened::Data(range) => Some(record[range].to_vec()),
        Opened::Nothing | Opened::Closed => None,
    })
}

/// The data of all whole records in `wire`, which are taken out of it.
pub fn read(records: &mut Records, wire: &mut Vec<u8>) -> Result<Vec<u8>, RecordError> {
    let mut data = Vec::new();
    while let Some(len) = records.whole(wire)? {
        let mut record: Vec<u8> = wire.drain(..len).collect();
        if let Opened::Data(range) = records.open(&mut record)? {
            data.extend_from_slice(&record[range]);
        }
    }
    Ok(data)
}

/// Through bytes into another process.
pub fn moved(records: Records) -> Records {
    let now = Instant::now();
    let bytes = serde_json::to_vec(&records.freeze(now)).unwrap();
    let frozen: FrozenRecords = serde_json::from_slice(&bytes).unwrap();
    Records::thaw(frozen, now).unwrap()
}

/// Bytes of two hexadecimal digits each.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
