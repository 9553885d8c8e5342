//! Against rustls, in every suite that it has with ring, and from both ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[allow(dead_code, reason = "each test uses a part")]
mod support;

#[path = "support/peer.rs"]
mod peer;

use peer::{Peer, is_tls13, pair, suites};
use std::time::Instant;
use support::{Rng, moved, read, sealed};
use tls::record::{Opened, RecordError, Records, Version};

const STEPS: usize = 600;

/// Both ends, and what is on the way to ours.
struct Walk {
    ours: Records,
    peer: Peer,
    wire: Vec<u8>,
    expected: Vec<u8>,
    got: Vec<u8>,
}

impl Walk {
    /// Everything that is on the way arrives in pieces, with a new process between any two.
    fn arrive(mut self, rng: &mut Rng, leave: usize) -> Self {
        let mut came = Vec::new();
        let until = self.wire.len().saturating_sub(leave);
        let mut on_the_way: Vec<u8> = self.wire.drain(..until).collect();
        while !on_the_way.is_empty() {
            let piece = 1 + rng.below(on_the_way.len());
            came.extend(on_the_way.drain(..piece));
            self.got.append(&mut read(&mut self.ours, &mut came).unwrap());
            if rng.below(4) == 0 {
                self.ours = moved(self.ours);
            }
        }
        // half a record waits where the other bytes do
        came.append(&mut self.wire);
        self.wire = came;
        self
    }

    fn send(&mut self, plain: &[u8]) {
        let wire = sealed(&mut self.ours, plain);
        assert_eq!(self.peer.give(&wire).unwrap(), plain);
    }

    fn step(mut self, rng: &mut Rng) -> Self {
        let now = Instant::now();
        let tls13 = self.ours.version() == Version::Tls13;
        let len = [rng.below(100), rng.below(2_000), rng.below(40_000)][rng.below(3)];
        let message = rng.bytes(len);
        let mut out = Vec::new();
        match rng.below(if tls13 { 8 } else { 5 }) {
            0 => self.send(&message),
            1 => {
                self.wire.append(&mut self.peer.say(&message));
                self.expected.extend_from_slice(&message);
            }
            2 => {
                let leave = rng.below(30);
                self = self.arrive(rng, leave);
            }
            3 => self.ours = moved(self.ours),
            4 => {
                self.ours.pay(now, &mut out).unwrap();
                assert_eq!(self.peer.give(&out).unwrap(), b"");
            }
            5 => {
                // before it is sent, or at the same time
                self.peer.refresh();
                if rng.below(2) == 0 {
                    self.wire.append(&mut self.peer.take());
                }
            }
            6 => {
                self.ours.update(rng.below(2) == 0, now, &mut out).unwrap();
                assert_eq!(self.peer.give(&out).unwrap(), b"");
            }
            _ => {
                self.ours.set_padding([0, 1, 64, 1_000, 20_000][rng.below(5)]);
                self.send(&message);
            }
        }
        self
    }
}

#[test]
fn random_walks_from_both_ends_in_every_suite() {
    for (at, suite) in suites().iter().enumerate() {
        for ours_is_server in [true, false] {
            let seed = 7_000 + 2 * at as u64 + u64::from(ours_is_server);
            println!("{:?}, we are the server: {ours_is_server}, seed {seed}", suite.suite());
            let mut rng = Rng::new(seed);
            let (ours, peer) = pair(*suite, ours_is_server);
            assert_eq!(ours.version() == Version::Tls13, is_tls13(*suite));
            let wire = Vec::new();
            let mut walk = Walk { ours, peer, wire, expected: Vec::new(), got: Vec::new() };
            for _ in 0..STEPS {
                walk = walk.step(&mut rng);
                assert!(walk.expected.starts_with(&walk.got), "seed {seed}");
                // idle records come in between, and are not the point here
                if rng.below(3) == 0 {
                    let data = walk.peer.say(b"-");
                    walk.wire.extend_from_slice(&data);
                    walk.expected.push(b'-');
                }
            }
            walk = walk.arrive(&mut rng, 0);
            assert_eq!(walk.got, walk.expected, "seed {seed}");
            assert!(walk.wire.is_empty() && walk.got.len() > STEPS);
        }
    }
}

#[test]
fn both_ends_are_told_that_it_is_over() {
    for suite in suites() {
        let (mut ours, mut peer) = pair(*suite, true);
        let mut out = Vec::new();
        ours.close(&mut out);
        let sent = out.len();
        ours.close(&mut out);
        assert_eq!(out.len(), sent, "once");
        peer.give(&out).unwrap();
        assert!(peer.is_closed());
        assert_eq!(ours.seal(b"x", Instant::now(), &mut out), Err(RecordError::Closed));
        // the other direction is still open
        let mut wire = peer.say(b"late");
        assert_eq!(read(&mut ours, &mut wire).unwrap(), b"late");
        let mut wire = peer.close();
        assert_eq!(ours.open(&mut wire), Ok(Opened::Closed));
        assert_eq!(ours.open(&mut [1, 2, 3]), Ok(Opened::Closed), "it is not looked at");
        let mut ours = moved(ours);
        assert_eq!(ours.open(&mut [1, 2, 3]), Ok(Opened::Closed), "in the next process either");
        assert_eq!(ours.seal(b"x", Instant::now(), &mut out), Err(RecordError::Closed));
    }
}

#[test]
fn a_fatal_alert_is_understood() {
    for suite in suites() {
        let (mut ours, mut peer) = pair(*suite, true);
        let mut wire = peer.say(b"hello");
        wire[8] ^= 1;
        let error = ours.open(&mut wire).unwrap_err();
        let mut out = Vec::new();
        ours.alert(&error, &mut out);
        let heard = peer.give(&out).unwrap_err();
        assert_eq!(heard, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
        // and the other way round
        let (mut ours, mut peer) = pair(*suite, true);
        let mut wire = sealed(&mut ours, b"hello");
        wire[8] ^= 1;
        peer.give(&wire).unwrap_err();
        assert_eq!(ours.open(&mut peer.take()), Err(RecordError::Alert(20)));
    }
}

#[test]
fn a_large_message_is_split_and_put_together() {
    for suite in suites() {
        let (mut ours, mut peer) = pair(*suite, true);
        let message = Rng::new(1).bytes(200_000);
        let wire = sealed(&mut ours, &message);
        assert_eq!(peer.give(&wire).unwrap(), message);
        let mut wire = peer.say(&message);
        assert_eq!(read(&mut ours, &mut wire).unwrap(), message);
        assert!(wire.is_empty());
    }
}

#[test]
fn keys_change_from_both_ends_after_a_move() {
    for suite in suites().iter().filter(|suite| is_tls13(**suite)) {
        let (mut ours, mut peer) = pair(*suite, true);
        for round in 0..20 {
            peer.refresh();
            let mut wire = peer.say(b"asks");
            assert_eq!(read(&mut ours, &mut wire).unwrap(), b"asks");
            // the debt moves too
            ours = moved(ours);
            assert!(ours.owes());
            let mut out = Vec::new();
            if round % 2 == 0 {
                ours.pay(Instant::now(), &mut out).unwrap();
            }
            ours.seal(b"answers", Instant::now(), &mut out).unwrap();
            assert!(!ours.owes());
            assert_eq!(peer.give(&out).unwrap(), b"answers");
            ours = moved(ours);
            out.clear();
            ours.update(true, Instant::now(), &mut out).unwrap();
            assert_eq!(peer.give(&out).unwrap(), b"");
            ours = moved(ours);
            let mut wire = peer.say(b"has changed");
            assert_eq!(read(&mut ours, &mut wire).unwrap(), b"has changed");
            assert!(!ours.owes());
        }
    }
}
