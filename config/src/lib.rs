//! Typed configuration: one declaration gives type, default, check and documentation.
//!
//! Read in this order: [`mod@section`] (how a table of options is declared), [`value`] (what an
//! option can hold), [`schema`] (the node's own options), [`mod@load`] (file, environment and
//! command line in one tree), [`sections`] (who takes what of it), [`report`] (every mistake at
//! once, with the fix), [`mod@reference`] (the generated page). Nothing here knows XMPP, and nothing
//! is read twice: what a running node changes, it changes in the value it got.

pub mod load;
pub mod net;
mod raw;
pub mod reference;
pub mod report;
pub mod schema;
pub mod section;
pub mod sections;
mod suggest;
mod syntax;
pub mod units;
pub mod value;

pub use load::{Loaded, Override, environment, load, read};
pub use net::Network;
pub use raw::Raw;
pub use report::{Report, Row};
pub use schema::{Config, is_node_name};
pub use section::{Entry, Section, Visit};
pub use sections::Sections;
pub use units::{ByteSize, bytes, hours, kib, mib, millis, mins, secs};
pub use value::{Value, Wrong};
