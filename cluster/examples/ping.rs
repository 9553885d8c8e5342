//! Two nodes in one program, with a link over loopback: a process on one is called and monitored from the other, then its node is stopped.
//! `cargo run -p cluster --example ping`; with a number, so many calls and messages are made, and what they cost is shown.
#![expect(clippy::print_stdout, reason = "a program")]

use bytes::Bytes;
use cluster::{LinkOptions, LinkTls, Links};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use serde::{Deserialize, Serialize};
use std::{env, sync::Arc, time::Duration};
use supervision::{
    CastError, CrashLog, Cx, Event, Exit, Far, InitError, Next, Node, Process, Remote, Reply,
    Server, SupervisorRef, SupervisorSpec, System, crash::CrashLogLimits,
};
use tokio::time::Instant;

type Error = Box<dyn std::error::Error + Send + Sync>;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
enum Ping {
    Ask(Reply<String>),
    Note(Bytes),
    Notes(Reply<u64>),
}

impl Remote for Ping {
    const TAG: &'static str = "example.ping";
}

/// Answers.
struct Pong(u64);

impl Server for Pong {
    type Args = ();
    type Msg = Ping;
    const NAME: &'static str = "pong";
    const INBOX: usize = 100_000;

    async fn init((): (), cx: &mut Cx<Ping>) -> Result<Self, InitError> {
        cx.register("pong")?;
        Ok(Self(0))
    }

    async fn handle(&mut self, ping: Ping, cx: &mut Cx<Ping>) -> Next {
        match ping {
            Ping::Ask(reply) => reply.send(format!("pong from {}", cx.system().node())),
            Ping::Note(_) => self.0 += 1,
            Ping::Notes(reply) => reply.send(self.0),
        }
        Next::Continue
    }
}

/// Says when the other is gone.
struct Watcher(Far<Ping>);

impl Process for Watcher {
    type Args = Far<Ping>;
    type Msg = ();
    const NAME: &'static str = "watcher";

    async fn init(pong: Far<Ping>, cx: &mut Cx<()>) -> Result<Self, InitError> {
        pong.monitor(cx.pid());
        Ok(Self(pong))
    }

    async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
        if let Event::Down { reason, .. } = cx.next().await {
            println!("{:?} is down: {reason}", self.0);
        }
        Exit::Normal
    }
}

/// The certificates of both nodes, of an authority that is forgotten afterwards.
fn certificates(names: [&str; 2]) -> Result<Vec<LinkTls>, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone())?;
    let (roots, provider) = (Arc::new(roots), Arc::new(default_provider()));
    let tls = |name: &str| {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, &authority)?;
        let chain = || vec![CertificateDer::from(certificate.der().to_vec())];
        let key = || PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier.build()?)
            .with_single_cert(chain(), key())?;
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&roots))
            .with_client_auth_cert(chain(), key())?;
        Ok(LinkTls { server: Arc::new(server), client: Arc::new(client) })
    };
    names.into_iter().map(tls).collect()
}

async fn start(name: &str, tls: LinkTls) -> Result<(System, SupervisorRef, Links), Error> {
    let crashes = CrashLog::new(CrashLogLimits::default(), None);
    let system = System::on(Node::new(name)?, name, crashes);
    system.accept::<Ping>();
    let options = LinkOptions::new(([127, 0, 0, 1], 0).into(), tls, "cookie", "ping");
    let (links, child) = Links::new(&system, options);
    let root = system.start(SupervisorSpec::one_for_one().child(child)).await?;
    Ok((system, root, links))
}

/// What so many calls and messages cost.
async fn measure(pong: &Far<Ping>, count: u64) -> Result<(), Error> {
    let mut times = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        pong.call(Ping::Ask, SECOND).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    println!("{count} calls: {:?}, 99 of 100 {:?}", at(50), at(99));
    for bytes in [200, 1000] {
        let (before, began) = (pong.call(Ping::Notes, SECOND).await?, Instant::now());
        let mut full = 0;
        for _ in 0..10 * count {
            let mut note = Ping::Note(vec![7; bytes].into());
            while let Err(CastError::Full(back)) = pong.cast(note) {
                (note, full) = (back, full + 1);
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
        while pong.call(Ping::Notes, 60 * SECOND).await.unwrap_or(0) < before + 10 * count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let rate = 10_000 * count / u64::try_from(began.elapsed().as_millis())?.max(1);
        println!("{bytes} bytes: {rate} messages a second; {full} times there was no credit");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut tls = certificates(["a.example.org", "b.example.org"])?.into_iter();
    let mut tls = || tls.next().ok_or("two certificates");
    let (a, root_a, links_a) = start("a@example.org", tls()?).await?;
    let (b, root_b, links_b) = start("b@example.org", tls()?).await?;
    b.start(
        SupervisorSpec::one_for_one().child(supervision::ChildSpec::server::<Pong>("pong", || ())),
    )
    .await?;

    let address = links_b.address().ok_or("b does not listen")?.to_string();
    links_a.set_peers(vec![(b.node(), address)]);
    while a.nodes().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{} is linked with {:?}", a.node(), a.nodes());

    let pong: Far<Ping> = a.far_named(b.node(), "pong");
    println!("ping: {}", pong.call(Ping::Ask, SECOND).await?);
    let nobody: Far<Ping> = a.far_named(b.node(), "nobody");
    let error = nobody.call(Ping::Ask, SECOND).await.err().ok_or("somebody")?;
    println!("ping nobody: {error}");
    if let Some(count) = env::args().nth(1) {
        measure(&pong, count.parse()?).await?;
    }
    let watcher = a.spawn::<Watcher>("/watcher", pong.clone()).await?;
    root_b.stop().await;
    watcher.pid().wait().await;
    let error = pong.call(Ping::Ask, SECOND).await.err().ok_or("an answer")?;
    println!("ping: {error}");
    root_a.stop().await;
    Ok(())
}
