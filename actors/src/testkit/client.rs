//! Both ends of a connection without a socket: the server's [`Link`], and what the client hears.

use super::{good, script::Got};
use crate::{
    driver::{Driver, LAST_JOBS, Wait, Woken},
    env::Env,
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
    /// Whether the connection was closed.
    pub(super) fn is_over(&self) -> bool {
        self.eof
    }
}

/// The server's end: what a connection is without a socket.
#[derive(Debug)]
pub(super) struct Link {
    driver: Driver,
}

impl Link {
    /// A client connects; `tls`: under TLS, otherwise it is not required.
    pub(super) fn new(tls: Option<Tls>, env: &Arc<Env>) -> Self {
        let peer = [127, 0, 0, 1].into();
        let (starttls, dialect) = (tls.is_none(), Dialect::Document);
        let conn = Conn { peer, starttls, tls_required: false, tls, dialect };
        Self { driver: Driver::new(conn, env, Instant::now()) }
    }

    /// A connection whose session comes from another process.
    pub(super) fn thawed(driver: Driver) -> Self {
        Self { driver }
    }

    /// The session as bytes can carry it; `None`: it has something to do.
    pub(super) fn freeze(&self) -> Option<FrozenTurn> {
        self.driver.freeze(Instant::now())
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.driver.feed(bytes);
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
        let driver = &mut self.driver;
        let settled = driver.settle(Instant::now);
        let before = said.bytes.len();
        let write = |out: &mut Out| {
            said.bytes.extend(out.take());
            Ok::<_, Infallible>(false)
        };
        let Ok(()) = driver.write(write, Instant::now);
        if driver.is_over() {
            driver.leave(sleep(LAST_JOBS)).await;
            said.eof = true;
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

/// The client's end: what it has received and not looked at.
#[derive(Debug)]
pub(super) struct Heard {
    framer: Framer,
    got: VecDeque<Got>,
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
        self.got.extend(said.eof.then_some(Got::Eof));
    }

    pub(super) fn next(&mut self) -> Option<Got> {
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
    got: &mut VecDeque<Got>,
) -> Result<(), StreamError> {
    framer.feed(bytes);
    while let Some(event) = framer.next()? {
        got.push_back(match event {
            Event::Open(header) => Got::Open(header),
            Event::Nonza(nonza) => Got::Element(nonza.element().clone()),
            Event::Stanza(stanza) => {
                let xml = stanza.to_xml();
                match Element::parse(xml.as_bytes(), ns::CLIENT) {
                    Some(element) => Got::Element(element),
                    None => continue,
                }
            }
            Event::Whitespace => continue,
            Event::Close => Got::Close,
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
