//! A server's end of a TLS connection as bytes in and bytes out, from the first of the handshake to the last record. It
//! knows no socket; between any two bytes it can be frozen, once the handshake is done.

use crate::{
    acceptor::Acceptor,
    handshake::{Facts, Handshake, Rest, TlsError, drain, feed},
    record::{FrozenRecords, Opened, RecordError, Records},
};
use rustls::ServerConnection;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    io::{Read as _, Write as _},
    sync::Arc,
    time::Instant,
};

/// Sealed bytes that may wait to be sent.
const UNSENT: usize = 64 << 10;
/// Header of a record.
const HEADER: usize = 5;
/// The most that may follow it, in any version: 2^14 + 2048 (RFC 5246 section 6.2.3).
const LONGEST: usize = 18 << 10;

/// What the other end sent.
#[derive(Debug)]
pub enum Got<'a> {
    /// Bytes, opened.
    Bytes(&'a [u8]),
    /// The handshake is done.
    Secured(Facts),
}

/// The server's end of a connection.
#[derive(Debug)]
pub struct Channel {
    layer: Layer,
    /// A record that has not come whole.
    wire: Vec<u8>,
    unsent: Unsent,
}

#[expect(clippy::large_enum_variant, reason = "what connections are in, but for moments, is Own")]
enum Layer {
    Shaking(Box<Handshake>),
    Own(Records),
    Library(Box<ServerConnection>),
    /// Broken: nothing goes either way.
    Dead,
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shaking(_) => "Shaking",
            Self::Own(_) => "Own",
            Self::Library(_) => "Library",
            Self::Dead => "Dead",
        })
    }
}

/// What is sealed and not sent.
#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

/// A connection as data. Whoever thaws it is the only one who may go on with it.
#[derive(Debug, Serialize, Deserialize)]
pub struct FrozenChannel {
    records: FrozenRecords,
    #[serde(default)]
    wire: Vec<u8>,
    #[serde(default)]
    unsent: Vec<u8>,
}

impl Channel {
    /// Begins a handshake with a client that wants `host`, an ASCII domain, if it has said so.
    ///
    /// # Errors
    /// When the library cannot.
    pub fn accept(acceptor: Arc<Acceptor>, host: Option<String>) -> Result<Self, TlsError> {
        Ok(Self::of(Layer::Shaking(Box::new(Handshake::new(acceptor, host)?))))
    }

    fn of(layer: Layer) -> Self {
        Self { layer, wire: Vec::new(), unsent: Unsent::default() }
    }

    /// Whether the handshake is under way.
    pub fn is_shaking(&self) -> bool {
        matches!(self.layer, Layer::Shaking(_))
    }

    /// Takes bytes off the wire, which are opened where they are, and hands what is in them to `sink`. Whether the other
    /// end has said that nothing more will come. What is to be answered waits to be sent, after an error too.
    ///
    /// # Errors
    /// When the connection cannot go on.
    pub fn read(
        &mut self,
        bytes: &mut [u8],
        now: Instant,
        mut sink: impl FnMut(Got<'_>),
    ) -> Result<bool, TlsError> {
        if self.wire.is_empty() {
            let (used, closed) = self.records(bytes, now, &mut sink)?;
            self.wire.extend_from_slice(bytes.get(used..).unwrap_or_default());
            return Ok(closed);
        }
        let mut wire = std::mem::take(&mut self.wire);
        wire.extend_from_slice(bytes);
        let (used, closed) = self.records(&mut wire, now, &mut sink)?;
        // the room of a record that was long is not kept for the first byte of the next
        self.wire = match wire.get(used..) {
            Some(rest) if used > 0 => rest.to_vec(),
            _ => wire,
        };
        Ok(closed)
    }

    /// Opens the records that are whole. How many bytes they are, and whether the other end has closed.
    fn records(
        &mut self,
        wire: &mut [u8],
        now: Instant,
        sink: &mut impl FnMut(Got<'_>),
    ) -> Result<(usize, bool), TlsError> {
        let mut used = 0;
        while let Some(rest) = wire.get_mut(used..).filter(|rest| !rest.is_empty()) {
            let opened = self.record(rest, now, sink);
            let opened = opened.inspect_err(|error| self.give_up(error))?;
            let Some((len, closed)) = opened else { break };
            if closed {
                return Ok((wire.len(), true));
            }
            used += len;
        }
        if let Layer::Own(records) = &mut self.layer
            && records.owes()
        {
            records.pay(now, &mut self.unsent.bytes)?;
        }
        Ok((used, false))
    }

    /// Opens the first record. Its length, and whether the other end has closed; `None`: it is not whole.
    fn record(
        &mut self,
        wire: &mut [u8],
        now: Instant,
        sink: &mut impl FnMut(Got<'_>),
    ) -> Result<Option<(usize, bool)>, TlsError> {
        let len = match &self.layer {
            // what comes now may be anything (RFC 8446 section 6.1)
            Layer::Own(records) if records.has_ended() => Some(wire.len()),
            Layer::Own(records) => records.whole(wire)?,
            _ => whole(wire),
        };
        let Some((len, record)) = len.and_then(|len| Some((len, wire.get_mut(..len)?))) else {
            return Ok(None);
        };
        let opened = match &mut self.layer {
            Layer::Own(records) => records.open(record)?,
            Layer::Library(tls) => library(tls, record, &mut self.unsent.bytes)?,
            Layer::Shaking(handshake) => {
                if handshake.feed(record, &mut self.unsent.bytes)? {
                    self.secured(now, sink)?;
                }
                Opened::Nothing
            }
            Layer::Dead => Opened::Closed,
        };
        if let Opened::Data(at) = &opened {
            sink(Got::Bytes(record.get(at.clone()).unwrap_or_default()));
        }
        Ok(Some((len, opened == Opened::Closed)))
    }

    fn secured(&mut self, now: Instant, sink: &mut impl FnMut(Got<'_>)) -> Result<(), TlsError> {
        if let Layer::Shaking(handshake) = std::mem::replace(&mut self.layer, Layer::Dead) {
            let (facts, rest) = handshake.finish(now)?;
            self.layer = match rest {
                Rest::Own(records) => Layer::Own(records),
                Rest::Library(tls) => Layer::Library(tls),
            };
            sink(Got::Secured(facts));
        }
        Ok(())
    }

    /// The alert that says why; the library has its own.
    fn give_up(&mut self, error: &TlsError) {
        if let (Layer::Own(records), TlsError::Record(error)) = (&mut self.layer, error) {
            records.alert(error, &mut self.unsent.bytes);
        }
        self.layer = Layer::Dead;
    }

    /// Seals as much of `plain` as may wait to be sent; how much that was. Before the end of the handshake it is nothing.
    ///
    /// # Errors
    /// When nothing can be sealed any more.
    pub fn write(&mut self, plain: &[u8], now: Instant) -> Result<usize, TlsError> {
        let room = UNSENT.saturating_sub(self.unsent().len());
        let plain = plain.get(..room).unwrap_or(plain);
        match &mut self.layer {
            _ if plain.is_empty() => return Ok(0),
            Layer::Shaking(_) => return Ok(0),
            Layer::Own(records) => records.seal(plain, now, &mut self.unsent.bytes)?,
            Layer::Library(tls) => {
                let general = |e: std::io::Error| rustls::Error::General(e.to_string());
                tls.writer().write_all(plain).map_err(general).map_err(TlsError::Library)?;
                drain(tls, &mut self.unsent.bytes);
            }
            Layer::Dead => return Err(RecordError::Closed.into()),
        }
        Ok(plain.len())
    }

    /// Changes our sending key, and has the other end change its own if `request` (RFC 8446 section 4.6.3). By itself it happens
    /// only when a key is old.
    ///
    /// # Errors
    /// Where there is no such thing: before TLS 1.3, in the handshake, at the end, and where the records are the library's.
    pub fn update_keys(&mut self, request: bool, now: Instant) -> Result<(), RecordError> {
        match &mut self.layer {
            Layer::Own(records) => records.update(request, now, &mut self.unsent.bytes),
            _ => Err(RecordError::NoUpdate),
        }
    }

    /// Says that nothing more will be sent (RFC 8446 section 6.1).
    pub fn close(&mut self) {
        match &mut self.layer {
            Layer::Own(records) => records.close(&mut self.unsent.bytes),
            Layer::Shaking(handshake) => handshake.close(&mut self.unsent.bytes),
            Layer::Library(tls) => {
                tls.send_close_notify();
                drain(tls, &mut self.unsent.bytes);
            }
            Layer::Dead => {}
        }
    }

    /// What is to be sent next.
    pub fn unsent(&self) -> &[u8] {
        self.unsent.bytes.get(self.unsent.sent..).unwrap_or_default()
    }

    /// That many bytes of it are sent.
    pub fn sent(&mut self, n: usize) {
        self.unsent.sent += n;
        if self.unsent().is_empty() {
            self.unsent = Unsent::default();
        } else if self.unsent.sent >= UNSENT {
            // a client that reads slowly may always have something to come
            self.unsent.bytes.drain(..self.unsent.sent);
            self.unsent.sent = 0;
        }
    }

    /// Whether it can move: its handshake is done, and its records are ours.
    pub fn is_movable(&self) -> bool {
        matches!(self.layer, Layer::Own(_))
    }

    /// The connection as data; `None` when it is not movable. The time is for how old its keys are.
    pub fn freeze(self, now: Instant) -> Option<FrozenChannel> {
        let Self { layer: Layer::Own(records), wire, unsent } = self else { return None };
        let unsent = unsent.bytes.get(unsent.sent..).unwrap_or_default().to_vec();
        Some(FrozenChannel { records: records.freeze(now), wire, unsent })
    }

    /// Goes on where another process stopped.
    ///
    /// # Errors
    /// When it is not what [`Channel::freeze`] makes.
    pub fn thaw(frozen: FrozenChannel, now: Instant) -> Result<Self, RecordError> {
        let FrozenChannel { records, wire, unsent } = frozen;
        let layer = Layer::Own(Records::thaw(records, now)?);
        Ok(Self { layer, wire, unsent: Unsent { bytes: unsent, sent: 0 } })
    }
}

/// One record for the library; what is in it takes its place.
fn library(
    tls: &mut ServerConnection,
    record: &mut [u8],
    out: &mut Vec<u8>,
) -> Result<Opened, TlsError> {
    let fed = feed(tls, record);
    drain(tls, out);
    let plain = fed.map_err(TlsError::Library)?;
    let general = |e: std::io::Error| TlsError::Library(rustls::Error::General(e.to_string()));
    if plain > 0 {
        let n = tls.reader().read(record).map_err(general)?;
        return Ok(Opened::Data(0..n));
    }
    let state = tls.process_new_packets().map_err(TlsError::Library)?;
    Ok(if state.peer_has_closed() { Opened::Closed } else { Opened::Nothing })
}

/// The length of the first record with its header, for the library; `None`: it is not whole. What cannot be a record it
/// has to see as it is, to say what is wrong with it.
fn whole(wire: &[u8]) -> Option<usize> {
    let is_record = |kind: &u8| (20..=23).contains(kind);
    if !wire.first().is_some_and(is_record) {
        return Some(wire.len());
    }
    let &[_, major, _, high, low] = wire.first_chunk::<HEADER>()?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    if major != 3 || len > LONGEST {
        return Some(wire.len());
    }
    (wire.len() >= HEADER + len).then_some(HEADER + len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Realm;

    /// github.com/rustls/rustls/issues/35: a client that reads slowly, and always has something to come.
    #[test]
    fn what_is_sent_is_not_kept() {
        let now = Instant::now();
        let (mut client, mut server, _) = Realm::new().unwrap().connect(now).unwrap();
        let mut got = 0;
        for _ in 0..50 {
            got -= server.write(&[b'x'; UNSENT], now).unwrap() as isize;
            let wire = server.unsent()[..server.unsent().len() - 1].to_vec();
            server.sent(wire.len());
            got += client.open(&wire).unwrap().0.len() as isize;
            assert!(server.unsent.bytes.len() < 3 * UNSENT, "{}", server.unsent.bytes.len());
        }
        assert_eq!(server.unsent().len(), 1);
        got += client.open(server.unsent()).unwrap().0.len() as isize;
        assert_eq!(got, 0, "all that was written");
    }

    #[test]
    fn the_first_byte_of_a_record_does_not_keep_the_room_of_the_one_before() {
        let now = Instant::now();
        let (mut client, mut server, _) = Realm::new().unwrap().connect(now).unwrap();
        let mut first = client.seal(&[b'x'; 16_000]).unwrap();
        let last = first.split_off(first.len() - 1);
        let second = client.seal(b"y").unwrap();
        let mut read = |wire: &mut [u8]| {
            assert!(!server.read(wire, now, |_| ()).unwrap());
            server.wire.capacity()
        };
        assert!(read(&mut first) >= 16_000);
        assert!(read(&mut [&last[..], &second[..1]].concat()) < 64);
        assert_eq!(read(&mut second[1..].to_vec()), 0);
    }
}
