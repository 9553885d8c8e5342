//! A server of lines over TLS whose connections move all the time: each is made JSON and goes on from that after every record,
//! after every byte of the first ones, and with half of an answer sent. For other implementations of TLS to judge.
//!
//! A line comes back as it was; `?` is answered with what the server knows of the connection, `.` with its end. After every
//! third line it changes its keys, and every other time has the client change its own (TLS 1.3).
//!
//! `cargo run -p tls --example moving -- CERT.PEM KEY.PEM` prints its port.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use std::{
    error::Error,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tls::{Acceptor, Channel, Facts, FrozenChannel, Got, Identity, TicketKeys};

/// Bytes of a connection after which it moves at every byte no more, but at every [`PIECE`] and every record.
const SLOWLY: usize = 2 << 10;
const PIECE: usize = 4 << 10;
/// A client that is silent for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);

type Wrong = Box<dyn Error + Send + Sync>;

/// Serves on a port of its own, with this certificate and its key, until the program ends.
pub fn serve(certificate: &Path, key: &Path) -> Result<u16, Wrong> {
    let chain = vec![CertificateDer::from_pem_file(certificate)?];
    let identity = Identity { chain, key: PrivateKeyDer::from_pem_file(key)? };
    let acceptor = Acceptor::new(vec![identity], &TicketKeys::new(Duration::ZERO)?)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let acceptor = Arc::clone(&acceptor);
            thread::spawn(move || {
                if let Err(error) = Connection::new(acceptor, socket).and_then(Connection::run) {
                    tell(&format!("moving: {error}"));
                }
            });
        }
    });
    Ok(port)
}

fn tell(line: &str) {
    // without anybody who reads it, it need not be said
    let _: std::io::Result<()> = writeln!(std::io::stdout(), "{line}");
}

struct Connection {
    socket: TcpStream,
    channel: Channel,
    facts: Option<Facts>,
    line: Vec<u8>,
    lines: usize,
    moves: usize,
    updates: usize,
}

impl Connection {
    fn new(acceptor: Arc<Acceptor>, socket: TcpStream) -> Result<Self, Wrong> {
        socket.set_read_timeout(Some(SILENCE))?;
        let channel = Channel::accept(acceptor, None)?;
        Ok(Self { socket, channel, facts: None, line: Vec::new(), lines: 0, moves: 0, updates: 0 })
    }

    fn run(mut self) -> Result<(), Wrong> {
        let (mut buffer, mut taken) = (vec![0; 64 << 10], 0);
        loop {
            let n = self.socket.read(&mut buffer)?;
            if n == 0 {
                return Ok(());
            }
            let mut rest = buffer.get_mut(..n).ok_or("a read")?;
            while !rest.is_empty() {
                let len = if taken < SLOWLY { 1 } else { PIECE.min(rest.len()) };
                let (piece, after) = rest.split_at_mut(len);
                let read = self.piece(piece);
                taken += len;
                rest = after;
                let closed = read.or_else(|error| self.flush().and(Err(error)))?;
                if closed {
                    self.channel.close();
                    self = self.moved()?;
                    return self.flush();
                }
                self = self.moved()?;
                self.flush()?;
                self = self.answered()?;
            }
        }
    }

    fn piece(&mut self, piece: &mut [u8]) -> Result<bool, Wrong> {
        let (line, facts) = (&mut self.line, &mut self.facts);
        Ok(self.channel.read(piece, Instant::now(), |got| match got {
            Got::Bytes(bytes) => line.extend_from_slice(bytes),
            Got::Secured(those) => *facts = Some(those),
        })?)
    }

    /// Answers the lines that are whole.
    fn answered(mut self) -> Result<Self, Wrong> {
        // a long line comes in many pieces: its end is the last byte of one, as these clients write
        while self.line.last() == Some(&b'\n') || self.line.len() < PIECE {
            let Some(end) = self.line.iter().position(|byte| *byte == b'\n') else { break };
            let rest = self.line.split_off(end + 1);
            let line = std::mem::replace(&mut self.line, rest);
            if line == b".\n" {
                self.channel.close();
                self = self.moved()?;
                self.flush()?;
                break;
            }
            self.lines += 1;
            let answer = if line == b"?\n" { self.facts().into_bytes() } else { line };
            self = self.say(&answer)?;
            if self.lines.is_multiple_of(3) {
                // before TLS 1.3 there is no such thing
                let request = self.lines.is_multiple_of(2);
                let updated = self.channel.update_keys(request, Instant::now());
                self.updates += usize::from(updated.is_ok());
                self.flush()?;
            }
        }
        Ok(self)
    }

    fn facts(&self) -> String {
        let suite = self.facts.as_ref().map(|facts| facts.suite.as_str()).unwrap_or_default();
        format!("suite={suite} moves={} updates={}\n", self.moves, self.updates)
    }

    fn say(mut self, mut plain: &[u8]) -> Result<Self, Wrong> {
        while !plain.is_empty() {
            let n = self.channel.write(plain, Instant::now())?;
            plain = plain.get(n..).unwrap_or_default();
            let half = self.channel.unsent().len() / 2;
            self.socket.write_all(self.channel.unsent().get(..half).unwrap_or_default())?;
            self.channel.sent(half);
            self = self.moved()?;
            self.flush()?;
        }
        Ok(self)
    }

    fn flush(&mut self) -> Result<(), Wrong> {
        let n = self.channel.unsent().len();
        self.socket.write_all(self.channel.unsent())?;
        self.channel.sent(n);
        Ok(())
    }

    /// The connection as another process would go on with it; in its handshake it stays.
    fn moved(mut self) -> Result<Self, Wrong> {
        if self.channel.is_shaking() {
            return Ok(self);
        }
        let frozen = self.channel.freeze(Instant::now()).ok_or("it cannot move")?;
        let text = serde_json::to_string(&frozen)?;
        let frozen: FrozenChannel = serde_json::from_str(&text)?;
        self.channel = Channel::thaw(frozen, Instant::now())?;
        self.moves += 1;
        Ok(self)
    }
}

#[allow(dead_code, reason = "the test that has this file as a module calls `serve`")]
fn main() -> Result<(), Wrong> {
    let mut files = std::env::args().skip(1);
    let (Some(certificate), Some(key)) = (files.next(), files.next()) else {
        return Err("usage: moving CERT.PEM KEY.PEM".into());
    };
    tell(&serve(Path::new(&certificate), Path::new(&key))?.to_string());
    loop {
        thread::park();
    }
}
