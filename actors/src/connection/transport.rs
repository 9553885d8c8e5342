//! The bytes of a connection: a socket, with or without TLS on it.
//!
//! Reads go through one buffer a thread, and records are opened in it: an idle connection has none of its own.

use super::socket::Socket;
use crate::session::{out::Out, state::Tls};
use std::{
    cell::RefCell,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tls::{Acceptor, Channel, Facts, Got};
use tokio::{io::ReadBuf, time::Instant};
use xmpp::jid::ascii_domain;

/// Size of the read buffer: the largest TLS record fits.
const READ: usize = 17 << 10;

thread_local! {
    static RAW: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// A socket with or without TLS.
pub(super) struct Transport {
    socket: Socket,
    tls: Option<Box<Channel>>,
    /// The other side has said, in TLS, that nothing more will come.
    ended: bool,
}

impl From<Facts> for Tls {
    fn from(facts: Facts) -> Self {
        let Facts { exporter, end_point, sni, .. } = facts;
        Self { exporter: exporter.map(Vec::from), end_point, sni }
    }
}

impl Transport {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, tls: None, ended: false }
    }

    /// Begins the server's side of a TLS handshake with a client that wants `host`.
    pub(super) fn start_tls(
        &mut self,
        acceptor: &Arc<Acceptor>,
        host: Option<&str>,
    ) -> io::Result<()> {
        let channel = Channel::accept(Arc::clone(acceptor), host.and_then(ascii_domain));
        self.tls = Some(Box::new(channel.map_err(io::Error::other)?));
        Ok(())
    }

    /// Whether a TLS handshake is under way.
    pub(super) fn is_shaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_shaking())
    }

    /// Waits for bytes, and hands them to `sink`. Returns how many came over the wire, 0 at the end: of TLS too, but not
    /// before what came with it is looked at. Can be cancelled without loss.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut sink: impl FnMut(Got<'_>),
    ) -> Poll<io::Result<usize>> {
        if self.ended {
            self.close();
            return Poll::Ready(Ok(0));
        }
        RAW.with_borrow_mut(|raw| {
            let mut buf = ReadBuf::new(raw);
            // like this tokio learns from a short read that the socket is empty now
            ready!(self.socket.poll_read(cx, &mut buf))?;
            let bytes = buf.filled_mut();
            let len = bytes.len();
            if len > 0 && self.tls.is_none() {
                sink(Got::Bytes(bytes));
            } else if len > 0 {
                self.ended = self.open(bytes, sink)?;
            }
            Poll::Ready(Ok(len))
        })
    }

    /// Opens what came; whether the other side said that nothing more will come.
    fn open(&mut self, bytes: &mut [u8], sink: impl FnMut(Got<'_>)) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(false) };
        let opened = tls.read(bytes, Instant::now().into_std(), sink);
        opened.map_err(|error| {
            // the alert that says why
            drop(self.flush());
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    /// Writes as much of `out` as the socket takes now; what is written is removed. Whether there is
    /// more to write.
    pub(super) fn write(&mut self, out: &mut Out) -> io::Result<bool> {
        loop {
            if let Some(tls) = &mut self.tls {
                if !out.is_empty() {
                    let sealed = tls.write(out.bytes(), Instant::now().into_std());
                    out.sent(sealed.map_err(|e| io::Error::new(io::ErrorKind::BrokenPipe, e))?);
                }
                if !self.flush()? {
                    return Ok(true);
                }
                if out.is_empty() || self.is_shaking() {
                    return Ok(false);
                }
            } else if out.is_empty() {
                return Ok(false);
            } else {
                match self.socket.try_write(out.bytes()) {
                    Ok(n) => out.sent(n),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                    Err(e) => return Err(e),
                }
            }
        }
    }

    /// Writes what is sealed; whether that is all.
    fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while !tls.unsent().is_empty() {
            match self.socket.try_write(tls.unsent()) {
                Ok(n) => tls.sent(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// Bytes that came before TLS began but belong to it.
    pub(super) fn feed_raw(&mut self, mut bytes: Vec<u8>) -> io::Result<()> {
        self.ended = self.open(&mut bytes, |_| ())?;
        Ok(())
    }

    /// Waits until the socket takes bytes again.
    pub(super) async fn writable(&mut self) {
        self.socket.writable().await;
    }

    /// Says that nothing more will be sent.
    pub(super) async fn shut_down(&mut self) {
        self.close();
        self.socket.shut_down().await;
    }

    /// Says it in TLS, as far as the socket takes it.
    fn close(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close();
            drop(self.flush());
        }
    }
}
