//! Both ends of a connection without a socket: the server's [`Link`], and what the client hears.

use super::{good, script};
use crate::{
    driver::{Driver, LAST_JOBS, Wait, Woken, Written},
    env::Env,
    handover::Thaw,
    session::{
        out::{Dialect, Out},
        state::{Conn, Tls},
        turn::FrozenTurn,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque, convert::Infallible, future::poll_fn, pin::pin, sync::Arc, task::Poll,
};
use tls::{
    Channel, FrozenChannel, Got,
    testkit::{Client, take},
};
use tokio::time::{Instant, sleep};
use xmpp::{
    Element,
    error::StreamError,
    framer::{Event, Framer, Limits},
    ns, work,
};

/// What a server sent to one client.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Said {
    bytes: Vec<u8>,
    eof: bool,
}

impl Said {
    /// Takes what is written, through what there is of TLS.
    fn take(&mut self, mut plain: &[u8], channel: Option<&mut Channel>) {
        let Some(channel) = channel else { return self.bytes.extend(plain) };
        loop {
            let written = good(channel.write(plain, Instant::now().into_std()));
            self.bytes.extend(take(channel));
            plain = plain.get(written..).unwrap_or_default();
            if plain.is_empty() {
                return;
            }
        }
    }

    /// The server ends the connection.
    fn end(&mut self, channel: Option<&mut Channel>) {
        if let Some(channel) = channel {
            channel.close();
            self.bytes.extend(take(channel));
        }
        self.eof = true;
    }

    /// What the client's TLS makes of it.
    pub(super) fn opened(&self, client: &mut Client) -> Self {
        let (bytes, closed) = good(client.open(&self.bytes));
        assert_eq!(closed, self.eof, "the end of TLS is the end of the connection");
        Self { bytes, eof: self.eof }
    }

    /// Whether the connection was closed.
    pub(super) fn is_over(&self) -> bool {
        self.eof
    }
}

/// The server's end: what a connection is without a socket.
#[derive(Debug)]
pub(super) struct Link {
    driver: Driver,
    /// What the bytes go through.
    channel: Option<Box<Channel>>,
}

/// A connection as another process goes on with it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrozenLink {
    turn: FrozenTurn,
    channel: Option<Box<FrozenChannel>>,
}

impl Link {
    /// A client connects; `tls`: what the session knows of TLS, otherwise it is not required. `channel`: what there is of it.
    pub(super) fn new(
        tls: Option<Tls>,
        channel: Option<Box<FrozenChannel>>,
        env: &Arc<Env>,
    ) -> Self {
        let peer = [127, 0, 0, 1].into();
        let (starttls, dialect) = (tls.is_none(), Dialect::Document);
        let conn = Conn { peer, starttls, tls_required: false, tls, dialect };
        let driver = Driver::new(conn, env, Instant::now());
        Self { driver, channel: channel.map(thawed) }
    }

    /// A connection that comes from another process.
    pub(super) async fn thaw(frozen: FrozenLink, thaw: &mut Thaw<'_>) -> Self {
        let FrozenLink { turn, channel } = frozen;
        Self { driver: thaw.driver(turn).await, channel: channel.map(thawed) }
    }

    /// The connection as bytes can carry it; `None`: it has something to do, or cannot move.
    pub(super) fn freeze(&mut self) -> Option<FrozenLink> {
        let now = Instant::now();
        let turn = self.driver.freeze(now)?;
        let channel = match self.channel.take() {
            Some(channel) => Some(Box::new(channel.freeze(now.into_std())?)),
            None => None,
        };
        Some(FrozenLink { turn, channel })
    }

    /// Bytes come off the wire.
    pub(super) fn feed(&mut self, bytes: &mut [u8]) {
        let Self { driver, channel } = self;
        let Some(channel) = channel else { return driver.feed(bytes) };
        let sink = |got: Got<'_>| {
            if let Got::Bytes(plain) = got {
                driver.feed(plain);
            }
        };
        good(channel.read(bytes, Instant::now().into_std(), sink));
    }

    /// When a timer goes off next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.driver.deadline()
    }

    /// Does what is due.
    pub(super) fn time(&mut self) {
        good(self.driver.time(Instant::now()));
    }

    /// The connection breaks.
    pub(super) async fn cut(mut self) {
        self.driver.leave(sleep(LAST_JOBS)).await;
    }

    /// One round; whether anything was done. It is not over before a job that is out is done.
    pub(super) async fn step(&mut self, said: &mut Said) -> bool {
        let Self { driver, channel } = self;
        let settled = driver.settle(Instant::now);
        let before = said.bytes.len();
        let write = |out: &mut Out| {
            said.take(&out.take(), channel.as_deref_mut());
            Ok::<_, Infallible>(Written::All)
        };
        let Ok(()) = driver.write(write, Instant::now);
        if driver.is_over() {
            driver.leave(sleep(LAST_JOBS)).await;
            said.end(channel.as_deref_mut());
            return true;
        }
        let written = said.bytes.len() > before;
        let working = driver.is_working();
        let woken = {
            let Wait { next, after, mut ear } = driver.wait();
            if settled.start_tls {
                ear.secured(Tls::default());
            }
            let mut next = pin!(next);
            poll_fn(|task| match next.as_mut().poll(task) {
                Poll::Ready(woken) => Poll::Ready(Some(woken)),
                Poll::Pending if working => Poll::Pending,
                Poll::Pending => Poll::Ready(after.then_some(Woken::Queue)),
            })
            .await
        };
        let woken = woken.map(|woken| driver.wake(woken));
        settled.start_tls || written || woken.is_some()
    }
}

fn thawed(frozen: Box<FrozenChannel>) -> Box<Channel> {
    Box::new(good(Channel::thaw(*frozen, Instant::now().into_std())))
}

/// The client's end: what it has received and not looked at.
#[derive(Debug)]
pub(super) struct Heard {
    framer: Framer,
    got: VecDeque<script::Got>,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self { framer: client_framer(), got: VecDeque::new() }
    }

    /// The next bytes begin a new stream.
    pub(super) fn restart(&mut self) {
        self.framer.restart();
    }

    pub(super) fn hear(&mut self, said: &Said) {
        good(receive(&mut self.framer, &said.bytes, &mut self.got));
        self.got.extend(said.eof.then_some(script::Got::Eof));
    }

    pub(super) fn next(&mut self) -> Option<script::Got> {
        self.got.pop_front()
    }
}

/// Cuts what a client receives into its parts.
///
/// # Errors
/// When the server did not send what a stream is made of.
pub fn receive(
    framer: &mut Framer,
    bytes: &[u8],
    got: &mut VecDeque<script::Got>,
) -> Result<(), StreamError> {
    framer.feed(bytes);
    while let Some(event) = framer.next()? {
        got.push_back(match event {
            Event::Open(header) => script::Got::Open(header),
            Event::Nonza(nonza) => script::Got::Element(nonza.element().clone()),
            Event::Stanza(stanza) => {
                let xml = stanza.to_xml();
                match Element::parse(xml.as_bytes(), ns::CLIENT) {
                    Some(element) => script::Got::Element(element),
                    None => continue,
                }
            }
            Event::Whitespace => continue,
            Event::Close => script::Got::Close,
        });
    }
    // what a client looks into is not the server's work
    work::take();
    Ok(())
}

/// A framer for the receiving side of a client.
pub fn client_framer() -> Framer {
    Framer::new(Limits {
        max_stanza: 64 << 20,
        max_depth: 1_000,
        max_attrs: 1_000,
        max_bindings: 127,
    })
}
