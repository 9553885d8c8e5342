//! A client that is as simple as one can be that loses nothing (XEP-0198).

use actors::testkit::{
    client_framer, receive,
    scram::Client as Scram,
    script::{Got, header},
};
use std::{collections::VecDeque, error::Error, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use xmpp::{Element, framer::Framer, ns, sasl::Hash};

/// The password of everybody.
pub const PASSWORD: &str = "pencil";

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody who is connected.
pub struct Client {
    user: String,
    stream: TcpStream,
    framer: Framer,
    got: VecDeque<Got>,
    /// The id of the session, for whoever resumes it.
    session: String,
    /// Stanzas that came, and were sent, since that was made.
    handled: u32,
    sent: u32,
    acknowledged: u32,
}

type Done<T> = Result<T, Box<dyn Error + Send + Sync>>;

impl Client {
    /// Logs on, with a session that can be resumed.
    pub async fn log_on(to: SocketAddr, user: &str) -> Done<Self> {
        let mut client = Self {
            user: user.to_owned(),
            stream: TcpStream::connect(to).await?,
            framer: client_framer(),
            got: VecDeque::new(),
            session: String::new(),
            handled: 0,
            sent: 0,
            acknowledged: 0,
        };
        client.authenticate().await?;
        client.bind().await?;
        Ok(client)
    }

    /// Comes back over another connection, maybe to another node. Whether the session was resumed: else it is a new one.
    pub async fn come_back(&mut self, to: SocketAddr) -> Done<bool> {
        self.stream = TcpStream::connect(to).await?;
        (self.framer, self.got) = (client_framer(), VecDeque::new());
        self.authenticate().await?;
        let (session, h) = (&self.session, self.handled);
        self.send(&format!("<resume xmlns='{}' previd='{session}' h='{h}'/>", ns::SM)).await?;
        if self.until(|e| matches!(e.name(), "resumed" | "failed")).await?.name() == "resumed" {
            return Ok(true);
        }
        self.bind().await?;
        Ok(false)
    }

    async fn open(&mut self) -> Done<()> {
        self.framer.restart();
        self.send(&header("localhost")).await?;
        self.until(|e| e.is(ns::STREAM, "features")).await?;
        Ok(())
    }

    async fn authenticate(&mut self) -> Done<()> {
        self.open().await?;
        let mut scram = Scram::new(Hash::Sha1, &self.user, PASSWORD);
        let (xmlns, first) = (ns::SASL, scram.first());
        self.send(&format!("<auth xmlns='{xmlns}' mechanism='SCRAM-SHA-1'>{first}</auth>")).await?;
        let challenge = self.until(|e| e.ns() == xmlns).await?;
        let proof = scram.last(&challenge.text()).ok_or_else(|| challenge.to_xml())?;
        self.send(&format!("<response xmlns='{xmlns}'>{proof}</response>")).await?;
        let last = self.until(|e| e.ns() == xmlns).await?;
        if last.name() != "success" {
            return Err(last.to_xml().into());
        }
        self.open().await
    }

    /// A new session, which is available.
    async fn bind(&mut self) -> Done<()> {
        self.send(&format!("<iq type='set' id='bind'><bind xmlns='{}'/></iq>", ns::BIND)).await?;
        self.until(|e| e.attr("id") == Some("bind")).await?;
        self.send(&format!("<enable xmlns='{}' resume='true'/>", ns::SM)).await?;
        let enabled = self.until(|e| e.ns() == ns::SM).await?;
        enabled.attr("id").ok_or_else(|| enabled.to_xml())?.clone_into(&mut self.session);
        (self.handled, self.sent, self.acknowledged) = (0, 1, 0);
        self.send("<presence/>").await?;
        let is_own = |e: &Element| e.name() == "presence" && e.attr("type").is_none();
        self.until(is_own).await?;
        Ok(())
    }

    /// Writes to somebody.
    pub async fn say(&mut self, to: &str, text: &str) -> Done<()> {
        self.sent += 1;
        let body = format!("<body>{text}</body>");
        self.send(&format!("<message to='{to}@localhost' type='chat'>{body}</message>")).await
    }

    /// Waits until the server has accepted all that was said.
    pub async fn accepted(&mut self) -> Done<()> {
        self.send(&format!("<r xmlns='{}'/>", ns::SM)).await?;
        while self.acknowledged < self.sent {
            self.until(|e| e.is(ns::SM, "a")).await?;
        }
        Ok(())
    }

    /// What is said to it next.
    pub async fn hear(&mut self) -> Done<String> {
        let message = self.until(|e| e.name() == "message").await?;
        if message.attr("type") == Some("error") {
            return Err(message.to_xml().into());
        }
        Ok(message.child(ns::CLIENT, "body").map(Element::text).unwrap_or_default())
    }

    async fn send(&mut self, xml: &str) -> Done<()> {
        Ok(self.stream.write_all(xml.as_bytes()).await?)
    }

    /// The next element that is so.
    async fn until(&mut self, is: impl Fn(&Element) -> bool) -> Done<Element> {
        loop {
            let element = timeout(PATIENCE, self.element()).await??;
            if element.name() == "a" {
                self.acknowledged = element.attr("h").unwrap_or_default().parse()?;
            } else if element.name() == "r" {
                let h = self.handled;
                self.send(&format!("<a xmlns='{}' h='{h}'/>", ns::SM)).await?;
            } else if matches!(element.name(), "message" | "presence" | "iq") {
                self.handled += 1;
            }
            if is(&element) {
                return Ok(element);
            }
        }
    }

    async fn element(&mut self) -> Done<Element> {
        let mut bytes = vec![0; 16 << 10];
        loop {
            match self.got.pop_front() {
                Some(Got::Element(element)) if element.is(ns::STREAM, "error") => {
                    return Err(element.to_xml().into());
                }
                Some(Got::Element(element)) => return Ok(element),
                Some(Got::Open(_)) => {}
                Some(other) => return Err(format!("{}: {other:?}", self.user).into()),
                None => {
                    let read = self.stream.read(&mut bytes).await?;
                    let read = bytes.get(..read).filter(|read| !read.is_empty());
                    let read = read.ok_or("the connection is lost")?;
                    receive(&mut self.framer, read, &mut self.got)?;
                }
            }
        }
    }
}
