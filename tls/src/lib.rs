//! TLS of clients' connections: the handshake is rustls's; what comes after it goes through a record layer of our own,
//! whose whole state is data, so that a live connection can move to another process. No I/O: a [`Channel`] takes bytes and
//! has bytes to send.
//!
//! [`Acceptor`] (certificates, ticket keys) → [`Channel`] (handshake, then [`record`]).

mod acceptor;
mod certificates;
mod channel;
mod handshake;
pub mod record;
#[cfg(feature = "testkit")]
pub mod testkit;
mod tickets;

pub use acceptor::{Acceptor, SetupError};
pub use certificates::Identity;
pub use channel::{Channel, FrozenChannel, Got};
pub use handshake::{Facts, TlsError};
pub use record::{FrozenRecords, Opened, RecordError, Records};
pub use rustls::crypto::CryptoProvider;
pub use tickets::{ROTATION, TICKET_LIFE, TicketError, TicketKeys};
