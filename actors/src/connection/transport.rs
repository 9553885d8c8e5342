//! The bytes of a connection: a socket, with or without TLS on it.
//!
//! Reads go through one buffer a thread, and records are opened in it: an idle connection has none of its own.

use super::socket::Socket;
use crate::{
    driver::Written,
    session::{out::Out, state::Tls},
};
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
    /// How TLS has ended, once what came before that is looked at: the other side has said so, or cannot go on.
    end: Option<io::Result<()>>,
}

impl From<Facts> for Tls {
    fn from(facts: Facts) -> Self {
        let Facts { exporter, end_point, sni, .. } = facts;
        Self { exporter: exporter.map(Vec::from), end_point, sni }
    }
}

impl Transport {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, tls: None, end: None }
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

    /// Waits for bytes, and hands them to `sink`. Returns how many came over the wire, 0 at the end. An end or an error of
    /// TLS does not come before what it came with is looked at: then nothing is read. Can be cancelled without loss.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut sink: impl FnMut(Got<'_>),
    ) -> Poll<io::Result<usize>> {
        if let Some(end) = &mut self.end {
            let end = std::mem::replace(end, Ok(()));
            self.close();
            return Poll::Ready(end.map(|()| 0));
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
                self.open(bytes, sink)?;
            }
            Poll::Ready(Ok(len))
        })
    }

    /// Opens what came. Without a handshake there is nothing to look at before its error.
    fn open(&mut self, bytes: &mut [u8], mut sink: impl FnMut(Got<'_>)) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let mut secured = !tls.is_shaking();
        let read = tls.read(bytes, Instant::now().into_std(), |got| {
            secured |= matches!(got, Got::Secured(_));
            sink(got);
        });
        match read {
            Ok(closed) => self.end = closed.then_some(Ok(())),
            Err(error) => {
                // the alert that says why
                drop(self.flush());
                let error = io::Error::new(io::ErrorKind::InvalidData, error);
                if !secured {
                    return Err(error);
                }
                self.end = Some(Err(error));
            }
        }
        Ok(())
    }

    /// Writes as much of `out` as the socket takes now; what is written is removed. After an error of TLS all of it is: what
    /// came before is handled without being answered.
    pub(super) fn write(&mut self, out: &mut Out) -> io::Result<Written> {
        if let Some(Err(_)) = self.end {
            drop(out.take());
        }
        let mut moved = false;
        loop {
            let Some(tls) = &mut self.tls else {
                if out.is_empty() {
                    return Ok(Written::All);
                }
                match self.socket.try_write(out.bytes()) {
                    Ok(n) => out.sent(n),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        return Ok(Written::blocked(moved));
                    }
                    Err(e) => return Err(e),
                }
                moved = true;
                continue;
            };
            if !out.is_empty() {
                let sealed = tls.write(out.bytes(), Instant::now().into_std());
                out.sent(sealed.map_err(|e| io::Error::new(io::ErrorKind::BrokenPipe, e))?);
            }
            let before = tls.unsent().len();
            let all = self.flush()?;
            moved |= self.unsent() < before;
            if !all {
                return Ok(Written::blocked(moved));
            }
            if out.is_empty() || self.is_shaking() {
                return Ok(Written::All);
            }
        }
    }

    fn unsent(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.unsent().len())
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
        self.open(&mut bytes, |_| ())
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
