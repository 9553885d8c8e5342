//! What is known of the way of a stanza so far.

/// How often a stanza goes on from one node to the next before it stays where it is.
pub const HOPS: u8 = 3;

/// How far a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trip {
    /// It is of what a session that ended left behind, or of what comes back: it waits for nothing.
    pub now: bool,
    /// It has waited long enough for what sessions that ended leave behind.
    pub waited: bool,
    /// Nodes it came by.
    pub hops: u8,
    /// Sessions on another node have it too, and that node sees that it is not lost.
    pub copy: bool,
}

impl Trip {
    /// After what sessions that ended leave behind.
    pub const IN_ORDER: Self = Self { now: false, waited: false, hops: 0, copy: false };
    /// Before anything newer.
    pub const NOW: Self = Self { now: true, waited: false, hops: 0, copy: false };
}
