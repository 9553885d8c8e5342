//! TLS on the wire: both kinds of ports, the node's own certificate, and one that is replaced.

use crate::support::{CONFIG, PASSWORD, Peer, Program, TestNode, block_on};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};
use xmpp::ns;

pub const HEADER: &[u8] = b"<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                        xmlns:stream='http://etherx.jabber.org/streams'>";

/// Reads until a text has come.
pub fn until(stream: &mut impl Read, text: &str) -> String {
    let mut all = String::new();
    let mut bytes = [0; 4096];
    while !all.contains(text) {
        let n = stream.read(&mut bytes).unwrap();
        assert_ne!(n, 0, "the end came before {text}: {all}");
        all.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
    }
    all
}

/// What trusts that certificate only.
fn trusting(trusted: &CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    config
}

/// A client that trusts that certificate only.
pub fn secure(
    stream: TcpStream,
    trusted: &CertificateDer<'static>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let config = trusting(trusted);
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

pub fn own(data: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(data.join("certificates/localhost.crt")).unwrap()
}

fn direct(to: SocketAddr, trusted: &CertificateDer<'static>) {
    let mut tls = secure(TcpStream::connect(to).unwrap(), trusted);
    tls.write_all(HEADER).unwrap();
    let features = until(&mut tls, "</stream:features>");
    assert!(features.contains("SCRAM-SHA-256-PLUS") && features.contains(">PLAIN<"), "{features}");
    assert!(!features.contains("<starttls"), "{features}");
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"xmpp-client"[..]));
    assert_eq!(tls.conn.peer_certificates().unwrap()[0], *trusted);
}

#[test]
fn clients_find_tls_on_both_kinds_of_ports() {
    block_on(async {
        let options = "storage.backend = 'memory'";
        let node = TestNode::with(options, |setup| setup.config.c2s.require_tls = true).await;
        let (data, at) = (node.data.path().to_owned(), node.node.addresses().clone());
        let talk = tokio::task::spawn_blocking(move || {
            direct(at.direct_tls[0], &own(&data));
            let mut tcp = TcpStream::connect(at.starttls[0]).unwrap();
            tcp.write_all(HEADER).unwrap();
            let features = until(&mut tcp, "</stream:features>");
            assert!(features.contains("<required/>") && !features.contains("SCRAM"), "{features}");
            // RFC 6120 section 6.5.4: without it no mechanism is looked at, known or not
            for mechanism in ["SCRAM-SHA-1", "UNKNOWN"] {
                let ns = "urn:ietf:params:xml:ns:xmpp-sasl";
                write!(tcp, "<auth xmlns='{ns}' mechanism='{mechanism}'>=</auth>").unwrap();
                assert!(until(&mut tcp, "</failure>").contains("<encryption-required/>"));
            }
            tcp.write_all(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").unwrap();
            until(&mut tcp, "<proceed");
            let mut tls = secure(tcp, &own(&data));
            tls.write_all(HEADER).unwrap();
            assert!(until(&mut tls, "</stream:features>").contains("SCRAM-SHA-256-PLUS"));
        });
        talk.await.unwrap();
        node.stop().await;
    });
}

#[test]
fn a_client_that_names_its_host_in_the_stream_only_gets_that_hosts_certificate() {
    block_on(async {
        let options =
            "storage.backend = 'memory'\nserver.hosts = ['localhost', 'b\u{fc}cher.example']";
        let node = TestNode::with(options, |_| ()).await;
        let (data, at) = (node.data.path().to_owned(), node.node.addresses().starttls[0]);
        let talk = tokio::task::spawn_blocking(move || {
            let file = data.join("certificates/xn--bcher-kva.example.crt");
            let trusted = CertificateDer::from_pem_file(file).unwrap();
            let header = String::from_utf8(HEADER.to_vec()).unwrap();
            let header = header.replace("localhost", "b\u{fc}cher.example");
            let mut tcp = TcpStream::connect(at).unwrap();
            tcp.write_all(header.as_bytes()).unwrap();
            until(&mut tcp, "</stream:features>");
            tcp.write_all(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").unwrap();
            until(&mut tcp, "<proceed");
            let mut config = trusting(&trusted);
            config.enable_sni = false;
            let name = ServerName::try_from("xn--bcher-kva.example").unwrap();
            let client = ClientConnection::new(Arc::new(config), name).unwrap();
            let mut tls = StreamOwned::new(client, tcp);
            tls.write_all(header.as_bytes()).unwrap();
            until(&mut tls, "</stream:features>");
        });
        talk.await.unwrap();
        node.stop().await;
    });
}

#[test]
fn a_certificate_is_replaced_while_the_node_runs() {
    block_on(async {
        let files = tempfile::tempdir().unwrap();
        let (file, key) = (files.path().join("c.pem"), files.path().join("k.pem"));
        let make = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            fs::write(&file, made.cert.pem()).unwrap();
            fs::write(&key, made.signing_key.serialize_pem()).unwrap();
            made.cert.der().clone()
        };
        let first = make();
        let options = format!(
            "storage.backend = 'memory'\n[[certificate]]\nfile = {:?}\nkey = {:?}\n",
            file.display().to_string(),
            key.display().to_string()
        );
        let node = TestNode::with(&options, |_| ()).await;
        let at = node.node.addresses().direct_tls[0];
        tokio::task::spawn_blocking(move || direct(at, &first)).await.unwrap();
        let second = make();
        let config = config::load(&format!("{CONFIG}{options}"), "test.toml", [], &[]);
        let reloaded = node.node.reload(mangrove::Setup::of(config).unwrap().config).await;
        assert_eq!(reloaded.certificates, Ok(1));
        tokio::task::spawn_blocking(move || direct(at, &second)).await.unwrap();
        node.stop().await;
    });
}

#[test]
fn a_handshake_may_begin_in_one_piece_with_a_proxys_header() {
    block_on(async {
        let node = TestNode::start("c2s.proxy_protocol = true").await;
        let (data, at) = (node.data.path().to_owned(), node.node.addresses().direct_tls[0]);
        let talk = tokio::task::spawn_blocking(move || {
            let mut tls = secure(TcpStream::connect(at).unwrap(), &own(&data));
            let mut wire = b"PROXY TCP4 192.0.2.9 192.0.2.1 5000 5223\r\n".to_vec();
            while tls.conn.wants_write() {
                tls.conn.write_tls(&mut wire).unwrap();
            }
            tls.sock.write_all(&wire).unwrap();
            tls.write_all(HEADER).unwrap();
            assert!(until(&mut tls, "</stream:features>").contains("SCRAM-SHA-256-PLUS"));
        });
        talk.await.unwrap();
        node.stop().await;
    });
}

/// Logs on with PLAIN, binds a resource, and says the rest together with its closing tag and its `close_notify`, or with a
/// record that is no good. What it hears, and how that ends.
fn in_one_go(
    to: SocketAddr,
    trusted: &CertificateDer<'static>,
    rest: &str,
    good: bool,
) -> (String, Result<(), String>) {
    let mut tls = secure(TcpStream::connect(to).unwrap(), trusted);
    tls.write_all(HEADER).unwrap();
    until(&mut tls, "</stream:features>");
    // juliet and the password of these tests
    let plain =
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABwdw==</auth>";
    tls.write_all(plain.as_bytes()).unwrap();
    until(&mut tls, "<success");
    tls.write_all(HEADER).unwrap();
    until(&mut tls, "</stream:features>");
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    tls.write_all(bind.as_bytes()).unwrap();
    until(&mut tls, "</iq>");
    let mut wire = Vec::new();
    for stanza in [rest, "</stream:stream>"] {
        tls.conn.writer().write_all(stanza.as_bytes()).unwrap();
    }
    tls.conn.send_close_notify();
    while tls.conn.wants_write() {
        tls.conn.write_tls(&mut wire).unwrap();
    }
    if !good {
        let at = wire.len() - 1;
        wire[at] ^= 1;
    }
    tls.sock.write_all(&wire).unwrap();
    // an end of TCP without one of TLS would be an error here
    let mut last = String::new();
    let ended = tls.read_to_string(&mut last);
    (last, ended.map(drop).map_err(|e| e.to_string()))
}

#[test]
fn what_comes_with_the_end_of_tls_is_handled_before_it() {
    block_on(async {
        let node = TestNode::start("").await;
        for user in ["juliet", "romeo"] {
            node.account(&format!("{user}@localhost"), PASSWORD).await;
        }
        let mut romeo = Peer::login(node.c2s(), "romeo@localhost/garden").await;
        romeo.available().await;
        let (data, at) = (node.data.path().to_owned(), node.node.addresses().direct_tls[0]);
        for good in [true, false] {
            let own = own(&data);
            let messages: String = (0..50)
                .map(|n| {
                    format!("<message to='romeo@localhost' type='chat'><body>{n}</body></message>")
                })
                .collect();
            let said = tokio::task::spawn_blocking(move || in_one_go(at, &own, &messages, good));
            let (last, ended) = said.await.unwrap();
            if good {
                assert_eq!((last.as_str(), ended), ("</stream:stream>", Ok(())));
            } else {
                assert_eq!(last, "");
                assert!(ended.unwrap_err().contains("BadRecordMac"));
            }
            for n in 0..50 {
                let message = romeo.until(|e| e.name() == "message").await;
                assert_eq!(message.child(ns::CLIENT, "body").unwrap().text(), n.to_string());
            }
        }
        drop(romeo);
        node.stop().await;
    });
}

/// The keys of all connections are in its memory.
#[test]
fn the_core_limit_is_zero_unless_cores_are_wanted() {
    // what the program inherits
    let maximum = getrlimit(Resource::Core).maximum;
    setrlimit(Resource::Core, Rlimit { current: Some(4096), maximum }).unwrap();
    for (options, is_wanted) in [("", false), ("server.core_dumps = true\n", true)] {
        let program = Program::of(&format!("{CONFIG}{options}"));
        let mut running = program.run();
        let limits = fs::read_to_string(format!("/proc/{}/limits", running.pid())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        let soft = core.split_whitespace().nth(4).unwrap();
        assert_eq!(soft, if is_wanted { "4096" } else { "0" }, "{options}");
        running.signal(Signal::TERM);
        assert_eq!(running.end().code, Some(0));
    }
}
