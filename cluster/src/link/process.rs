//! The process of one link: it sends what waits, hands on what comes, and notices when nothing comes any more.

use super::{
    batch::{self, Beat, Head},
    hello::Hello,
    hub::{Batch, Claimed, Session, Shared, Token},
    line::Line,
};
use ractor::ActorRef;
use std::{sync::Arc, time::Duration};
use supervision::{
    Cx, Event, Exit, InitError, Node, Process,
    dist::{Class, Connection, Transport},
};
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};

/// The pool of links.
pub(super) const POOL: &str = "cluster.links";

/// How long the other node has to hear of the end.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a link is told.
pub(super) enum Told {
    Batch(Vec<u8>),
    /// ractor_cluster's connection has ended.
    Lost(String),
}

/// What a link begins with.
pub(super) struct Begin {
    pub(super) shared: Arc<Shared>,
    pub(super) claim: Claimed,
    pub(super) token: Token,
    /// Open as long as the link.
    pub(super) _session: Session,
    pub(super) gateway: ActorRef<Batch>,
    pub(super) theirs: Hello,
}

/// What it has of the other node's messages, to be given back as credit.
#[derive(Clone, Copy, Default)]
struct Taken {
    messages: u64,
    bytes: u64,
}

pub(super) struct Link {
    begin: Begin,
    node: Node,
    line: Arc<Line>,
    connection: Option<Connection>,
    began: Instant,
    heard: Instant,
    next_beat: Instant,
    /// Batches sent, and received.
    sent: u64,
    received: u64,
    taken: Taken,
    /// What the other node knows of that.
    told: Taken,
    /// Their last beat, and when it came.
    beat: Option<(u64, Instant)>,
    why: Option<String>,
    /// The other node knows that it has ended, or is not there any more.
    over: bool,
}

impl Process for Link {
    type Args = Begin;
    type Msg = Told;
    const NAME: &'static str = "link";
    const INBOX: usize = 65_536;

    async fn init(begin: Begin, cx: &mut Cx<Told>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let (shared, theirs) = (&begin.shared, &begin.theirs);
        let node = theirs.node;
        let line = Arc::new(Line::new(theirs.program.clone(), theirs.credit));
        if !begin.claim.up(theirs.creation, cx.pid()) {
            return Err(InitError::failed("the other node's connection goes on"));
        }
        let transport: Arc<dyn Transport> = Arc::<Line>::clone(&line);
        let connection = shared
            .system
            .connect(node, theirs.creation, transport)
            .map_err(|error| InitError::failed(error.to_string()))?;
        shared.lines.lock().insert(node, Arc::clone(&line));
        shared.note(node, |state| state.ups += 1);
        tracing::info!(%node, program = theirs.program, "linked");
        cx.publish(&format!("to {node}"));
        let now = Instant::now();
        let mut link = Self {
            node,
            line,
            connection: Some(connection),
            began: now,
            heard: now,
            next_beat: now,
            sent: 0,
            received: 0,
            taken: Taken::default(),
            told: Taken::default(),
            beat: None,
            why: None,
            over: false,
            begin,
        };
        for batch in link.begin.token.begin(cx.me()) {
            link.takes(&batch);
        }
        Ok(link)
    }

    async fn run(&mut self, cx: &mut Cx<Told>) -> Exit {
        while self.why.is_none() {
            let line = Arc::clone(&self.line);
            tokio::select! {
                biased;
                event = cx.next() => match event {
                    Event::Msg(Told::Batch(batch)) => self.takes(&batch),
                    Event::Msg(Told::Lost(why)) => {
                        self.over = true;
                        self.ends(&why);
                    }
                    Event::Exit { from, reason } if cx.is_parent(&from) => return reason,
                    Event::Exit { .. } | Event::Down { .. } => {}
                },
                () = line.ready.notified() => {
                    // those who run now may have more for the same batch
                    yield_now().await;
                    self.flush();
                }
                () = sleep_until(self.next_beat) => self.beats(),
            }
        }
        Exit::Normal
    }

    /// The other node hears why, and closes the connection.
    async fn terminate(&mut self, exit: &Exit, cx: &mut Cx<Told>) {
        let why = self.why.clone().unwrap_or_else(|| format!("the link was stopped: {exit}"));
        self.send(Some(why.clone()), None);
        self.lost(&why);
        let closed =
            async { while !self.over && !matches!(cx.next().await, Event::Msg(Told::Lost(_))) {} };
        // an error: it does not
        drop(timeout(PATIENCE, closed).await);
    }
}

impl Link {
    fn ends(&mut self, why: &str) {
        self.why.get_or_insert_with(|| why.to_owned());
    }

    /// A batch has come.
    fn takes(&mut self, batch: &[u8]) {
        let Some((head, frames)) = batch::read(batch) else {
            return self.ends("a batch is malformed");
        };
        if head.number != self.received {
            return self.ends("a batch is missing");
        }
        self.received += 1;
        self.heard = Instant::now();
        if !self.line.credit(head.taken) {
            return self.ends("more was taken than was sent");
        }
        if let Some(beat) = head.beat {
            self.beat = Some((beat.at, self.heard));
            if let Some((at, held)) = beat.echo {
                let there = self.clock().saturating_sub(at).saturating_sub(held);
                self.line.measured(Duration::from_micros(there));
            }
        }
        for frame in frames {
            let Ok((class, frame)) = frame else {
                return self.ends("a batch is malformed");
            };
            self.line.received(frame.len());
            if class == Class::Message {
                self.taken.messages += 1;
                self.taken.bytes += frame.len() as u64;
            }
            if let Some(connection) = &mut self.connection
                && let Err(error) = connection.receive(frame)
            {
                return self.ends(&error.to_string());
            }
        }
        if let Some(why) = head.closing {
            self.over = true;
            return self.ends(&format!("the other node has closed it: {why}"));
        }
        // of what the other node may send, half is used up by what it does not know yet
        let credit = &self.begin.shared.options.credit;
        let (messages, bytes) =
            (self.taken.messages - self.told.messages, self.taken.bytes - self.told.bytes);
        if messages * 2 >= u64::from(credit.messages) || bytes * 2 >= credit.bytes {
            self.send(None, None);
        }
    }

    /// Microseconds since the link began.
    fn clock(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Sends what waits.
    fn flush(&mut self) {
        if let Some(why) = self.line.closed() {
            return self.ends(&why);
        }
        loop {
            let frames = self.line.next();
            if frames.is_empty() {
                return;
            }
            self.batch(None, None, &frames);
        }
    }

    fn beats(&mut self) {
        let options = &self.begin.shared.options;
        let (beat, deadline) = (options.beat, options.deadline);
        self.next_beat = Instant::now() + beat;
        if self.heard.elapsed() > deadline {
            return self.ends(&format!("nothing was heard for {deadline:?}"));
        }
        let held = |came: Instant| u64::try_from(came.elapsed().as_micros()).unwrap_or(u64::MAX);
        let echo = self.beat.take().map(|(at, came)| (at, held(came)));
        self.send(None, Some(Beat { at: self.clock(), echo }));
    }

    /// A batch without frames.
    fn send(&mut self, closing: Option<String>, beat: Option<Beat>) {
        self.batch(closing, beat, &[]);
    }

    fn batch(
        &mut self,
        closing: Option<String>,
        beat: Option<Beat>,
        frames: &[(Class, bytes::Bytes)],
    ) {
        self.told = self.taken;
        let taken = (self.taken.messages, self.taken.bytes);
        let (token, number) = (self.begin.theirs.token, self.sent);
        self.sent += 1;
        let written = batch::write(&Head { token, number, taken, beat, closing }, frames);
        let sent = written.map(|batch| self.begin.gateway.cast(Batch(batch)));
        if !matches!(sent, Ok(Ok(()))) {
            self.ends("the connection has ended");
        }
    }

    fn lost(&mut self, why: &str) {
        let Some(connection) = self.connection.take() else { return };
        self.line.close(why);
        connection.lost(why);
        let (shared, node) = (&self.begin.shared, self.node);
        let mut lines = shared.lines.lock();
        if lines.get(&node).is_some_and(|line| Arc::ptr_eq(line, &self.line)) {
            lines.remove(&node);
        }
        drop(lines);
        shared.note(node, |state| state.error = Some(why.to_owned()));
        tracing::info!(%node, why, "the link is down");
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.lost("the process of the link has ended");
    }
}
