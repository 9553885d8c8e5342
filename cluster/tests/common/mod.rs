//! Nodes with links over loopback, and an authority that makes their certificates.
#![allow(dead_code, reason = "each test file uses some of it")]
#![expect(clippy::unwrap_used, reason = "a test")]

use cluster::{LinkOptions, LinkTls, Links};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use serde::{Deserialize, Serialize};
use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use supervision::{
    CrashLog, Cx, Event, Exit, Far, InitError, Node, Process, Ref, Remote, Reply, SupervisorRef,
    SupervisorSpec, System, crash::CrashLogLimits,
};
use tokio::time::{Instant, sleep};

pub const SECOND: Duration = Duration::from_secs(1);
pub const LONG: Duration = Duration::from_secs(20);

/// Makes certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // of authorities with one name the wrong key would be told, not the wrong authority
        let key = KeyPair::generate().unwrap();
        let name = format!("{:?}", key.public_key_raw());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// For a node of that name, as DNS has it.
    pub fn tls(&self, name: &str) -> LinkTls {
        self.trusting(name, self, self)
    }

    /// One whose certificate is of `certifies`, and that takes those of this authority only.
    pub fn accepting(&self, name: &str, certifies: &Self) -> LinkTls {
        self.trusting(name, certifies, self)
    }

    fn trusting(&self, name: &str, certifies: &Self, trusts: &Self) -> LinkTls {
        let (certificate, key) = certifies.certificate(name);
        make_tls(trusts.0.der(), &certificate, &key)
    }

    /// The certificate, and its key.
    fn certificate(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().to_vec(), key.serialize_der())
    }

    /// The same as files, for another process: [`read_tls`].
    pub fn write_tls(&self, name: &str, dir: &Path) {
        let (certificate, key) = self.certificate(name);
        let files = [("root", self.0.der().to_vec()), ("certificate", certificate), ("key", key)];
        for (file, bytes) in files {
            fs::write(dir.join(file), bytes).unwrap();
        }
    }

    pub fn options(&self, name: &str) -> LinkOptions {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        LinkOptions::new(listen, self.tls(&name.replace('@', ".")), "cookie", "test")
    }
}

pub fn read_tls(dir: &Path) -> LinkTls {
    let [root, certificate, key] =
        ["root", "certificate", "key"].map(|file| fs::read(dir.join(file)).unwrap());
    make_tls(&root, &certificate, &key)
}

fn make_tls(root: &[u8], certificate: &[u8], key: &[u8]) -> LinkTls {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.to_vec())).unwrap();
    let roots = Arc::new(roots);
    let chain = || vec![CertificateDer::from(certificate.to_vec())];
    let key = || PrivateKeyDer::Pkcs8(key.to_vec().into());
    let provider = Arc::new(default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain(), key())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain(), key())
        .unwrap();
    LinkTls { server: Arc::new(server), client: Arc::new(client) }
}

/// A node that runs.
pub struct Running {
    pub system: System,
    pub root: SupervisorRef,
    pub links: Links,
    credit: u64,
}

pub async fn start(name: &str, options: LinkOptions) -> Running {
    let node = Node::new(name).unwrap();
    let crashes = CrashLog::new(CrashLogLimits::default(), None);
    let system = System::on(node, name, crashes);
    system.accept::<Ask>();
    let credit = options.credit.messages.into();
    let (links, child) = Links::new(&system, options);
    let root = system.start(SupervisorSpec::one_for_one().child(child)).await.unwrap();
    Running { system, root, links, credit }
}

impl Running {
    pub fn node(&self) -> Node {
        self.system.node()
    }

    pub fn peer(&self) -> (Node, String) {
        (self.node(), self.links.address().unwrap().to_string())
    }

    pub async fn answerer(&self) -> Ref<Ask> {
        let answerer = self.system.spawn::<Answerer>("/answerer", ()).await.unwrap();
        self.system.register("answerer", &answerer).unwrap();
        answerer
    }

    pub fn far(&self, node: Node) -> Far<Ask> {
        self.system.far_named(node, "answerer")
    }

    /// Until it is linked with so many.
    pub async fn linked(&self, count: usize) {
        until("links", || self.system.nodes().len() == count).await;
    }

    /// Until the first node has taken all that was sent.
    pub async fn all_taken(&self, of: &Self) {
        let credit = || Some(self.links.info().first()?.up.as_ref()?.credit.frames);
        until("it has room again", || credit() == Some(of.credit)).await;
    }

    /// Why there is no link to the first node.
    pub fn error(&self) -> String {
        self.links.info().first().and_then(|info| info.error.clone()).unwrap_or_default()
    }
}

/// Until that is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let deadline = Instant::now() + LONG;
    async move {
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    Note(u64, Vec<u8>),
    /// All notes were in order, from 1: how many.
    Notes(Reply<u64>),
    Double(u32, Reply<u32>),
    Never(Reply<u32>),
}

impl Remote for Ask {
    const TAG: &'static str = "test.ask";
}

#[derive(Default)]
pub struct Answerer {
    notes: u64,
    kept: Vec<Reply<u32>>,
}

impl Process for Answerer {
    type Args = ();
    type Msg = Ask;
    const NAME: &'static str = "answerer";
    const INBOX: usize = 1 << 20;

    async fn init((): (), _: &mut Cx<Ask>) -> Result<Self, InitError> {
        Ok(Self::default())
    }

    async fn run(&mut self, cx: &mut Cx<Ask>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(Ask::Note(n, _)) => {
                    assert_eq!(n, self.notes + 1);
                    self.notes = n;
                }
                Event::Msg(Ask::Notes(reply)) => reply.send(self.notes),
                Event::Msg(Ask::Double(n, reply)) => reply.send(2 * n),
                Event::Msg(Ask::Never(reply)) => self.kept.push(reply),
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }
}
