//! Who may log on where accounts belong to somebody else: an application's database, a web service, whoever signs tokens.
//!
//! [`Accounts`] is what a node asks about accounts, whichever host they are of. A host's users are in the node's own store, or
//! with a [`Source`]: then they are found there, and what they have here hangs on an account here that is
//! [adopted](storage::AccountStore::adopt).

mod account;
mod accounts;
mod candidate;
mod documents;
mod foreign;
pub mod formats;
pub mod http;
pub mod jwt;
mod mongodb;
pub mod pool;
mod source;
mod store;

pub use accounts::{Accounts, Offer, Seen};
pub use candidate::{Candidate, Refused};
pub use foreign::ForeignOptions;
pub use formats::{Cost, FormatError, Stored};
pub use http::{Checked, HttpAuth, HttpError, HttpOptions};
pub use jwt::{Claims, TokenError, Verifier};
pub use mongodb::{MongoOptions, MongoSource, Naming};
pub use pool::{Busy, Figures, HashPool, PoolLimits};
pub use source::{Change, Changes, Entry, Found, Secret, Source};
