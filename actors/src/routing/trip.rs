//! What is known of the way of a stanza so far.

/// How often a stanza goes on from one node to the next before it stays where it is.
pub const HOPS: u8 = 3;

/// How far a message is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trip {
    /// It does not wait for what sessions that ended leave behind: it is of those, or has waited long enough.
    pub now: bool,
    /// Nodes it came by.
    pub hops: u8,
    /// Sessions on another node have it too, and that node sees that it is not lost.
    pub copy: bool,
}

impl Trip {
    /// After what sessions that ended leave behind.
    pub const IN_ORDER: Self = Self { now: false, hops: 0, copy: false };
    /// Not after that.
    pub const NOW: Self = Self { now: true, hops: 0, copy: false };
}
