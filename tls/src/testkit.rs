//! A client for tests, in memory: rustls, which is not what it judges.

use crate::{Acceptor, Channel, CryptoProvider, Facts, Got, Identity, TicketKeys};
use rustls::{
    ClientConfig, ClientConnection, Error, HandshakeKind, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{PrivateKeyDer, ServerName},
};
use std::{
    error::Error as StdError,
    io::{Read as _, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

/// What goes wrong in a test.
pub type Wrong = Box<dyn StdError + Send + Sync>;

/// A server's acceptor for `localhost`, and how clients that trust it are made.
#[derive(Debug)]
pub struct Realm {
    /// The server's.
    pub acceptor: Arc<Acceptor>,
    /// The keys of its tickets.
    pub tickets: TicketKeys,
    server: CryptoProvider,
    identity: Identity,
    config: Arc<ClientConfig>,
}

impl Realm {
    /// With a new certificate.
    ///
    /// # Errors
    /// When none can be made.
    pub fn new() -> Result<Self, Wrong> {
        Self::with(default_provider(), default_provider())
    }

    /// With these cipher suites of the server and of its clients.
    ///
    /// # Errors
    /// When a library does not take them.
    pub fn with(server: CryptoProvider, client: CryptoProvider) -> Result<Self, Wrong> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let chain = vec![made.cert.der().clone()];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone())?;
        let tickets = TicketKeys::new(Duration::ZERO)?;
        let identity = Identity { chain, key };
        let config = ClientConfig::builder_with_provider(Arc::new(client))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let ours = vec![copy(&identity)];
        let acceptor = Acceptor::with_provider(ours, &tickets, server.clone())?;
        Ok(Self { acceptor, tickets, server, identity, config: Arc::new(config) })
    }

    /// Another process with the same certificate, and these keys for tickets.
    ///
    /// # Errors
    /// When the keys are none.
    pub fn restart(&mut self, tickets: &TicketKeys) -> Result<(), Wrong> {
        let ours = vec![copy(&self.identity)];
        self.acceptor = Acceptor::with_provider(ours, tickets, self.server.clone())?;
        Ok(())
    }

    /// A client that has begun nothing.
    ///
    /// # Errors
    /// When the library cannot.
    pub fn client(&self) -> Result<Client, Wrong> {
        let name = ServerName::try_from("localhost")?;
        Ok(Client { tls: ClientConnection::new(Arc::clone(&self.config), name)? })
    }

    /// A client whose handshake is done, and the server's end.
    ///
    /// # Errors
    /// When they do not agree.
    pub fn connect(&self, now: Instant) -> Result<(Client, Channel, Facts), Wrong> {
        let mut client = self.client()?;
        let mut channel = Channel::accept(Arc::clone(&self.acceptor), None)?;
        let mut facts = None;
        while client.tls.is_handshaking() || facts.is_none() {
            let mut wire = client.drain();
            let sink = |got: Got<'_>| {
                if let Got::Secured(those) = got {
                    facts = Some(those);
                }
            };
            channel.read(&mut wire, now, sink)?;
            client.open(&take(&mut channel))?;
        }
        Ok((client, channel, facts.ok_or("no handshake")?))
    }
}

fn copy(identity: &Identity) -> Identity {
    Identity { chain: identity.chain.clone(), key: identity.key.clone_key() }
}

/// What a channel has to send.
pub fn take(channel: &mut Channel) -> Vec<u8> {
    let bytes = channel.unsent().to_vec();
    channel.sent(bytes.len());
    bytes
}

/// A client.
#[derive(Debug)]
pub struct Client {
    tls: ClientConnection,
}

impl Client {
    /// What the library has to send.
    pub fn drain(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.tls.wants_write() && self.tls.write_tls(&mut wire).is_ok_and(|n| n > 0) {}
        wire
    }

    /// Seals, as one record if it fits.
    ///
    /// # Errors
    /// When the connection cannot go on.
    pub fn seal(&mut self, plain: &[u8]) -> Result<Vec<u8>, Wrong> {
        self.tls.writer().write_all(plain)?;
        Ok(self.drain())
    }

    /// Opens what came; and whether the server has closed its side.
    ///
    /// # Errors
    /// When it is not what a server sends.
    pub fn open(&mut self, mut wire: &[u8]) -> Result<(Vec<u8>, bool), Wrong> {
        let (mut plain, mut closed) = (Vec::new(), false);
        while !wire.is_empty() {
            self.tls.read_tls(&mut wire)?;
            let state = self.tls.process_new_packets()?;
            let at = plain.len();
            plain.resize(at + state.plaintext_bytes_to_read(), 0);
            self.tls.reader().read_exact(plain.get_mut(at..).unwrap_or_default())?;
            closed |= state.peer_has_closed();
        }
        Ok((plain, closed))
    }

    /// Whether the handshake is under way.
    pub fn is_shaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Whether it came back with a ticket.
    pub fn has_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Says that it sends nothing more.
    pub fn close(&mut self) -> Vec<u8> {
        self.tls.send_close_notify();
        self.drain()
    }

    /// Changes its keys, and asks the server to (RFC 8446 section 4.6.3).
    ///
    /// # Errors
    /// Before TLS 1.3.
    pub fn update_keys(&mut self) -> Result<(), Error> {
        self.tls.refresh_traffic_keys()
    }
}
