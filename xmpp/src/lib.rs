//! The XMPP wire without I/O: bytes become stream events, stanzas become bytes.
//!
//! In reading order: [`jid`], [`ns`], [`error`] · [`framer`] (bytes to events, by `reader` with
//! `names`, or by `scan`) · [`stanza`], [`element`], [`nonza`], [`stream`], [`number`], [`packed`] (between nodes), [`work`] · [`sasl`] · [`payload`], one extension a file.
//! It knows no sockets, no clock and no task; `rxml` is named here and nowhere else.

mod child;
pub mod element;
pub mod error;
pub mod escaping;
pub mod framer;
pub mod jid;
mod names;
pub mod nonza;
pub mod ns;
pub mod number;
pub mod packed;
pub mod payload;
mod reader;
pub mod sasl;
mod scan;
pub mod stanza;
pub mod stream;
pub mod work;

pub use element::Element;
