//! Offline messages that make the clients of their user end their streams: how often they did, and those that are kept
//! from their user for it.
//!
//! Each time is a *strike* against one message. After [`LAST`] it goes behind all others of its user, after [`OUT`] into
//! the quarantine, where it waits for an operator. Nothing else takes it out of there but the end of its user's account.

use crate::StoreFuture;
use serde::{Deserialize, Serialize};
use xmpp::{
    jid::{BareJid, Jid},
    stanza::Stanza,
};

/// The strikes with which a message goes behind all others of its user.
pub const LAST: u32 = 3;
/// The strikes with which it goes into the quarantine.
pub const OUT: u32 = 6;

/// A message in quarantine, without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The id of the offline message that it was: no two messages ever have the same.
    pub id: u64,
    /// Whose it is.
    pub user: BareJid,
    /// The account (or server) that sent it.
    pub from: Option<Jid>,
    /// Arrived at, in milliseconds of the epoch.
    pub at: u64,
    /// In quarantine since, in milliseconds of the epoch.
    pub since: u64,
    /// Its size, as [`Stanza::weight`] has it.
    pub bytes: usize,
}

/// What became of a message after a strike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Struck {
    /// It is not there, or another session has it.
    Gone,
    /// It stays where it is, with so many strikes.
    Counted(u32),
    /// It is behind all others of its user now.
    Last,
    /// The same, since the quarantine of its user has no room for it.
    Full,
    /// It is in quarantine now.
    Quarantined(Stanza),
}

/// What one strike more does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Counted,
    Last,
    Out,
}

/// How many strikes a message has with one more, and what that does. One that other sessions hold stays
/// where it is, until they have it or are gone.
pub(crate) fn one_more(strikes: u32, held: bool) -> (u32, Verdict) {
    match strikes.saturating_add(1) {
        LAST | OUT.. if held => (strikes, Verdict::Counted),
        LAST => (LAST, Verdict::Last),
        more @ OUT.. => (more, Verdict::Out),
        more => (more, Verdict::Counted),
    }
}

/// Strikes against offline messages, and the quarantine. Each method is atomic.
pub trait QuarantineStore: Send + Sync + 'static {
    /// Session `key` (kept or not) lets go of that message of `user`, since its client ended its stream over it: a
    /// strike, at that time (milliseconds of the epoch). The quarantine of a user has room for so many bytes
    /// ([`Stanza::weight`]); what does not fit goes behind all others again, as after [`LAST`] strikes.
    fn strike<'a>(
        &'a self,
        user: &'a BareJid,
        key: &'a str,
        id: u64,
        at: u64,
        room: usize,
    ) -> StoreFuture<'a, Struck>;

    /// Up to `limit` messages in quarantine with an id greater than `after`, of one user or of all, in the order of ids.
    fn quarantined<'a>(
        &'a self,
        user: Option<&'a BareJid>,
        after: u64,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Quarantined>>;

    /// One of them, with its content.
    fn content(&self, id: u64) -> StoreFuture<'_, Option<(Quarantined, Stanza)>>;

    /// Makes it an offline message of its user again, behind all others, whatever limits those have, and without a strike.
    /// Whose it is, and its new id.
    ///
    /// Errors: `NoAccount`.
    fn restore(&self, id: u64) -> StoreFuture<'_, Option<(BareJid, u64)>>;

    /// Forgets it; whether it was there.
    fn discard(&self, id: u64) -> StoreFuture<'_, bool>;
}
