//! What was changed, repeated, left out or put in another order on the way brings no data, and ends the connection.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::time::Instant;
use support::{DATA, HANDSHAKE, Rng, all, key_update, mirror, moved, opened, sealed};
use tls::record::{Opened, RecordError as Error, Records};

/// Nothing is opened any more, here or in the next process, and nothing but the alert is sealed.
fn is_dead(mut records: Records, error: Error, next: &[u8]) {
    for _ in 0..2 {
        assert_eq!(opened(&mut records, next), Err(Error::Dead), "after {error}");
        let mut out = Vec::new();
        assert_eq!(records.seal(b"x", Instant::now(), &mut out), Err(Error::Dead));
        assert!(!records.owes() && out.is_empty());
        records = moved(records);
    }
    let mut out = Vec::new();
    records.alert(&error, &mut out);
    assert_eq!(out.is_empty(), error.alert().is_none());
    let sent = out.len();
    records.alert(&error, &mut out);
    assert_eq!(out.len(), sent, "once");
}

#[test]
fn every_bit_counts() {
    for (version, suite) in all() {
        let (_, mut peer, _) = mirror(version, suite);
        let good = peer.seal(DATA, b"<message/>");
        let next = peer.seal(DATA, b"more");
        for bit in 0..good.len() * 8 {
            let (mut records, ..) = mirror(version, suite);
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = opened(&mut records, &bad).expect_err("not authentic");
            is_dead(records, error, &next);
        }
        let (mut records, ..) = mirror(version, suite);
        assert_eq!(opened(&mut records, &good), Ok(Some(b"<message/>".to_vec())));
        assert_eq!(opened(&mut records, &next), Ok(Some(b"more".to_vec())));
    }
}

#[test]
fn nothing_is_repeated_left_out_or_in_another_order() {
    for (version, suite) in all() {
        let (_, mut peer, _) = mirror(version, suite);
        let wires: Vec<Vec<u8>> = (0..4).map(|n| peer.seal(DATA, &[n; 20])).collect();
        for order in [[0, 0], [1, 0], [0, 2], [3, 2], [2, 2]] {
            let (mut records, ..) = mirror(version, suite);
            let ends = order.iter().enumerate().find_map(|(at, n)| {
                let result = opened(&mut records, &wires[*n]);
                assert_eq!(result.is_ok(), at == *n, "only in its place");
                result.err()
            });
            assert_eq!(ends, Some(Error::BadMac));
            is_dead(records, Error::BadMac, &wires[1]);
        }
        // what we have sealed is not the peer's
        let (mut records, ..) = mirror(version, suite);
        let own = sealed(&mut records, b"to myself");
        assert_eq!(opened(&mut records, &own), Err(Error::BadMac));
    }
}

#[test]
fn a_record_is_whole_and_alone() {
    for (version, suite) in all() {
        let (_, mut peer, _) = mirror(version, suite);
        let good = peer.seal(DATA, b"whole");
        let next = peer.seal(DATA, b"next");
        for len in 0..good.len() {
            let (mut records, ..) = mirror(version, suite);
            let error = opened(&mut records, &good[..len]).unwrap_err();
            assert_eq!(error, Error::NotOne);
            is_dead(records, error, &next);
            // with a header that says so
            let (mut records, ..) = mirror(version, suite);
            let mut cut = good[..len].to_vec();
            if let Some(body) = len.checked_sub(5) {
                cut[4] = body as u8;
                assert_eq!(opened(&mut records, &cut), Err(Error::BadMac));
            }
        }
        for extra in [&[0][..], &next] {
            let (mut records, ..) = mirror(version, suite);
            let error = opened(&mut records, &[&good, extra].concat());
            assert_eq!(error, Err(Error::NotOne));
        }
    }
}

#[test]
fn a_lost_key_update_is_noticed() {
    for (version, suite) in all().filter(|(version, _)| *version == support::VERSIONS[1]) {
        let (mut records, mut peer, _) = mirror(version, suite);
        peer.seal(HANDSHAKE, &key_update(false));
        peer.update();
        assert_eq!(opened(&mut records, &peer.seal(DATA, b"x")), Err(Error::BadMac));
    }
}

#[test]
fn what_is_made_up_is_nothing() {
    for (version, suite) in all() {
        for seed in 0..3_000 {
            let mut rng = Rng::new(seed);
            let (mut records, mut peer, _) = mirror(version, suite);
            let mut wire = match rng.below(2) {
                0 => {
                    let len = rng.below(60);
                    let mut wire = rng.bytes(5 + len);
                    wire[..5].copy_from_slice(&[DATA, 3, 3, 0, len as u8]);
                    wire
                }
                _ => {
                    let len = rng.below(60);
                    let text = rng.bytes(len);
                    peer.seal(DATA, &text)
                }
            };
            let good = wire.clone();
            match rng.below(3) {
                0 => {
                    let at = rng.below(wire.len());
                    wire[at] ^= 1 << rng.below(8);
                }
                1 => {
                    let at = rng.below(wire.len());
                    wire.insert(at, rng.below(256) as u8);
                    if wire[..good.len()] == good {
                        continue;
                    }
                    let body = wire.len() - 5;
                    wire[4] = body as u8;
                }
                _ => {
                    let at = rng.below(wire.len());
                    wire.remove(at);
                }
            }
            let result = records.open(&mut wire);
            assert!(!matches!(result, Ok(Opened::Data(_))), "seed {seed}");
        }
    }
}
