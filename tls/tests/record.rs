//! What may come and what may not, and what is sent (RFC 8446 5, 4.6.3, 6; RFC 5246 6.2, 7.2).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::time::Instant;
use support::{
    ALERT, CCS, DATA, HANDSHAKE, HEADER, MAX, Rng, SUITES, all, key_update, mirror, moved, opened,
    read, sealed,
};
use tls::record::{Opened, RecordError as Error, Suite, Version};

#[test]
fn a_record_may_come_in_any_two_pieces_and_to_two_processes() {
    for (version, suite) in all() {
        let wire = mirror(version, suite).1.seal(DATA, b"in two pieces");
        for cut in 0..=wire.len() {
            let (mut records, ..) = mirror(version, suite);
            let mut came = wire[..cut].to_vec();
            let first = read(&mut records, &mut came).unwrap();
            let mut records = moved(records);
            came.extend_from_slice(&wire[cut..]);
            let second = read(&mut records, &mut came).unwrap();
            assert_eq!([first, second].concat(), b"in two pieces");
        }
    }
}

#[test]
fn what_is_sealed_is_what_the_peer_opens() {
    for (version, suite) in all() {
        let (mut records, _, mut peer) = mirror(version, suite);
        for len in [0, 1, 100, MAX - 1, MAX, MAX + 1, 3 * MAX, 100_000] {
            let plain = Rng::new(len as u64).bytes(len);
            let found = peer.open_all(&sealed(&mut records, &plain));
            assert_eq!(found.len(), len.div_ceil(MAX));
            assert!(found.iter().all(|(kind, content)| *kind == DATA && content.len() <= MAX));
            assert_eq!(
                found.into_iter().flat_map(|(_, content)| content).collect::<Vec<_>>(),
                plain
            );
        }
    }
}

#[test]
fn what_is_sent_is_padded_as_far_as_it_fits() {
    for suite in SUITES {
        for block in [0, 1, 2, 100, 1 << 14, 20_000, u16::MAX] {
            let (mut records, _, mut peer) = mirror(Version::Tls13, suite);
            records.set_padding(block);
            let mut records = moved(records);
            for len in [1, 99, 100, 101, MAX - 1, MAX] {
                let wire = sealed(&mut records, &vec![7; len]);
                let (kind, content, padding) = peer.open(&wire).unwrap();
                assert_eq!((kind, content.len()), (DATA, len));
                let blocks = len.next_multiple_of(usize::from(block).max(1)).min(MAX);
                assert_eq!(len + padding, blocks, "{len} in {block}");
            }
            let mut out = Vec::new();
            records.close(&mut out);
            let blocks = 2_usize.next_multiple_of(usize::from(block).max(1)).min(MAX);
            assert_eq!(peer.open(&out), Some((ALERT, vec![1, 0], blocks - 2)));
        }
        let (mut records, _, mut peer) = mirror(Version::Tls12, suite);
        records.set_padding(100);
        assert_eq!(peer.open_all(&sealed(&mut records, b"x")), [(DATA, b"x".to_vec())]);
    }
}

#[test]
fn any_padding_is_taken_and_nothing_but_padding_is_not() {
    for suite in SUITES {
        let (mut records, mut peer, _) = mirror(Version::Tls13, suite);
        for padding in [0, 1, 255, 256, MAX - 4] {
            let inner = [b"data".as_slice(), &[DATA], &vec![0; padding]].concat();
            let wire = peer.seal_inner(&inner);
            assert_eq!(opened(&mut records, &wire), Ok(Some(b"data".to_vec())));
        }
        let wire = peer.seal_inner(&[&[DATA][..], &[0; MAX]].concat());
        assert_eq!(opened(&mut records, &wire), Ok(None), "nothing but padding around nothing");
        for zeros in [0, 1, 300, MAX + 1] {
            let (mut records, mut peer, _) = mirror(Version::Tls13, suite);
            let error = opened(&mut records, &peer.seal_inner(&vec![0; zeros])).unwrap_err();
            assert_eq!(error.alert(), Some(10), "unexpected_message");
        }
    }
}

#[test]
fn the_sizes_of_records_are_limited() {
    for suite in SUITES {
        for (inner, fits) in [(MAX + 1, true), (MAX + 2, false), (MAX + 240, false)] {
            for end in [DATA, 0] {
                let (mut records, mut peer, _) = mirror(Version::Tls13, suite);
                let mut inner = vec![DATA; inner];
                *inner.last_mut().unwrap() = end;
                let opened = opened(&mut records, &peer.seal_inner(&inner));
                assert_eq!(opened.is_ok(), fits, "with its padding");
                assert!(fits || opened == Err(Error::Overflow));
            }
        }
        for (len, fits) in [(MAX, true), (MAX + 1, false)] {
            let (mut records, mut peer, _) = mirror(Version::Tls12, suite);
            let opened = opened(&mut records, &peer.seal(DATA, &vec![1; len]));
            assert_eq!(opened.is_ok(), fits);
            assert!(fits || opened == Err(Error::Overflow));
        }
    }
    assert_eq!(Error::Overflow.alert(), Some(22), "record_overflow");
}

#[test]
fn a_header_is_judged_as_soon_as_it_shows() {
    for (version, suite) in all() {
        let (records, ..) = mirror(version, suite);
        let most = MAX + if version == Version::Tls13 { 256 } else { 2048 };
        let header = |len: usize| [DATA, 3, 3, (len >> 8) as u8, len as u8];
        assert_eq!(records.whole(&header(most)), Ok(None));
        assert_eq!(records.whole(&header(most + 1)), Err(Error::Overflow));
        assert_eq!(records.whole(&[DATA, 2]), Err(Error::Version));
        assert_eq!(records.whole(&[DATA, 4]), Err(Error::Version));
        for len in 0..HEADER {
            assert_eq!(records.whole(&header(1)[..len]), Ok(None));
        }
        let wire = [&header(2)[..], &[0; 9]].concat();
        assert_eq!(records.whole(&wire[..HEADER + 1]), Ok(None));
        assert_eq!(records.whole(&wire[..HEADER + 2]), Ok(Some(HEADER + 2)));
        assert_eq!(records.whole(&wire), Ok(Some(HEADER + 2)), "the first");
        for kind in 0..=255 {
            let known = match version {
                Version::Tls13 => kind == DATA,
                Version::Tls12 => (CCS..=DATA).contains(&kind),
            };
            assert_eq!(records.whole(&[kind]).is_ok(), known);
            let error = records.whole(&[kind]).err();
            assert_eq!(error.and_then(|error| error.alert()), (!known).then_some(10));
        }
    }
}

#[test]
fn other_types_of_records_are_unexpected() {
    for (version, suite) in all() {
        for kind in (1..=CCS).chain(DATA + 1..=255) {
            let (mut records, mut peer, _) = mirror(version, suite);
            let error = opened(&mut records, &peer.seal(kind, &[1])).unwrap_err();
            assert_eq!(error.alert(), Some(10), "{version:?} {kind}");
        }
        // a late ChangeCipherSpec, in the clear as before the Finished (RFC 8446 5)
        let (mut records, ..) = mirror(version, suite);
        let error = records.open(&mut [CCS, 3, 3, 0, 1, 1]).unwrap_err();
        let alert = if version == Version::Tls13 { 10 } else { 20 };
        assert_eq!(error.alert(), Some(alert));
    }
}

#[test]
fn alerts() {
    for (version, suite) in all() {
        let result = |content: &[u8]| {
            let (mut records, mut peer, _) = mirror(version, suite);
            records.open(&mut peer.seal(ALERT, content))
        };
        for level in [1, 2] {
            assert_eq!(result(&[level, 0]), Ok(Opened::Closed));
        }
        for alert in 1..=255 {
            let warning = result(&[1, alert]);
            match version {
                Version::Tls13 if alert != 90 => assert_eq!(warning, Err(Error::Alert(alert))),
                _ => assert_eq!(warning, Ok(Opened::Nothing)),
            }
            if (version, alert) != (Version::Tls13, 90) {
                assert_eq!(result(&[2, alert]), Err(Error::Alert(alert)));
            }
        }
        for content in [&[][..], &[1], &[1, 0, 0], &[1, 0, 1, 0]] {
            assert_eq!(result(content).unwrap_err().alert(), Some(10));
        }
        let strange = result(&[3, 40]);
        match version {
            Version::Tls13 => assert_eq!(strange, Err(Error::Alert(40)), "a level says nothing"),
            Version::Tls12 => assert_eq!(strange.unwrap_err().alert(), Some(47)),
        }
    }
    assert_eq!(Error::Alert(40).alert(), None, "nothing is answered");
}

#[test]
fn a_key_update_may_be_in_any_pieces_but_ends_its_record() {
    for suite in SUITES {
        for cuts in 0..16_u8 {
            let (mut records, mut peer, mut ours) = mirror(Version::Tls13, suite);
            let mut piece = Vec::new();
            for (at, byte) in key_update(true).into_iter().enumerate() {
                piece.push(byte);
                if at == 4 || cuts & 1 << at != 0 {
                    let wire = peer.seal(HANDSHAKE, &std::mem::take(&mut piece));
                    assert_eq!(records.open(&mut wire.clone()), Ok(Opened::Nothing));
                    assert_eq!(records.owes(), at == 4);
                    records = moved(records);
                }
            }
            peer.update();
            assert_eq!(opened(&mut records, &peer.seal(DATA, b"new")), Ok(Some(b"new".to_vec())));
            let answer = (HANDSHAKE, key_update(false).to_vec());
            let wire = sealed(&mut records, b"after it");
            assert_eq!(ours.open_all(&wire), [answer, (DATA, b"after it".to_vec())]);
        }
    }
}

#[test]
fn no_other_messages_come_after_the_handshake() {
    let update = key_update(false);
    let result = |parts: &[&[u8]]| {
        let (mut records, mut peer, _) = mirror(Version::Tls13, Suite::Aes128Gcm);
        let mut last = Ok(None);
        for part in parts {
            last = opened(&mut records, &peer.seal(HANDSHAKE, part));
        }
        last.unwrap_err().alert()
    };
    for kind in (0..=255).filter(|kind| *kind != 24) {
        assert_eq!(result(&[&[kind]]), Some(10));
    }
    assert_eq!(result(&[&[]]), Some(10), "empty");
    assert_eq!(result(&[&[24], &[]]), Some(10));
    assert_eq!(result(&[&[update, update].concat()]), Some(10), "two in a record");
    assert_eq!(result(&[&[&update[..], &[24]].concat()]), Some(10), "and the beginning of one");
    assert_eq!(result(&[&[24, 0], &[0, 1, 0, 24]]), Some(10), "in the second part");
    assert_eq!(result(&[&[24, 0, 0, 2]]), Some(50), "of another length");
    assert_eq!(result(&[&[24, 1]]), Some(50));
    for request in 2..=255 {
        assert_eq!(result(&[&[24, 0, 0, 1, request]]), Some(47), "illegal_parameter");
    }
    for (kind, content) in [(DATA, &b"x"[..]), (DATA, b""), (ALERT, &[1, 0])] {
        let (mut records, mut peer, _) = mirror(Version::Tls13, Suite::Aes128Gcm);
        assert_eq!(opened(&mut records, &peer.seal(HANDSHAKE, &update[..2])), Ok(None));
        let error = opened(&mut records, &peer.seal(kind, content)).unwrap_err();
        assert_eq!(error.alert(), Some(10), "nothing comes in between");
    }
}

#[test]
fn the_old_key_opens_nothing_after_a_key_update() {
    for suite in SUITES {
        let (mut records, mut peer, _) = mirror(Version::Tls13, suite);
        assert_eq!(opened(&mut records, &peer.seal(HANDSHAKE, &key_update(false))), Ok(None));
        assert!(!records.owes(), "none was asked for");
        assert_eq!(opened(&mut records, &peer.seal(DATA, b"x")), Err(Error::BadMac));
    }
}

#[test]
fn renegotiation_is_refused_and_the_connection_goes_on() {
    for suite in SUITES {
        let hello = [&[1, 0, 1, 0][..], &[9; 256]].concat();
        for cut in 1..hello.len() {
            let (mut records, mut peer, mut ours) = mirror(Version::Tls12, suite);
            for part in [&hello[..cut], &hello[cut..]] {
                assert_eq!(opened(&mut records, &peer.seal(HANDSHAKE, part)), Ok(None));
                records = moved(records);
            }
            let data = opened(&mut records, &peer.seal(DATA, b"goes on"));
            assert_eq!(data, Ok(Some(b"goes on".to_vec())));
            let mut out = Vec::new();
            assert!(records.owes());
            records.pay(Instant::now(), &mut out).unwrap();
            assert!(!records.owes());
            assert_eq!(ours.open_all(&out), [(ALERT, vec![1, 100])], "no_renegotiation, once");
        }
        for kind in (0..=255).filter(|kind| *kind != 1) {
            let (mut records, mut peer, _) = mirror(Version::Tls12, suite);
            let error = opened(&mut records, &peer.seal(HANDSHAKE, &[kind, 0, 0, 0]));
            assert_eq!(error.unwrap_err().alert(), Some(10));
        }
        let (mut records, mut peer, _) = mirror(Version::Tls12, suite);
        let error = opened(&mut records, &peer.seal(HANDSHAKE, &[])).unwrap_err();
        assert_eq!(error.alert(), Some(10));
    }
}
