//! The bytes of a connection: a socket, with or without TLS on it.
//!
//! TLS is fed by hand, record by record, so that a connection can be handed over between two turns.
//! Reads go through one buffer a thread: an idle connection has none of its own.

use super::{
    socket::Socket,
    tls::{TlsAcceptor, facts},
};
use crate::session::{out::Out, state::Tls};
use rustls::ServerConnection;
use std::{
    cell::RefCell,
    io::{self, Read, Write},
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::ReadBuf;

/// Size of the read buffers: the largest TLS record fits.
const READ: usize = 17 << 10;
/// Encrypted bytes that may wait inside the TLS layer.
const TLS_PENDING: usize = 64 << 10;

thread_local! {
    static RAW: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
    static PLAIN: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// What the other side sent.
#[derive(Debug)]
pub(super) enum Got<'a> {
    /// Bytes, decrypted.
    Bytes(&'a [u8]),
    /// The handshake is done.
    Secured(Tls),
}

struct Layer {
    tls: ServerConnection,
    acceptor: Arc<TlsAcceptor>,
    /// The host that the client has named before.
    host: Option<Arc<str>>,
    shaking: bool,
}

/// A socket with or without TLS.
pub(super) struct Transport {
    socket: Socket,
    layer: Option<Box<Layer>>,
}

/// The socket as `std::io` wants it; `WouldBlock` instead of waiting.
struct Now<'a>(&'a mut Socket);

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, layer: None }
    }

    /// Begins the server's side of a TLS handshake with a client that wants `host`.
    pub(super) fn start_tls(
        &mut self,
        acceptor: Arc<TlsAcceptor>,
        host: Option<Arc<str>>,
    ) -> io::Result<()> {
        let config = acceptor.config(host.as_deref());
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(TLS_PENDING));
        self.layer = Some(Box::new(Layer { tls, acceptor, host, shaking: true }));
        Ok(())
    }

    /// Whether a TLS handshake is under way.
    pub(super) fn is_shaking(&self) -> bool {
        self.layer.as_ref().is_some_and(|l| l.shaking)
    }

    /// Waits for bytes, and hands them to `sink`. Returns how many came over the wire, 0 at the end.
    /// Can be cancelled without loss.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut sink: impl FnMut(Got<'_>),
    ) -> Poll<io::Result<usize>> {
        RAW.with_borrow_mut(|raw| {
            let mut buf = ReadBuf::new(raw);
            // like this tokio learns from a short read that the socket is empty now
            ready!(self.socket.poll_read(cx, &mut buf))?;
            let bytes = buf.filled();
            match &mut self.layer {
                None if bytes.is_empty() => {}
                None => sink(Got::Bytes(bytes)),
                Some(layer) => {
                    let result = layer.decrypt(bytes, &mut sink);
                    if result.is_err() {
                        // the alert that says why
                        drop(layer.tls.write_tls(&mut Now(&mut self.socket)));
                    }
                    if result? {
                        return Poll::Ready(Ok(0));
                    }
                }
            }
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// Writes as much of `out` as the socket takes now; what is written is removed. Whether there is
    /// more to write.
    pub(super) fn write(&mut self, out: &mut Out) -> io::Result<bool> {
        let Some(layer) = &mut self.layer else {
            let mut done = 0;
            while let Some(rest) = out.bytes().get(done..).filter(|r| !r.is_empty()) {
                match self.socket.try_write(rest) {
                    Ok(n) => done += n,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(e),
                }
            }
            out.sent(done);
            return Ok(!out.is_empty());
        };
        loop {
            if !layer.shaking && !out.is_empty() {
                let n = layer.tls.writer().write(out.bytes())?;
                out.sent(n);
            }
            if !layer.tls.wants_write() {
                return Ok(!layer.shaking && !out.is_empty());
            }
            match layer.tls.write_tls(&mut Now(&mut self.socket)) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) => return Err(e),
            }
        }
    }

    /// Bytes that came before TLS began but belong to it.
    pub(super) fn feed_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.layer {
            Some(layer) => layer.decrypt(bytes, &mut |_| ()).map(drop),
            None => Ok(()),
        }
    }

    /// Waits until the socket takes bytes again.
    pub(super) async fn writable(&mut self) {
        self.socket.writable().await;
    }

    /// Says that nothing more will be sent.
    pub(super) async fn shut_down(&mut self) {
        if let Some(layer) = &mut self.layer {
            layer.tls.send_close_notify();
            drop(layer.tls.write_tls(&mut Now(&mut self.socket)));
        }
        self.socket.shut_down().await;
    }
}

impl Layer {
    /// Decrypts what came; whether the other side said that nothing more will come.
    fn decrypt(&mut self, mut wire: &[u8], sink: &mut impl FnMut(Got<'_>)) -> io::Result<bool> {
        if wire.is_empty() {
            return Ok(true);
        }
        while !wire.is_empty() {
            self.tls.read_tls(&mut wire)?;
            let state = self
                .tls
                .process_new_packets()
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            if self.shaking && !self.tls.is_handshaking() {
                self.shaking = false;
                sink(Got::Secured(facts(&self.tls, &self.acceptor, self.host.as_deref())));
            }
            let mut left = state.plaintext_bytes_to_read();
            while left > 0 {
                left -= PLAIN
                    .with_borrow_mut(|plain| {
                        let n = self.tls.reader().read(plain)?;
                        sink(Got::Bytes(plain.get(..n).unwrap_or_default()));
                        io::Result::Ok(n.max(1))
                    })?
                    .min(left);
            }
            if state.peer_has_closed() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
