//! How long keys are good for, and what a state is worth that comes as bytes (RFC 8446 4.6.3, 5.3, 5.5).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[allow(dead_code, reason = "each test uses a part")]
mod support;

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use support::{ALERT, DATA, HANDSHAKE, MAX, SUITES, all, key_update, mirror, opened, sealed};
use tls::record::{
    FrozenRecords, RecordError as Error, Records, Secrets12, Secrets13, Suite, Version,
};

const HOURS: u64 = 60 * 60;

fn frozen(records: Records) -> Value {
    serde_json::to_value(records.freeze(Instant::now())).unwrap()
}

fn thawed(frozen: &Value) -> Result<Records, Error> {
    let frozen: FrozenRecords = serde_json::from_value(frozen.clone()).unwrap();
    Records::thaw(frozen, Instant::now())
}

#[test]
fn a_key_is_changed_when_it_is_old_or_has_sealed_enough() {
    for suite in SUITES {
        let start = Instant::now();
        let later = |hours: u64| start + Duration::from_secs(hours * HOURS);
        let (mut records, _, mut ours) = mirror(Version::Tls13, suite);
        let mut out = Vec::new();
        let data = (DATA, b"x".to_vec());
        let update = (HANDSHAKE, key_update(false).to_vec());
        records.seal(b"x", later(5), &mut out).unwrap();
        assert_eq!(ours.open_all(&out), std::slice::from_ref(&data));
        // its age goes along
        let bytes = serde_json::to_vec(&records.freeze(later(5))).unwrap();
        let mut records = Records::thaw(serde_json::from_slice(&bytes).unwrap(), later(5)).unwrap();
        out.clear();
        records.seal(b"", later(7), &mut out).unwrap();
        assert!(out.is_empty(), "not before there is something to send");
        records.seal(b"x", later(7), &mut out).unwrap();
        records.seal(b"x", later(12), &mut out).unwrap();
        assert_eq!(ours.open_all(&out), [update.clone(), data.clone(), data.clone()]);

        let mut value = frozen_at(suite, (1 << 23) - 1);
        let mut records = thawed(&value).unwrap();
        ours = mirror(Version::Tls13, suite).2;
        ours.seq = (1 << 23) - 1;
        let wire = sealed(&mut records, &vec![1; MAX + 1]);
        let kinds: Vec<u8> = ours.open_all(&wire).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, [DATA, HANDSHAKE, DATA]);
        // who has been asleep for too long
        value["left"] = json!(0);
        value["tx"]["n"] = json!(5);
        ours = mirror(Version::Tls13, suite).2;
        ours.seq = 5;
        let wire = sealed(&mut thawed(&value).unwrap(), b"x");
        assert_eq!(ours.open_all(&wire), [update, data]);
        // nobody can put it off
        for left in [100 * HOURS, u64::MAX] {
            value["left"] = json!(left);
            let left = frozen(thawed(&value).unwrap())["left"].as_u64().unwrap();
            assert!(left <= 6 * HOURS, "{left}");
        }
    }
}

fn frozen_at(suite: Suite, seq: u64) -> Value {
    let mut value = frozen(mirror(Version::Tls13, suite).0);
    value["tx"]["n"] = json!(seq);
    value
}

#[test]
fn a_key_of_the_old_version_wears_out_and_can_still_say_so() {
    for suite in SUITES {
        let mut value = frozen(mirror(Version::Tls12, suite).0);
        let last = (1 << 24) - 1;
        value["tx"]["n"] = json!(last);
        let mut records = thawed(&value).unwrap();
        let mut ours = mirror(Version::Tls12, suite).2;
        ours.seq = last;
        let mut out = Vec::new();
        let result = records.seal(&vec![1; MAX + 1], Instant::now(), &mut out);
        if suite == Suite::ChaCha20Poly1305 {
            assert_eq!(result, Ok(()), "it has no such limit");
            continue;
        }
        assert_eq!(result, Err(Error::WornOut));
        assert_eq!(Error::WornOut.alert(), None, "it is closed in order");
        records.close(&mut out);
        let found = ours.open_all(&out);
        assert_eq!(found, [(DATA, vec![1; MAX]), (ALERT, vec![1, 0])]);
    }
}

#[test]
fn sequence_numbers_end() {
    for (version, suite) in all() {
        let mut value = frozen(mirror(version, suite).0);
        for end in ["tx", "rx"] {
            value[end]["n"] = json!(u64::MAX);
        }
        let mut records = thawed(&value).unwrap();
        let mut out = Vec::new();
        let gcm12 = version == Version::Tls12 && suite != Suite::ChaCha20Poly1305;
        let error = if gcm12 { Error::WornOut } else { Error::Sequence };
        assert_eq!(records.seal(b"x", Instant::now(), &mut out), Err(error));
        records.alert(&Error::BadMac, &mut out);
        records.close(&mut out);
        assert!(out.is_empty());
        let mut peer = mirror(version, suite).1;
        assert_eq!(opened(&mut records, &peer.seal(DATA, b"x")), Err(Error::Sequence));
    }
}

#[test]
fn our_own_key_updates() {
    for suite in SUITES {
        let now = Instant::now();
        let (mut records, mut peer, mut ours) = mirror(Version::Tls13, suite);
        let mut out = Vec::new();
        records.update(true, now, &mut out).unwrap();
        records.update(false, now, &mut out).unwrap();
        let [asks, plain] = [true, false].map(|r| (HANDSHAKE, key_update(r).to_vec()));
        assert_eq!(ours.open_all(&out), [asks.clone(), plain.clone()]);
        // one of ours is the answer too, unless it asks for something itself
        for (request, expected) in [(false, vec![plain.clone()]), (true, vec![plain, asks])] {
            let wire = peer.seal(HANDSHAKE, &key_update(true));
            peer.update();
            assert_eq!(opened(&mut records, &wire), Ok(None));
            out.clear();
            records.update(request, now, &mut out).unwrap();
            assert!(!records.owes());
            assert_eq!(ours.open_all(&out), expected);
        }
        let (mut records, ..) = mirror(Version::Tls12, suite);
        assert_eq!(records.update(false, now, &mut out), Err(Error::NoUpdate));
    }
}

#[test]
fn nothing_is_owed_after_our_end() {
    for (version, suite) in all() {
        let (mut records, mut peer, _) = mirror(version, suite);
        let mut out = Vec::new();
        records.close(&mut out);
        let asks: &[u8] = match version {
            Version::Tls13 => &key_update(true),
            Version::Tls12 => &[1, 0, 0, 0],
        };
        assert_eq!(opened(&mut records, &peer.seal(HANDSHAKE, asks)), Ok(None));
        let sent = out.len();
        assert!(!records.owes());
        records.pay(Instant::now(), &mut out).unwrap();
        assert_eq!(out.len(), sent);
    }
}

#[test]
fn a_frozen_state_is_small_and_is_not_trusted() {
    for (version, suite) in all() {
        let value = frozen(mirror(version, suite).0);
        let len = serde_json::to_vec(&value).unwrap().len();
        println!("{version:?} {suite:?}: {len} bytes");
        assert!(len <= 260, "{len}");
        assert!(thawed(&value).is_ok());
        let broken = |path: &[&str], with: Value| {
            let mut value = value.clone();
            let at = path.iter().fold(&mut value, |value, name| &mut value[name]);
            *at = with;
            serde_json::from_value::<FrozenRecords>(value)
                .map_err(drop)
                .and_then(|frozen| Records::thaw(frozen, Instant::now()).map_err(drop))
        };
        for end in ["tx", "rx"] {
            let good = value[end]["k"].as_str().unwrap().to_owned();
            let short = good.get(4..).unwrap();
            for bad in ["", "AAAA", "?", short, &format!("AAAA{good}"), &"A".repeat(4_000)] {
                assert!(broken(&[end, "k"], json!(bad)).is_err(), "{bad}");
            }
        }
        for (name, bad) in [
            ("v", json!(2)),
            ("tls", json!("1.1")),
            ("suite", json!("null")),
            ("idle", json!(33)),
            ("owed", json!({ "update": true, "refusal": true })),
            ("incoming", json!("wide open")),
        ] {
            assert!(broken(&[name], bad).is_err(), "{name}");
        }
        let part = |held: [u8; 4], len: u8, skip: u32| {
            broken(&["part"], json!({ "held": held, "len": len, "skip": skip })).is_ok()
        };
        let tls13 = version == Version::Tls13;
        assert_eq!(part([24, 0, 0, 1], 4, 0), tls13);
        assert_eq!(part([24, 0, 0, 0], 2, 0), tls13);
        assert_eq!(part([1, 9, 0, 0], 2, 0), !tls13);
        assert_eq!(part([0, 0, 0, 0], 0, 9), !tls13);
        assert!(!part([24, 0, 0, 2], 4, 0) && !part([24, 0, 0, 1], 5, 0));
        assert!(!part([25, 0, 0, 1], 1, 0) && !part([0, 0, 0, 0], 0, 1 << 24));
        assert!(!part([1, 0, 0, 1], 4, 0) && !part([0, 7, 0, 0], 0, 9));
    }
}

#[test]
fn nothing_says_the_secrets() {
    for (version, suite) in all() {
        let (records, ..) = mirror(version, suite);
        assert_eq!(format!("{records:?}"), format!("Records({version:?}, {suite:?})"));
        let frozen = records.freeze(Instant::now());
        assert_eq!(format!("{frozen:?}"), format!("FrozenRecords({version:?}, {suite:?})"));
    }
    let bad = serde_json::from_value::<FrozenRecords>(json!({
        "v": 1, "tls": "1.3", "suite": "aes128", "left": 0,
        "tx": { "k": "c2VjcmV0?", "n": 0 }, "rx": { "k": "", "n": 0 },
    }));
    assert!(!bad.unwrap_err().to_string().contains("c2Vj"));
}

#[test]
fn secrets_of_another_length_are_refused() {
    let now = Instant::now();
    for (version, suite) in all() {
        for len in 0..70 {
            let bytes = vec![1; len];
            let (right, made) = match version {
                Version::Tls13 => {
                    let by = Secrets13 { secret: &bytes, seq: 0 };
                    (support::hash_len(suite), Records::tls13(suite, by, by, now))
                }
                Version::Tls12 => {
                    let by = Secrets12 { key: &bytes, iv: &[2; 12], seq: 0 };
                    (support::key_len(suite), Records::tls12(suite, by, by, now))
                }
            };
            assert_eq!(made.err(), (len != right).then_some(Error::Secrets), "{len}");
        }
    }
}
