//! What must hold of a record layer whatever its peer does: the check of the fuzz target `records` and of `tests/fuzz.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

use crate::support::{
    ALERT, DATA, HANDSHAKE, MAX, Raw, SUITES, VERSIONS, key_update, mirror, moved,
};
use std::time::Instant;
use tls::record::{FrozenRecords, Opened, RecordError, Records, Version};

/// Reads the bytes as a script: a version, a suite, then what the peer and we do. One script in seven is a frozen state.
pub fn records(data: &[u8]) {
    let mut script = Script(data);
    let first = script.byte();
    if first % 7 == 6 {
        return frozen(script.0);
    }
    let version = VERSIONS[usize::from(first % 2)];
    let suite = SUITES[usize::from(first / 2 % 3)];
    let (records, peer, ours) = mirror(version, suite);
    let mut check = Check {
        records: Some(records),
        peer,
        ours,
        version,
        held: Vec::new(),
        over: None,
        sending: true,
    };
    while !script.0.is_empty() {
        check.step(&mut script);
    }
}

/// Whatever it is, thawing it does not panic, and what comes of it can be frozen and thawed again.
fn frozen(data: &[u8]) {
    let Ok(frozen) = serde_json::from_slice::<FrozenRecords>(data) else { return };
    let Ok(mut records) = Records::thaw(frozen, Instant::now()) else { return };
    let mut out = Vec::new();
    let _ = records.open(&mut [DATA, 3, 3, 0, 0]);
    let _ = records.seal(b"x", Instant::now(), &mut out);
    moved(records).close(&mut out);
}

struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }
}

struct Check {
    records: Option<Records>,
    peer: Raw,
    ours: Raw,
    version: Version,
    /// What the peer has sent of a message (1.3).
    held: Vec<u8>,
    /// What every record is from now on.
    over: Option<Result<Opened, RecordError>>,
    /// We have not ended our direction.
    sending: bool,
}

impl Check {
    fn layer(&mut self) -> &mut Records {
        self.records.as_mut().unwrap()
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.byte() % 10 {
            0 => self.stray(script.bytes()),
            1 => {
                let text = script.bytes();
                self.come(DATA, text, 0);
            }
            2 => {
                let text = script.bytes();
                self.come(ALERT, text, 0);
            }
            3 => {
                let text = script.bytes();
                self.come(HANDSHAKE, text, usize::from(script.byte()));
            }
            4 => self.come(HANDSHAKE, &key_update(script.byte() % 2 == 1), 0),
            5 => {
                // 0 is no type, but padding
                let kind = script.byte().max(1);
                let text = script.bytes();
                self.come(kind, text, usize::from(script.byte()) << 6);
            }
            6 => self.records = self.records.take().map(moved),
            7 => self.send(&vec![7; usize::from(script.byte()) << 7]),
            8 => self.answer(script.byte()),
            _ => self.damaged(script.byte(), script.byte()),
        }
    }

    /// Bytes that nobody sealed.
    fn stray(&mut self, bytes: &[u8]) {
        for len in 0..=bytes.len() {
            if let Ok(Some(whole)) = self.layer().whole(&bytes[..len]) {
                assert!(whole <= len);
            }
        }
        let opened = self.layer().open(&mut bytes.to_vec());
        self.ended(&opened);
        assert!(self.over.is_some(), "nobody sealed it");
    }

    /// A record that was changed on the way.
    fn damaged(&mut self, at: u8, bit: u8) {
        let mut wire = self.peer.seal(DATA, b"damaged");
        let at = usize::from(at) % wire.len();
        wire[at] ^= 1 << (bit % 8);
        let opened = self.layer().open(&mut wire);
        self.ended(&opened);
        assert!(self.over.is_some(), "it was changed");
    }

    /// A record of the peer.
    fn come(&mut self, kind: u8, text: &[u8], padding: usize) {
        let padding = padding.min(MAX - text.len());
        let mut wire = match self.version {
            Version::Tls13 => self.peer.seal_inner(&[text, &[kind], &vec![0; padding]].concat()),
            Version::Tls12 => self.peer.seal(kind, text),
        };
        let len = wire.len();
        assert_eq!(self.layer().whole(&wire[..len - 1]).unwrap_or_default(), None);
        let opened = self.layer().open(&mut wire);
        if let Ok(Opened::Data(range)) = &opened {
            assert_eq!((kind, &wire[range.clone()]), (DATA, text));
            assert!(!text.is_empty());
        }
        self.ended(&opened);
        if self.over.is_none() && kind == DATA && !text.is_empty() {
            assert!(matches!(opened, Ok(Opened::Data(_))), "{opened:?}");
        }
        if self.over.is_none() && self.version == Version::Tls13 && kind == HANDSHAKE {
            self.held.extend_from_slice(text);
            assert!(key_update(true).starts_with(&self.held) || self.held == key_update(false));
            if self.held.len() == 5 {
                self.held.clear();
                self.peer.update();
            }
        }
    }

    /// What is over stays over.
    fn ended(&mut self, opened: &Result<Opened, RecordError>) {
        if let Some(over) = &self.over {
            assert_eq!(opened, over);
        }
        match opened {
            Ok(Opened::Closed) => self.over = Some(Ok(Opened::Closed)),
            Err(_) => {
                self.over = Some(Err(RecordError::Dead));
                assert!(!self.layer().owes());
            }
            Ok(_) => {}
        }
    }

    /// We send data: the peer opens it, and what was due before it.
    fn send(&mut self, text: &[u8]) {
        let mut out = Vec::new();
        let result = self.layer().seal(text, Instant::now(), &mut out);
        let dead = self.over == Some(Err(RecordError::Dead));
        assert_eq!(result.is_ok(), self.sending && !dead);
        assert!(result.is_err() || !self.layer().owes());
        let found = self.ours.open_all(&out);
        let data = found.iter().filter(|(kind, _)| *kind == DATA);
        let sent: Vec<u8> = data.flat_map(|(_, content)| content.clone()).collect();
        assert_eq!(sent, if result.is_ok() { text } else { b"" });
    }

    /// We pay, change our key, or end; nothing is sealed after an end.
    fn answer(&mut self, what: u8) {
        let now = Instant::now();
        let mut out = Vec::new();
        let before = self.sending;
        let layer = self.layer();
        match what % 6 {
            0 => layer.pay(now, &mut out).unwrap(),
            1 => drop(layer.update(what > 100, now, &mut out)),
            2 => layer.set_padding(u16::from(what) << 8),
            3 => layer.alert(&RecordError::BadMac, &mut out),
            4 => layer.alert(&RecordError::Alert(what), &mut out),
            _ => layer.close(&mut out),
        }
        if !before {
            assert!(out.is_empty());
        }
        self.sending &= !matches!(what % 6, 3 | 5);
        for (kind, content) in self.ours.open_all(&out) {
            let update = content == key_update(true) || content == key_update(false);
            assert!(if kind == HANDSHAKE { update } else { kind == ALERT && content.len() == 2 });
        }
    }
}
