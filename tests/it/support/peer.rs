//! A client that is written by hand: it says what a test wants, when it wants it, and waits for
//! nothing that it was not told to wait for. (Conversations are scripts: see `tcp`.)

use super::PATIENCE;
use actors::testkit::{
    client_framer, receive,
    scram::Client as Scram,
    script::{Got, header},
};
use std::{collections::VecDeque, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use xmpp::{Element, framer::Framer, ns, sasl::Hash};

/// The password of every account of these tests.
pub const PASSWORD: &str = "pw";

/// One connection.
pub struct Peer {
    pub stream: TcpStream,
    framer: Framer,
    got: VecDeque<Got>,
    pings: u64,
}

impl Peer {
    pub async fn connect(to: SocketAddr) -> Self {
        Self::over(TcpStream::connect(to).await.unwrap())
    }

    /// With so small a window that the server soon cannot send any more.
    pub async fn connect_narrow(to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(32 << 10).unwrap();
        Self::over(socket.connect(to).await.unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        Self { stream, framer: client_framer(), got: VecDeque::new(), pings: 0 }
    }

    /// Connects, logs on and binds a resource.
    pub async fn login(to: SocketAddr, jid: &str) -> Self {
        let mut peer = Self::connect(to).await;
        peer.log_on(jid).await;
        peer
    }

    /// Opens the stream; its features.
    pub async fn open(&mut self) -> Element {
        self.framer.restart();
        self.send(&header("localhost")).await;
        assert!(matches!(self.next().await, Got::Open(_)));
        self.element().await
    }

    /// Authenticates; `Err`: the failure, or the condition of the stream error.
    pub async fn authenticate(&mut self, user: &str, password: &str) -> Result<(), String> {
        let mut scram = Scram::new(Hash::Sha1, user, password);
        let first = scram.first();
        self.send(&format!("<auth xmlns='{}' mechanism='SCRAM-SHA-1'>{first}</auth>", ns::SASL))
            .await;
        let challenge = self.try_element().await?;
        if challenge.name() != "challenge" {
            return Err(condition(&challenge));
        }
        let proof = scram.last(&challenge.text()).unwrap();
        self.send(&format!("<response xmlns='{}'>{proof}</response>", ns::SASL)).await;
        let last = self.try_element().await?;
        if last.name() == "success" { Ok(()) } else { Err(condition(&last)) }
    }

    /// Opens the stream and authenticates; the features after it.
    pub async fn log_in(&mut self, user: &str) -> Element {
        self.open().await;
        assert_eq!(self.authenticate(user, PASSWORD).await, Ok(()));
        self.open().await
    }

    /// The whole way to a bound resource.
    pub async fn log_on(&mut self, jid: &str) {
        let (user, resource) = (jid.split('@').next().unwrap(), jid.split('/').nth(1).unwrap());
        self.log_in(user).await;
        self.bind(resource).await;
    }

    pub async fn bind(&mut self, resource: &str) {
        assert_eq!(self.try_bind(resource).await, Ok(()));
    }

    /// Says that it is there, and waits until its server knows.
    pub async fn available(&mut self) {
        self.send("<presence/>").await;
        self.until(|e| e.name() == "presence").await;
    }

    pub async fn send(&mut self, xml: &str) {
        self.send_bytes(xml.as_bytes()).await;
    }

    /// What the server does not take any more is for the next step to notice.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
        drop(sent.expect("the server reads"));
    }

    /// The next thing it gets.
    pub async fn next(&mut self) -> Got {
        let mut bytes = vec![0; 16 << 10];
        while self.got.is_empty() {
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await;
            match read.expect("the server says something") {
                Ok(0) | Err(_) => return Got::Eof,
                Ok(n) => receive(&mut self.framer, &bytes[..n], &mut self.got).unwrap(),
            }
        }
        self.got.pop_front().unwrap()
    }

    #[track_caller]
    fn whole(got: Got) -> Element {
        match got {
            Got::Element(element) => element,
            other => panic!("an element was expected, not {other:?}"),
        }
    }

    pub async fn element(&mut self) -> Element {
        Self::whole(self.next().await)
    }

    /// The next element; `Err`: what came instead.
    pub async fn try_element(&mut self) -> Result<Element, String> {
        match self.next().await {
            Got::Element(element) if !element.is(ns::STREAM, "error") => Ok(element),
            Got::Element(error) => Err(condition(&error)),
            other => Err(format!("{other:?}")),
        }
    }

    /// Opens the stream and authenticates, twice the stream's features are read; `Err`: why that failed.
    pub async fn try_log_in(&mut self, user: &str) -> Result<(), String> {
        for again in [false, true] {
            self.framer.restart();
            self.send(&header("localhost")).await;
            match self.next().await {
                Got::Open(_) => {}
                other => return Err(format!("{other:?}")),
            }
            self.try_element().await?;
            if !again {
                self.authenticate(user, PASSWORD).await?;
            }
        }
        Ok(())
    }

    /// Binds a resource; `Err`: why that failed.
    pub async fn try_bind(&mut self, resource: &str) -> Result<(), String> {
        self.send(&format!(
            "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
            ns::BIND
        ))
        .await;
        let bound = self.try_element().await?;
        if bound.attr("type") == Some("result") { Ok(()) } else { Err(bound.to_xml()) }
    }

    /// The next element that is so; what comes before it is thrown away.
    pub async fn until(&mut self, is: impl Fn(&Element) -> bool) -> Element {
        self.before(is).await.1
    }

    /// The next element that is so, and what comes before it.
    pub async fn before(&mut self, is: impl Fn(&Element) -> bool) -> (Vec<Element>, Element) {
        let mut before = Vec::new();
        loop {
            let element = self.element().await;
            if is(&element) {
                return (before, element);
            }
            before.push(element);
        }
    }

    /// Pings the server and waits for the answer: all it sent before is done then. What came before.
    pub async fn ping(&mut self) -> Vec<Element> {
        self.pings += 1;
        let id = format!("ping-{}", self.pings);
        self.send(&format!("<iq type='get' id='{id}'><ping xmlns='{}'/></iq>", ns::PING)).await;
        self.before(|e| e.attr("id") == Some(&id)).await.0
    }

    /// The condition of the stream error with which the server ends the stream and the connection.
    pub async fn refusal(&mut self) -> String {
        loop {
            match self.next().await {
                Got::Element(e) if e.is(ns::STREAM, "error") => {
                    assert!(matches!(self.next().await, Got::Close), "the stream is closed");
                    assert!(matches!(self.next().await, Got::Eof), "so is the connection");
                    return condition(&e);
                }
                Got::Element(_) | Got::Open(_) => {}
                other => panic!("a stream error was expected, not {other:?}"),
            }
        }
    }
}

/// The condition of an error: the name of its first child.
pub fn condition(error: &Element) -> String {
    error.children().next().map_or("", Element::name).to_owned()
}

/// The conditions of a stanza error: type and name.
pub fn stanza_error(stanza: &Element) -> Option<(String, String)> {
    let error = stanza.child(ns::CLIENT, "error")?;
    Some((error.attr("type")?.to_owned(), condition(error)))
}
