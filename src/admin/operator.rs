//! An operator's connection: a process that reads requests, one after the other, and writes what
//! they are answered.

use super::{
    commands::{self, ROWS},
    protocol::{LONGEST, Refusal, Reply, Request},
};
use crate::node::shared::Shared;
use actors::accept::{Progress, Stage};
use std::{convert::Infallible, fmt, io, sync::Arc, time::Duration};
use supervision::{Cx, Exit, InitError, Process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf, UCred},
    },
    sync::mpsc,
};

/// How long an operator may say nothing.
const IDLE: Duration = Duration::from_secs(600);
/// How long an operator may read nothing.
const STALL: Duration = Duration::from_secs(30);

/// The process of an operator.
pub(super) struct Operator {
    reader: BufReader<OwnedReadHalf>,
    writer: BufWriter<OwnedWriteHalf>,
    who: UCred,
    node: Arc<Shared>,
    /// While a command is worked on.
    progress: Progress,
    line: Vec<u8>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operator({:?})", self.who)
    }
}

impl Process for Operator {
    type Args = ((UnixStream, UCred), Arc<Shared>, Progress);
    type Msg = Infallible;
    const NAME: &'static str = "operator";
    const INBOX: usize = 1;

    async fn init(
        ((stream, who), node, progress): Self::Args,
        cx: &mut Cx<Infallible>,
    ) -> Result<Self, InitError> {
        cx.trap_exit(true);
        cx.publish(&format!("uid {}", who.uid()));
        let (reader, writer) = stream.into_split();
        let (reader, writer) = (BufReader::new(reader), BufWriter::new(writer));
        Ok(Self { reader, writer, who, node, progress, line: Vec::new() })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let progress = self.progress.clone();
        tokio::select! {
            biased;
            reason = progress.ended(cx) => reason,
            served = self.serve() => {
                if let Err(error) = served {
                    tracing::debug!(%error, "an operator's connection is lost");
                }
                Exit::Normal
            }
        }
    }
}

impl Operator {
    async fn serve(&mut self) -> io::Result<()> {
        while self.read_line().await? {
            let line = std::mem::take(&mut self.line);
            match serde_json::from_slice::<Request>(&line) {
                Ok(request) => {
                    self.progress.set(Stage::Settled);
                    self.answer(request).await?;
                    self.progress.set(Stage::Waiting);
                }
                Err(error) => {
                    let refusal = Refusal::new(format!("not a request: {error}"));
                    self.write(&Reply::Error(refusal)).await?;
                }
            }
            self.flush().await?;
        }
        Ok(())
    }

    /// The next line, into `self.line`; `false` at the end.
    async fn read_line(&mut self) -> io::Result<bool> {
        let read = async {
            loop {
                let bytes = self.reader.fill_buf().await?;
                if bytes.is_empty() {
                    return Ok(false);
                }
                let end = bytes.iter().position(|b| *b == b'\n');
                let taken = end.map_or(bytes.len(), |i| i + 1);
                self.line.extend_from_slice(bytes.get(..taken).unwrap_or_default());
                self.reader.consume(taken);
                if self.line.len() > LONGEST {
                    return Err(io::Error::other("the line is too long"));
                }
                if end.is_some() {
                    return Ok(true);
                }
            }
        };
        tokio::time::timeout(IDLE, read).await.unwrap_or(Ok(false))
    }

    async fn answer(&mut self, request: Request) -> io::Result<()> {
        self.audit(&request);
        let node = Arc::clone(&self.node);
        let (sender, mut rows) = mpsc::channel(ROWS);
        let mut work = Box::pin(commands::run(request, &node, sender));
        let result = loop {
            tokio::select! {
                biased;
                Some(row) = rows.recv() => self.write(&Reply::Row(row)).await?,
                result = &mut work => break result,
            }
        };
        while let Ok(row) = rows.try_recv() {
            self.write(&Reply::Row(row)).await?;
        }
        let last = match result {
            Ok(done) => Reply::Done(done),
            Err(refusal) => Reply::Error(refusal),
        };
        self.write(&last).await
    }

    /// What changes something is noted, and who reads a message, with who wanted it.
    fn audit(&self, request: &Request) {
        let (uid, pid) = (self.who.uid(), self.who.pid());
        match request {
            Request::Kick { jid } => tracing::info!(uid, pid, jid = jid.as_str(), "kick"),
            Request::AccountAdd { accounts } => {
                tracing::info!(uid, pid, count = accounts.len(), "account add");
            }
            Request::AccountPasswd { account } => {
                tracing::info!(uid, pid, jid = account.jid.as_str(), "account passwd");
            }
            Request::AccountRemove { jid } => {
                tracing::info!(uid, pid, jid = jid.as_str(), "account remove");
            }
            Request::QuarantineShow { id } => tracing::info!(uid, pid, id, "quarantine show"),
            Request::QuarantineRelease { id } => tracing::info!(uid, pid, id, "quarantine release"),
            Request::QuarantineDrop { id } => tracing::info!(uid, pid, id, "quarantine drop"),
            Request::RegistryCheck { fix: true, .. } => {
                tracing::info!(uid, pid, "registry check --fix");
            }
            Request::RegistryRebuild {} => tracing::info!(uid, pid, "registry rebuild"),
            Request::On { node, request } => {
                tracing::info!(uid, pid, node, "what follows is asked of other nodes");
                self.audit(request);
            }
            Request::Drain { drains: true } => tracing::info!(uid, pid, "node drain"),
            Request::Drain { drains: false } => tracing::info!(uid, pid, "node undrain"),
            Request::Stop {} => tracing::info!(uid, pid, "stop"),
            Request::Tree {}
            | Request::Ps { .. }
            | Request::CrashList { .. }
            | Request::CrashShow { .. }
            | Request::Sessions { .. }
            | Request::AccountList { .. }
            | Request::QuarantineList { .. }
            | Request::StoreStatus {}
            | Request::StoreCheck { .. }
            | Request::Nodes { .. }
            | Request::RegistryStats {}
            | Request::RegistryGet { .. }
            | Request::RegistryCheck { .. }
            | Request::Route { .. }
            | Request::Hosts {} => {}
        }
    }

    async fn write(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        tokio::time::timeout(STALL, self.writer.write_all(&line)).await?
    }

    async fn flush(&mut self) -> io::Result<()> {
        tokio::time::timeout(STALL, self.writer.flush()).await?
    }
}
