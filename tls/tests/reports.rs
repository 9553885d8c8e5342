//! Faults that users of other TLS libraries and servers have reported, and what ours does. Each test names the thread.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[allow(dead_code, reason = "each test uses a part")]
mod support;

use ring::digest;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, HandshakeKind, RootCertStore,
    SupportedProtocolVersion,
    crypto::ring as provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    version::{TLS12, TLS13},
};
#[path = "support/channels.rs"]
mod channels;

use channels::{moved, read};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use support::{ALERT, DATA, HANDSHAKE, SUITES, key_update, mirror, opened};
use tls::{
    Acceptor, Channel, Facts, Got, Identity, TicketKeys,
    record::{Opened, Version},
    testkit::{Realm, take},
};

fn identity(name: &str) -> Identity {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    Identity {
        chain: vec![made.cert.der().clone()],
        key: PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
    }
}

/// RFC 5929 tls-server-end-point of certificates that are signed with SHA-256.
fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(digest::digest(&digest::SHA256, certificate).as_ref().to_vec())
}

/// A client that trusts these, and sends no SNI.
fn nameless(trusts: &[&Identity], version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for identity in trusts {
        roots.add(identity.chain[0].clone()).unwrap();
    }
    let provider = Arc::new(provider::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(&[version]).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.enable_sni = false;
    config
}

/// Its handshake, with what comes at once after it.
fn shake(
    config: &Arc<ClientConfig>,
    name: &str,
    server: &mut Channel,
) -> (ClientConnection, Facts) {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut facts = None;
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let sink = |got: Got<'_>| {
            if let Got::Secured(those) = got {
                facts = Some(those);
            }
        };
        server.read(&mut wire, Instant::now(), sink).unwrap();
        let answer = take(server);
        let mut answer = answer.as_slice();
        while !answer.is_empty() {
            client.read_tls(&mut answer).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    (client, facts.unwrap())
}

fn accept(acceptor: &Arc<Acceptor>, host: &str) -> Channel {
    Channel::accept(Arc::clone(acceptor), Some(host.to_owned())).unwrap()
}

/// github.com/nginx/nginx/pull/493, nodejs/node/issues/57175, eclipse-californium/californium/issues/644: a session of one
/// host resumed at another. Clients that send no SNI say the host before TLS.
#[test]
fn a_session_of_one_host_is_not_resumed_at_another() {
    for version in [&TLS12, &TLS13] {
        let (a, b) = (identity("a.example"), identity("b.example"));
        let config = Arc::new(nameless(&[&a, &b], version));
        let tickets = TicketKeys::new(Duration::ZERO).unwrap();
        let acceptor = Acceptor::new(vec![a, b], &tickets).unwrap();
        for (name, host, resumes) in [
            ("a.example", "a.example", false),
            ("a.example", "a.example", true),
            ("b.example", "b.example", false),
            ("b.example", "b.example", true),
            // whom it has a session of a.example for
            ("a.example", "a.example", true),
        ] {
            let (client, facts) = shake(&config, name, &mut accept(&acceptor, host));
            assert_eq!(client.handshake_kind() == Some(HandshakeKind::Resumed), resumes, "{name}");
            assert_eq!(facts.end_point, end_point(&client.peer_certificates().unwrap()[0]));
        }
        // with the session of a.example, it comes to b.example: a whole handshake, and the wrong certificate
        let name = ServerName::try_from("a.example").unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        let mut server = accept(&acceptor, "b.example");
        server.read(&mut wire, Instant::now(), |_| ()).unwrap();
        let answer = take(&mut server);
        let mut answer = answer.as_slice();
        let shaken = client.read_tls(&mut answer).map(|_| client.process_new_packets());
        let error = shaken.unwrap().unwrap_err();
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
    }
}

/// github.com/jackc/pgx/pull/2517 and others bind to the certificate: the one the client saw, though certificates were
/// replaced meanwhile.
#[test]
fn channel_bindings_name_the_certificate_of_the_handshake() {
    for version in [&TLS12, &TLS13] {
        let old = identity("a.example");
        let config = Arc::new(nameless(&[&old], version));
        let tickets = TicketKeys::new(Duration::ZERO).unwrap();
        let acceptor = Acceptor::new(vec![old], &tickets).unwrap();
        let mut server = accept(&acceptor, "a.example");
        acceptor.replace(vec![identity("a.example")]).unwrap();
        let (client, facts) = shake(&config, "a.example", &mut server);
        assert_eq!(facts.end_point, end_point(&client.peer_certificates().unwrap()[0]));
    }
}

/// github.com/openssl/openssl/issues/8677, 12485: KeyUpdates of both ends while a write is pending.
#[test]
fn keys_change_while_a_write_is_pending() {
    let now = Instant::now();
    let (mut client, mut server, _) = Realm::new().unwrap().connect(now).unwrap();
    let mut wire = Vec::new();
    for n in 0..5 {
        server.write(&[n; 20_000], now).unwrap();
        // the socket takes a part of a record, and the retry has other bytes behind it
        wire.extend_from_slice(&server.unsent()[..10_000]);
        server.sent(10_000);
        client.update_keys().unwrap();
        assert_eq!(read(&mut server, &client.seal(b"x").unwrap()).unwrap().0, b"x");
        server.update_keys(n % 2 == 0, now).unwrap();
        server = moved(server);
    }
    wire.extend(take(&mut server));
    let (plain, closed) = client.open(&wire).unwrap();
    assert!(!closed && plain == (0..5).flat_map(|n| [n; 20_000]).collect::<Vec<u8>>());
}

/// github.com/openssl/openssl/issues/8068, 32501: neither 32 in all, nor a flood of answers to a client that does not read.
#[test]
fn key_updates_with_data_between_go_on_and_have_one_answer_a_read() {
    let now = Instant::now();
    let (mut client, mut server, _) = Realm::new().unwrap().connect(now).unwrap();
    let mut wire = Vec::new();
    for _ in 0..1_000 {
        client.update_keys().unwrap();
        wire.extend(client.seal(b"x").unwrap());
    }
    assert_eq!(read(&mut server, &wire).unwrap().0, [b'x'; 1_000]);
    assert_eq!(server.unsent().len(), 5 + 5 + 1 + 16, "one KeyUpdate");
    assert!(client.open(&take(&mut server)).unwrap().0.is_empty());
}

/// github.com/instana/go-sensor/issues/1645: several KeyUpdates in one record, which left Go waiting for ever.
#[test]
fn a_key_update_ends_its_record() {
    for suite in SUITES {
        for content in [
            [key_update(true), key_update(true)].concat(),
            [&key_update(false)[..], &[24]].concat(),
        ] {
            let (mut records, mut peer, _) = mirror(Version::Tls13, suite);
            let error = opened(&mut records, &peer.seal(HANDSHAKE, &content)).unwrap_err();
            assert_eq!(error.alert(), Some(10));
            assert!(!records.owes());
        }
    }
}

/// github.com/rustls/rustls/issues/959, iNPUTmice/Conversations/issues/1535: data, the end and more in one segment.
#[test]
fn what_came_before_the_end_is_read_and_what_comes_after_is_not() {
    let now = Instant::now();
    let (mut client, mut server, _) = Realm::new().unwrap().connect(now).unwrap();
    let mut wire = client.seal(b"</stream:stream>").unwrap();
    wire.extend(client.close());
    wire.extend_from_slice(b"no record");
    assert_eq!(read(&mut server, &wire).unwrap(), (b"</stream:stream>".to_vec(), true));
    let mut server = moved(server);
    assert_eq!(read(&mut server, b"nor this").unwrap(), (Vec::new(), true));
    // tlswg/tls13-spec/pull/1092: the other direction is still open
    server.write(b"</stream:stream>", now).unwrap();
    server.close();
    assert_eq!(client.open(&take(&mut server)).unwrap(), (b"</stream:stream>".to_vec(), true));
}

/// github.com/openssl/openssl/pull/7114, 11388: a KeyUpdate after our end is followed, and nothing is sent any more.
#[test]
fn after_our_end_keys_of_the_client_still_change() {
    let (mut client, mut server, _) = Realm::new().unwrap().connect(Instant::now()).unwrap();
    server.close();
    let end = take(&mut server);
    client.update_keys().unwrap();
    let wire = client.seal(b"late").unwrap();
    assert_eq!(read(&mut server, &wire).unwrap().0, b"late");
    server.close();
    assert!(server.unsent().is_empty());
    assert!(client.open(&end).unwrap().1);
}

/// github.com/tlswg/tls13-spec/issues/1208, openjdk/jdk/pull/7664: Java says `user_canceled` before `close_notify`.
#[test]
fn java_ends_with_two_alerts() {
    for (version, suite) in support::all() {
        let (mut records, mut peer, _) = mirror(version, suite);
        assert_eq!(opened(&mut records, &peer.seal(ALERT, &[1, 90])), Ok(None));
        assert_eq!(records.open(&mut peer.seal(ALERT, &[1, 0])), Ok(Opened::Closed));
        assert_eq!(records.open(&mut peer.seal(DATA, b"x")), Ok(Opened::Closed));
    }
}

/// github.com/wolfSSL/wolfssl/issues/8754, tlsfuzzer/tlsfuzzer/issues/160: a ClientHello in records of one byte. One of
/// 64 KiB that never ends is refused before as much is kept.
#[test]
fn a_client_hello_may_come_in_the_smallest_records() {
    let realm = Realm::new().unwrap();
    let mut client = realm.client().unwrap();
    let whole = client.drain();
    let mut server = Channel::accept(Arc::clone(&realm.acceptor), None).unwrap();
    let small: Vec<u8> = whole[5..].iter().flat_map(|b| [22, 3, 1, 0, 1, *b]).collect();
    read(&mut server, &small).unwrap();
    client.open(&take(&mut server)).unwrap();
    assert!(!client.is_shaking(), "it is answered");
    let mut server = Channel::accept(Arc::clone(&realm.acceptor), None).unwrap();
    let endless = [1, 0, 0xff, 0xff].into_iter().chain([0; 0xff00]);
    let small: Vec<u8> = endless.flat_map(|b| [22, 3, 1, 0, 1, b]).collect();
    assert!(read(&mut server, &small).is_err());
}

/// github.com/aws/s2n-tls/pull/797, openssl/openssl/pull/1427: another protocol is refused, none is not, and a session that
/// was begun with one is resumed without.
#[test]
fn a_protocol_is_for_one_connection() {
    let identity = identity("a.example");
    let mut config = nameless(&[&identity], &TLS13);
    let tickets = TicketKeys::new(Duration::ZERO).unwrap();
    let acceptor = Acceptor::new(vec![identity], &tickets).unwrap();
    for (protocol, resumes) in
        [(Some("xmpp-client"), false), (None, true), (Some("xmpp-client"), true)]
    {
        config.alpn_protocols = protocol.into_iter().map(|p| p.as_bytes().to_vec()).collect();
        let config = Arc::new(config.clone());
        let (client, _) = shake(&config, "a.example", &mut accept(&acceptor, "a.example"));
        assert_eq!(client.handshake_kind() == Some(HandshakeKind::Resumed), resumes);
        assert_eq!(client.alpn_protocol(), protocol.map(str::as_bytes));
    }
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("a.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    let mut server = accept(&acceptor, "a.example");
    assert!(read(&mut server, &wire).is_err());
    let answer = take(&mut server);
    client.read_tls(&mut answer.as_slice()).unwrap();
    let error = client.process_new_packets().unwrap_err();
    assert_eq!(error, rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol));
}
