//! One client connection: TCP, TLS, and the stream's events in both directions. Logging on is in [`login`](crate::login).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::R;
use crate::ctx::Ctx;
use crate::xml::{self, Ev, Scanner};

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

pub struct Conn {
    io: Io,
    pub(crate) buf: Vec<u8>,
    pub(crate) sc: Scanner,
    pub jid: String,
    pub t_start: Instant,
    pub t_tls: Duration,
    pub t_bound: Duration,
    pub tls13: bool,
    pub suite: &'static str,
    pub(crate) sm: bool,
    /// XEP-0198: the session's id, if it can be resumed.
    pub(crate) sm_id: String,
    /// Stanzas that came since `<enabled/>`.
    pub(crate) h: u32,
}

const CHUNK: usize = 4096;

impl Conn {
    /// TCP only
    pub async fn connect(cx: &Ctx, at: SocketAddr) -> R<Conn> {
        let t_start = Instant::now();
        let s = TcpSocket::new_v4().map_err(|e| format!("socket: {e}"))?;
        if cx.src > 1 && at.is_ipv4() && at.ip().is_loopback() {
            // One source address has about 28,000 ports. Where it has none left, the system chooses the address.
            let k = (cx.next_seq() % u64::from(cx.src)) as u8;
            let _ = s.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + k)), 0));
        }
        let t = s.connect(at).await.map_err(|e| format!("connect: {e}"))?;
        let _ = t.set_nodelay(true);
        Ok(Conn {
            io: Io::Plain(t),
            buf: Vec::new(),
            sc: Scanner::default(),
            jid: String::new(),
            t_start,
            t_tls: Duration::ZERO,
            t_bound: Duration::ZERO,
            tls13: false,
            suite: "",
            sm: false,
            sm_id: String::new(),
            h: 0,
        })
    }
    pub(crate) async fn tls(&mut self, cx: &Ctx) -> R<()> {
        let Io::Plain(t) = std::mem::replace(&mut self.io, Io::Gone) else {
            return Err("already TLS".into());
        };
        let name = rustls::pki_types::ServerName::try_from(cx.domain.clone())
            .map_err(|e| e.to_string())?;
        let s = cx.connector.connect(name, t).await.map_err(|e| format!("tls: {e}"))?;
        let c = s.get_ref().1;
        self.tls13 = c.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
        self.suite = c.negotiated_cipher_suite().and_then(|s| s.suite().as_str()).unwrap_or("");
        self.io = Io::Tls(Box::new(s));
        self.buf.clear();
        self.sc.reset();
        self.t_tls = self.t_start.elapsed();
        Ok(())
    }
    pub async fn send(&mut self, b: &[u8]) -> R<()> {
        let r = match &mut self.io {
            Io::Plain(t) => t.write_all(b).await,
            Io::Tls(t) => match t.write_all(b).await {
                Ok(()) => t.flush().await,
                e => e,
            },
            Io::Gone => return Err("connection is gone".into()),
        };
        r.map_err(|e| format!("write: {e}"))
    }
    /// an event that is already in the buffer
    pub fn try_next(&mut self) -> R<Option<Ev>> {
        let e = self.sc.next(&self.buf)?;
        if self.sm
            && let Some(Ev::Stanza(r)) = &e
            && matches!(xml::name(&self.buf[r.clone()]), b"message" | b"presence" | b"iq")
        {
            self.h = self.h.wrapping_add(1);
        }
        Ok(e)
    }
    /// XEP-0198: the answer to `<r/>`, if this stanza is one
    pub fn sm_answer(&self, r: &Range<usize>) -> Option<String> {
        (self.sm && xml::name(&self.buf[r.clone()]) == b"r").then(|| self.sm_ack())
    }
    /// XEP-0198: how much has come
    pub fn sm_ack(&self) -> String {
        format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", self.h)
    }
    pub fn bytes(&self, r: &Range<usize>) -> &[u8] {
        &self.buf[r.clone()]
    }
    /// read more; false at the end of the stream (safe to cancel)
    pub async fn fill(&mut self) -> R<bool> {
        let k = self.sc.keep();
        if k > 0 {
            if k == self.buf.len() {
                self.buf.clear();
            } else {
                self.buf.drain(..k);
            }
            self.sc.shift(k);
        }
        if self.buf.capacity() - self.buf.len() < CHUNK {
            self.buf.reserve(CHUNK.max(self.buf.len()));
        }
        let n = match &mut self.io {
            Io::Plain(t) => t.read_buf(&mut self.buf).await,
            Io::Tls(t) => t.read_buf(&mut self.buf).await,
            Io::Gone => return Ok(false),
        };
        match n {
            Ok(0) => Ok(false),
            Ok(_) => Ok(true),
            Err(e) => match e.kind() {
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => {
                    Ok(false)
                }
                _ => Err(format!("read: {e}")),
            },
        }
    }
    /// next event; None at the end (safe to cancel)
    pub async fn next(&mut self) -> R<Option<Ev>> {
        loop {
            if let Some(e) = self.try_next()? {
                return Ok(Some(e));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }
    /// next stanza, or an error when the stream ends
    pub async fn stanza(&mut self) -> R<Range<usize>> {
        loop {
            match self.next().await? {
                Some(Ev::Stanza(r)) => {
                    if self.buf[r.clone()].starts_with(b"<stream:error") {
                        return Err(format!(
                            "stream error: {}",
                            String::from_utf8_lossy(&self.buf[r])
                        ));
                    }
                    return Ok(r);
                }
                Some(Ev::Open(_)) => {}
                Some(Ev::Close) => return Err("the server closed the stream".into()),
                None => return Err("the server closed the connection".into()),
            }
        }
    }
    /// one IQ and its answer; other stanzas that come in between are dropped
    pub async fn iq(
        &mut self,
        cx: &Ctx,
        typ: &str,
        to: Option<&str>,
        id: &str,
        payload: &str,
    ) -> R<Vec<u8>> {
        let to = to.map(|t| format!(" to='{t}'")).unwrap_or_default();
        self.send(format!("<iq type='{typ}' id='{id}'{to}>{payload}</iq>").as_bytes()).await?;
        let f = async {
            loop {
                let r = self.stanza().await?;
                let b = self.bytes(&r);
                if xml::name(b) == b"iq"
                    && xml::attr(b, "id") == Some(id)
                    && matches!(xml::attr(b, "type"), Some("result") | Some("error"))
                {
                    return Ok(b.to_vec());
                }
            }
        };
        match tokio::time::timeout(cx.timeout, f).await {
            Ok(r) => r,
            Err(_) => Err(format!("iq {id} timed out")),
        }
    }
    /// the connection is gone, and the stream has no end
    pub fn cut(&mut self) {
        self.io = Io::Gone;
    }
    pub async fn close(mut self, cx: &Ctx) -> R<()> {
        // what is not acknowledged would come again (XEP-0198 section 4)
        let mut last = if self.sm { self.sm_ack() } else { String::new() };
        last.push_str("</stream:stream>");
        self.send(last.as_bytes()).await?;
        let f = async {
            loop {
                match self.next().await {
                    Ok(Some(Ev::Close)) | Ok(None) => return Ok(()),
                    Ok(Some(Ev::Stanza(r))) => {
                        let b = self.bytes(&r);
                        if xml::name(b) == b"message" && xml::text(b, "body").is_some() {
                            return Err(format!(
                                "a message nobody expected: {}",
                                String::from_utf8_lossy(b)
                            ));
                        }
                    }
                    Ok(Some(Ev::Open(_))) => {}
                    Err(e) => return Err(e),
                }
            }
        };
        let r: R<()> = match tokio::time::timeout(cx.timeout, f).await {
            Ok(r) => r,
            Err(_) => Err("close timed out".into()),
        };
        r
    }
}
