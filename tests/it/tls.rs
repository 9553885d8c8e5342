//! TLS on the wire: both kinds of ports, the node's own certificate, and one that is replaced.

use crate::support::{CONFIG, TestNode, block_on};
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
