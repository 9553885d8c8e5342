//! What the bytes of a connection go over: a TCP socket, or in a test a pipe in memory.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
#[cfg(feature = "testkit")]
use {
    std::{future::poll_fn, task::Waker},
    tokio::io::{AsyncWrite, DuplexStream},
};

/// One end of a connection.
#[derive(Debug)]
pub enum Socket {
    /// A socket of the system.
    Tcp(TcpStream),
    /// A pipe in memory: bytes come in the order of the test's processes, and in its time.
    #[cfg(feature = "testkit")]
    Memory(DuplexStream),
}

impl Socket {
    /// Small stanzas must not wait for one another.
    pub(super) fn set_nodelay(&self) {
        match self {
            Self::Tcp(socket) => drop(socket.set_nodelay(true)),
            #[cfg(feature = "testkit")]
            Self::Memory(_) => {}
        }
    }

    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            #[cfg(feature = "testkit")]
            Self::Memory(pipe) => Pin::new(pipe).poll_read(cx, buf),
        }
    }

    /// Writes what fits now; `WouldBlock` instead of waiting.
    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bytes),
            #[cfg(feature = "testkit")]
            Self::Memory(pipe) => {
                let nobody = &mut Context::from_waker(Waker::noop());
                match Pin::new(pipe).poll_write(nobody, bytes) {
                    Poll::Ready(written) => written,
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                }
            }
        }
    }

    /// Waits until it takes bytes again. An error shows at the write.
    pub(super) async fn writable(&mut self) {
        match self {
            Self::Tcp(socket) => drop(socket.writable().await),
            #[cfg(feature = "testkit")]
            Self::Memory(pipe) => {
                drop(poll_fn(|cx| Pin::new(&mut *pipe).poll_write(cx, &[])).await);
            }
        }
    }

    /// Says that nothing more will be sent.
    pub(super) async fn shut_down(&mut self) {
        match self {
            Self::Tcp(socket) => drop(socket.shutdown().await),
            #[cfg(feature = "testkit")]
            Self::Memory(pipe) => drop(pipe.shutdown().await),
        }
    }
}

impl From<TcpStream> for Socket {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

#[cfg(feature = "testkit")]
impl From<DuplexStream> for Socket {
    fn from(pipe: DuplexStream) -> Self {
        Self::Memory(pipe)
    }
}
