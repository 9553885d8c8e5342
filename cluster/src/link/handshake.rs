//! A connection to another node, from the socket to the link.

use super::{
    LinkError,
    hello::{self, Answer, Hello, VERSIONS},
    hub::{Claimed, Session, Shared, Token},
    process::{Begin, Link, POOL},
};
use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream, NodeServerMessage};
use std::{sync::Arc, time::Duration};
use supervision::{Local, Node, PoolRef};
use tokio::{
    io::{AsyncWriteExt, split},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection, as ractor_cluster gets it.
struct Stream(TlsStream<TcpStream>, String);

impl ClusterBidiStream for Stream {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (read, write) = split(self.0);
        (Box::new(read), Box::new(write))
    }

    fn peer_label(&self) -> Option<String> {
        Some(self.1.clone())
    }
}

fn ours(shared: &Shared, token: &Token) -> Result<Hello, LinkError> {
    Ok(Hello {
        versions: VERSIONS,
        node: shared.system.node(),
        creation: shared.system.creation(),
        program: shared.options.program.clone(),
        gateway: shared.server()?.1,
        token: token.token,
        credit: shared.options.credit,
    })
}

/// Connects to that node, and starts the link.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    node: Node,
    address: &str,
) -> Result<Local, LinkError> {
    let claim = shared.claim_out(node)?;
    let connects = async {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::clone(&shared.options.tls.client));
        let tls = connector.connect(hello::dns_name(node)?, tcp).await.map_err(LinkError::tls)?;
        let mut stream = TlsStream::Client(tls);
        let (token, session) = shared.expect();
        hello::say(&mut stream, &ours(shared, &token)?).await?;
        // a certificate that is not taken is told only now
        let theirs = match hello::hear(&mut stream).await.map_err(LinkError::after_tls)? {
            Answer::Welcome(theirs) => theirs,
            Answer::Refused(why) => return Err(LinkError::Refused(why)),
        };
        if theirs.node != node {
            return Err(LinkError::Other { wanted: node, found: theirs.node });
        }
        theirs.check_version()?;
        begin(shared, claim, stream, token, session, theirs, false).await
    };
    timeout(PATIENCE, connects).await.map_err(|_| LinkError::Slow)?
}

/// Somebody has connected.
pub(super) async fn accept(shared: &Arc<Shared>, tcp: TcpStream) -> Result<Node, LinkError> {
    let accepts = async {
        tcp.set_nodelay(true)?;
        let acceptor = TlsAcceptor::from(Arc::clone(&shared.options.tls.server));
        let tls = acceptor.accept(tcp).await.map_err(LinkError::tls)?;
        let mut stream = TlsStream::Server(tls);
        let theirs: Hello = hello::hear(&mut stream).await?;
        let (token, session) = shared.expect();
        let (claim, answer) = match welcome(shared, &theirs, &stream) {
            Ok(claim) => (Ok(claim), Answer::Welcome(ours(shared, &token)?)),
            Err(why) => {
                let answer = Answer::Refused(why.to_string());
                (Err(why), answer)
            }
        };
        hello::say(&mut stream, &answer).await?;
        let claim = match claim {
            Ok(claim) => claim,
            Err(why) => {
                stream.shutdown().await?;
                return Err(why);
            }
        };
        let node = theirs.node;
        begin(shared, claim, stream, token, session, theirs, true).await?;
        Ok(node)
    };
    timeout(PATIENCE, accepts).await.map_err(|_| LinkError::Slow)?
}

fn welcome(
    shared: &Arc<Shared>,
    theirs: &Hello,
    stream: &TlsStream<TcpStream>,
) -> Result<Claimed, LinkError> {
    theirs.check_version()?;
    theirs.check_name(stream.get_ref().1.peer_certificates())?;
    if theirs.node == shared.system.node() {
        return Err(LinkError::Itself);
    }
    shared.claim_in(theirs.node, theirs.creation)
}

/// Hands the connection to ractor_cluster, and starts the link when that has made its peace with the other.
async fn begin(
    shared: &Arc<Shared>,
    claim: Claimed,
    stream: TlsStream<TcpStream>,
    token: Token,
    session: oneshot::Receiver<Session>,
    theirs: Hello,
    is_server: bool,
) -> Result<Local, LinkError> {
    let stream = Box::new(Stream(stream, token.label()));
    let opened = NodeServerMessage::ConnectionOpenedExternal { stream, is_server };
    shared.server()?.0.cast(opened).map_err(|_| LinkError::Stopped)?;
    let session = session.await.map_err(|_| LinkError::Session)?;
    let gateway = session.gateway(theirs.gateway).ok_or(LinkError::NoGateway)?;
    let begin =
        Begin { shared: Arc::clone(shared), claim, token, _session: session, gateway, theirs };
    let links = PoolRef::<Link>::find(&shared.system, POOL).ok_or(LinkError::Stopped)?;
    let link = links.start(begin).await.map_err(|error| LinkError::Start(error.to_string()))?;
    Ok(link.pid().clone())
}
