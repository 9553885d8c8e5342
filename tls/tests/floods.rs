//! A peer that goes on without saying anything is cut off, and what it asks for is answered once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::time::Instant;
use support::{ALERT, DATA, HANDSHAKE, Raw, SUITES, key_update, mirror, moved, opened};
use tls::record::{RecordError as Error, Records, Suite, Version};

type Idle = fn(&mut Raw) -> Vec<u8>;

fn update(peer: &mut Raw) -> Vec<u8> {
    let wire = peer.seal(HANDSHAKE, &key_update(true));
    peer.update();
    wire
}

const TLS13: &[Idle] = &[
    update,
    |peer| peer.seal(DATA, b""),
    |peer| peer.seal_inner(&[&[DATA][..], &[0; 1_000]].concat()),
    |peer| peer.seal(ALERT, &[1, 90]),
];

const TLS12: &[Idle] = &[
    |peer| peer.seal(DATA, b""),
    |peer| peer.seal(ALERT, &[1, 100]),
    |peer| peer.seal(HANDSHAKE, &[1, 0, 0, 0]),
    // a ClientHello that does not end
    |peer| peer.seal(HANDSHAKE, if peer.seq == 0 { &[1, 255, 255, 255] } else { &[7; 1_000] }),
];

fn flood(version: Version, suite: Suite, idle: Idle) {
    let (mut records, mut peer, _) = mirror(version, suite);
    for _ in 0..32 {
        assert_eq!(opened(&mut records, &idle(&mut peer)), Ok(None));
        // a move does not begin the count anew
        records = moved(records);
    }
    assert_eq!(opened(&mut records, &idle(&mut peer)), Err(Error::Idle));
    assert_eq!(Error::Idle.alert(), Some(10));
    assert_eq!(opened(&mut records, &peer.seal(DATA, b"x")), Err(Error::Dead));
}

#[test]
fn a_peer_that_says_nothing_is_cut_off() {
    for suite in SUITES {
        TLS13.iter().for_each(|idle| flood(Version::Tls13, suite, *idle));
        TLS12.iter().for_each(|idle| flood(Version::Tls12, suite, *idle));
    }
}

#[test]
fn parts_of_key_updates_count_too() {
    for suite in SUITES {
        let (mut records, mut peer, _) = mirror(Version::Tls13, suite);
        let bytes = key_update(false);
        for n in 0..32 {
            assert_eq!(
                opened(&mut records, &peer.seal(HANDSHAKE, &bytes[n % 5..=n % 5])),
                Ok(None)
            );
            if n % 5 == 4 {
                peer.update();
            }
        }
        let error = opened(&mut records, &peer.seal(HANDSHAKE, &bytes[2..3]));
        assert_eq!(error, Err(Error::Idle));
    }
}

#[test]
fn data_in_between_is_no_flood() {
    for suite in SUITES {
        for (version, kinds) in [(Version::Tls13, TLS13), (Version::Tls12, TLS12)] {
            // but for the last, which is one message
            for idle in &kinds[..3] {
                let (mut records, mut peer, _) = mirror(version, suite);
                for _ in 0..5 {
                    for _ in 0..32 {
                        assert_eq!(opened(&mut records, &idle(&mut peer)), Ok(None));
                    }
                    let data = opened(&mut records, &peer.seal(DATA, b"x"));
                    assert_eq!(data, Ok(Some(b"x".to_vec())));
                }
            }
        }
    }
}

/// What 32 times `idle` makes us answer.
fn answers(version: Version, suite: Suite, idle: Idle) -> Vec<(u8, Vec<u8>)> {
    let (mut records, mut peer, mut ours) = mirror(version, suite);
    for _ in 0..32 {
        opened(&mut records, &idle(&mut peer)).unwrap();
    }
    let pay = |records: &mut Records| {
        let mut out = Vec::new();
        records.pay(Instant::now(), &mut out).unwrap();
        out
    };
    assert!(records.owes());
    let out = pay(&mut records);
    assert!(!records.owes() && pay(&mut records).is_empty());
    ours.open_all(&out)
}

#[test]
fn thirty_two_requests_have_one_answer() {
    for suite in SUITES {
        let found = answers(Version::Tls13, suite, update);
        assert_eq!(found, [(HANDSHAKE, key_update(false).to_vec())]);
        let found = answers(Version::Tls12, suite, TLS12[2]);
        assert_eq!(found, [(ALERT, vec![1, 100])]);
    }
}
