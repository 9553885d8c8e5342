//! The operator's side of the socket; or, when the node is down, its stores without a socket.

use super::{
    commands::{self, ROWS},
    protocol::{Done, LONGEST, Refusal, Reply, Request, Row},
};
use crate::node::Node;
use std::{io, path::Path};
use thiserror::Error;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::mpsc,
};

/// Why a request was not done.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
    /// The node says so.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The connection to the node broke.
    #[error("the connection to the node broke: {0}")]
    Lost(#[from] io::Error),
    /// What the node answers makes no sense.
    #[error("the node seems to be of another version than this program: {0}")]
    Strange(#[from] serde_json::Error),
}

/// Whom to ask.
#[derive(Debug)]
pub enum Client {
    /// A running node.
    Socket(Box<BufReader<UnixStream>>),
    /// A node that is down.
    Offline(Node),
}

impl Client {
    /// Connects to a running node.
    ///
    /// # Errors
    /// When none answers there.
    pub async fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self::Socket(Box::new(BufReader::new(UnixStream::connect(socket).await?))))
    }

    /// The process of the running node.
    pub fn pid(&self) -> Option<i32> {
        match self {
            Self::Socket(stream) => stream.get_ref().peer_cred().ok()?.pid(),
            Self::Offline(_) => None,
        }
    }

    /// Asks, and hands every row over as it comes.
    ///
    /// # Errors
    /// See [`AskError`]; rows may have come before.
    pub async fn ask(
        &mut self,
        request: Request,
        mut each: impl FnMut(Row),
    ) -> Result<Done, AskError> {
        match self {
            Self::Socket(stream) => {
                let mut line = serde_json::to_vec(&request)?;
                line.push(b'\n');
                stream.get_mut().write_all(&line).await?;
                loop {
                    line.clear();
                    let mut limited = (&mut **stream).take(LONGEST as u64);
                    limited.read_until(b'\n', &mut line).await?;
                    if !line.ends_with(b"\n") {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    match serde_json::from_slice(&line)? {
                        Reply::Row(row) => each(row),
                        Reply::Done(done) => return Ok(done),
                        Reply::Error(refusal) => return Err(AskError::Refused(refusal)),
                    }
                }
            }
            Self::Offline(node) => {
                let (sender, mut rows) = mpsc::channel(ROWS);
                let work = commands::run(request, node.shared(), sender);
                let read = async {
                    while let Some(row) = rows.recv().await {
                        each(row);
                    }
                };
                tokio::join!(work, read).0.map_err(AskError::Refused)
            }
        }
    }

    /// The rows of an answer.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn rows(&mut self, request: Request) -> Result<(Vec<Row>, Done), AskError> {
        let mut rows = Vec::new();
        let done = self.ask(request, |row| rows.push(row)).await?;
        Ok((rows, done))
    }

    /// Ends it; what was done offline is on the disk then.
    pub async fn close(self) {
        if let Self::Offline(node) = self {
            node.stop().await;
        }
    }
}
