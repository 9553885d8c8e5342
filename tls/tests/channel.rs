//! A server's end of a connection against rustls: handshakes that come in pieces, what follows them at once, suites that
//! are not ours, moves.

#![expect(clippy::unwrap_used, reason = "a test all through")]

#[path = "support/channels.rs"]
mod channels;

use channels::{moved, read};
use rustls::{
    CipherSuite, CipherSuiteCommon, SupportedCipherSuite, Tls13CipherSuite,
    crypto::{CryptoProvider, ring as provider},
};
use std::time::{Duration, Instant};
use tls::{
    Channel, Facts, Got, TicketKeys,
    testkit::{Client, Realm, take},
};

fn write(channel: &mut Channel, plain: &[u8]) -> Vec<u8> {
    assert_eq!(channel.write(plain, Instant::now()).unwrap(), plain.len());
    take(channel)
}

fn only(suite: &SupportedCipherSuite) -> CryptoProvider {
    CryptoProvider { cipher_suites: vec![*suite], ..provider::default_provider() }
}

/// Every suite that a client and a server of the library with an ECDSA certificate agree on.
fn suites() -> impl Iterator<Item = SupportedCipherSuite> {
    let rsa = |suite: &SupportedCipherSuite| suite.suite().as_str().unwrap().contains("_RSA_");
    provider::ALL_CIPHER_SUITES.iter().filter(move |s| !rsa(s)).copied()
}

#[test]
fn every_suite_talks_moves_and_closes() {
    for suite in suites() {
        let realm = Realm::with(provider::default_provider(), only(&suite)).unwrap();
        let (mut client, mut server, facts) = realm.connect(Instant::now()).unwrap();
        assert!(facts.movable, "{facts:?}");
        assert_eq!(facts.suite, format!("{:?}", suite.suite()));
        assert_eq!(facts.exporter.is_some(), suite.tls13().is_some());
        assert_eq!(facts.sni.as_deref(), Some("localhost"));
        for _ in 0..3 {
            let wire = client.seal(b"ping").unwrap();
            assert_eq!(read(&mut server, &wire).unwrap(), (b"ping".to_vec(), false));
            server = moved(server);
            let wire = write(&mut server, b"pong");
            assert_eq!(client.open(&wire).unwrap(), (b"pong".to_vec(), false));
        }
        server.close();
        assert_eq!(client.open(&take(&mut server)).unwrap(), (Vec::new(), true));
        assert!(server.write(b"x", Instant::now()).is_err(), "nothing after the end");
    }
}

/// A handshake whose bytes come as they may, with what the client sends at once behind it.
fn in_pieces(realm: &Realm, size: usize) -> (Client, Channel, Facts, Vec<u8>) {
    let mut client = realm.client().unwrap();
    let mut server = Channel::accept(std::sync::Arc::clone(&realm.acceptor), None).unwrap();
    let (mut facts, mut plain) = (None, Vec::new());
    for _ in 0..4 {
        let mut wire = client.drain();
        if !client.is_shaking() {
            wire.extend(client.seal(b"<stream>").unwrap());
            wire.extend(client.seal(b"<auth/>").unwrap());
        }
        for piece in wire.chunks_mut(size) {
            let sink = |got: Got<'_>| match got {
                Got::Secured(those) => assert!(facts.replace(those).is_none(), "once"),
                Got::Bytes(bytes) => plain.extend_from_slice(bytes),
            };
            assert!(!server.read(piece, Instant::now(), sink).unwrap());
        }
        client.open(&take(&mut server)).unwrap();
        if !plain.is_empty() {
            break;
        }
    }
    (client, server, facts.unwrap(), plain)
}

#[test]
fn nothing_that_follows_the_handshake_is_swallowed() {
    for suite in suites() {
        let realm = Realm::with(provider::default_provider(), only(&suite)).unwrap();
        for size in [1, 2, 5, 7, 100, 10_000] {
            let (mut client, server, _, plain) = in_pieces(&realm, size);
            assert_eq!(plain, b"<stream><auth/>", "{:?} in pieces of {size}", suite.suite());
            let mut server = moved(server);
            let wire = write(&mut server, b"<features/>");
            assert_eq!(client.open(&wire).unwrap().0, b"<features/>");
        }
    }
}

#[test]
fn half_a_record_and_what_is_not_sent_move_too() {
    let realm = Realm::new().unwrap();
    let (mut client, mut server, _) = realm.connect(Instant::now()).unwrap();
    let wire = client.seal(b"whole").unwrap();
    for cut in 0..wire.len() {
        let mut rest = client.seal(b"half").unwrap();
        if cut == 0 {
            assert_eq!(read(&mut server, &wire).unwrap().0, b"whole");
        }
        let tail = rest.split_off(rest.len() * cut / wire.len());
        assert_eq!(read(&mut server, &rest).unwrap().0, b"");
        server.write(b"un", Instant::now()).unwrap();
        let first = server.unsent()[..3].to_vec();
        server.sent(3);
        server = moved(server);
        server.write(b"sent", Instant::now()).unwrap();
        assert_eq!(read(&mut server, &tail).unwrap().0, b"half");
        assert_eq!(client.open(&[first, take(&mut server)].concat()).unwrap().0, b"unsent");
    }
}

#[test]
fn a_client_that_changes_its_keys_is_answered_at_once() {
    let realm = Realm::new().unwrap();
    let (mut client, mut server, _) = realm.connect(Instant::now()).unwrap();
    for _ in 0..40 {
        client.update_keys().unwrap();
        let wire = client.seal(b"x").unwrap();
        assert_eq!(read(&mut server, &wire).unwrap().0, b"x");
        assert!(!server.unsent().is_empty(), "the answer waits for nothing");
        assert_eq!(client.open(&take(&mut server)).unwrap().0, b"");
        server = moved(server);
        let wire = write(&mut server, b"y");
        assert_eq!(client.open(&wire).unwrap().0, b"y");
    }
}

#[test]
fn a_suite_that_is_not_ours_stays_with_the_library_and_is_named() {
    // the number of another suite, on both ends: no library here has one that the record layer does not know
    let ours = provider::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    let foreign = Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: CipherSuite::TLS13_AES_128_CCM_SHA256,
            hash_provider: ours.common.hash_provider,
            confidentiality_limit: ours.common.confidentiality_limit,
        },
        hkdf_provider: ours.hkdf_provider,
        aead_alg: ours.aead_alg,
        quic: None,
    };
    let suite = SupportedCipherSuite::Tls13(Box::leak(Box::new(foreign)));
    let realm = Realm::with(only(&suite), only(&suite)).unwrap();
    let (mut client, mut server, facts) = realm.connect(Instant::now()).unwrap();
    assert!(!facts.movable);
    assert_eq!(facts.suite, "TLS13_AES_128_CCM_SHA256");
    assert!(facts.exporter.is_some());
    for size in [1, 100, 16_384, 50_000] {
        let text = vec![7; size];
        let wire = client.seal(&text).unwrap();
        let mut got = Vec::new();
        for piece in wire.chunks(1_000) {
            got.extend(read(&mut server, piece).unwrap().0);
        }
        assert!(got == text, "{size} bytes to the server");
        let wire = write(&mut server, &text);
        assert!(client.open(&wire).unwrap().0 == text, "{size} bytes to the client");
    }
    assert!(!server.is_shaking() && !server.is_movable());
    let wire = client.seal(b"still").unwrap();
    assert_eq!(read(&mut server, &wire).unwrap().0, b"still");
    assert!(read(&mut server, &client.close()).unwrap().1);
    // github.com/rustls/rustls/pull/1955: what follows the end is not looked at; the library takes none of it
    for _ in 0..2 {
        assert!(read(&mut server, &[23, 3, 3, 0, 1, 7]).unwrap().1);
    }
}

#[test]
fn a_client_resumes_with_a_ticket_of_another_process() {
    for suite in suites() {
        let mut realm = Realm::with(provider::default_provider(), only(&suite)).unwrap();
        let first = in_pieces(&realm, 10_000);
        assert!(!first.0.has_resumed());
        let keys = serde_json::to_string(&realm.tickets).unwrap();
        let (_, server, ..) = first;
        drop(server);
        realm.restart(&serde_json::from_str::<TicketKeys>(&keys).unwrap()).unwrap();
        let (client, _, facts, _) = in_pieces(&realm, 10_000);
        assert!(client.has_resumed(), "{:?}", suite.suite());
        assert!(facts.movable && facts.end_point.is_some());
        realm.restart(&TicketKeys::new(Duration::ZERO).unwrap()).unwrap();
        let (client, ..) = in_pieces(&realm, 10_000);
        assert!(!client.has_resumed(), "{:?}: the keys are others", suite.suite());
    }
}

#[test]
fn what_is_sealed_and_not_sent_has_a_limit() {
    let realm = Realm::new().unwrap();
    let (mut client, mut server, _) = realm.connect(Instant::now()).unwrap();
    let text: Vec<u8> = (0..200_000).map(|n| n as u8).collect();
    let (mut written, mut got) = (0, Vec::new());
    while written < text.len() {
        let n = server.write(&text[written..], Instant::now()).unwrap();
        written += n;
        assert!(server.unsent().len() <= (64 << 10) + 5 * 22, "{}", server.unsent().len());
        assert!(n > 0 || server.unsent().len() >= 64 << 10);
        if n == 0 || written == text.len() {
            got.extend(client.open(&take(&mut server)).unwrap().0);
        }
    }
    assert!(got == text);
}

#[test]
fn a_record_that_is_too_long_is_refused_as_soon_as_it_says_so() {
    let realm = Realm::new().unwrap();
    let (mut client, mut server, _) = realm.connect(Instant::now()).unwrap();
    let error = read(&mut server, &[23, 3, 3, 0x41, 0x01]).unwrap_err();
    assert_eq!(error.to_string(), "a record that is too long");
    let error = client.open(&take(&mut server)).unwrap_err();
    assert!(error.to_string().contains("RecordOverflow"), "{error}");
    // and what is no TLS at all is told so, in the handshake
    for wire in [&b"GET / HTTP/1.1\r\n"[..], b"<", &[22, 3, 1, 0xff, 0xff, 1]] {
        let mut server = Channel::accept(std::sync::Arc::clone(&realm.acceptor), None).unwrap();
        assert!(read(&mut server, wire).is_err(), "{wire:?}");
        assert!(read(&mut server, b"more").unwrap().1, "it is over");
    }
}

#[test]
fn a_record_that_was_changed_ends_the_connection_with_an_alert() {
    let realm = Realm::new().unwrap();
    let (mut client, mut server, _) = realm.connect(Instant::now()).unwrap();
    let mut wire = client.seal(b"secret").unwrap();
    *wire.last_mut().unwrap() ^= 1;
    assert!(read(&mut server, &wire).is_err());
    let error = client.open(&take(&mut server)).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    assert!(server.write(b"x", Instant::now()).is_err());
}

#[test]
fn what_is_padded_is_as_long_as_what_is_not_so_short() {
    let realm = Realm::new().unwrap();
    realm.acceptor.pad(256);
    let (mut client, mut server, _) = realm.connect(Instant::now()).unwrap();
    let (short, long) = (write(&mut server, b"a"), write(&mut server, &[b'b'; 200]));
    assert_eq!(short.len(), long.len());
    assert_eq!(client.open(&short).unwrap().0, b"a");
    let mut server = moved(server);
    assert_eq!(write(&mut server, b"c").len(), short.len(), "after a move too");
}
