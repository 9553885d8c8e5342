//! What is wrong with a stored password. Nothing of it is in the message.

use thiserror::Error;

/// Why a stored password cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// It begins like no format that is known.
    #[error("the stored password has no format that is known")]
    Unknown,
    /// It begins like this format, and goes on otherwise: cut off by a column that is too short, perhaps.
    #[error("the stored password begins like {0}, but is not well-formed")]
    Malformed(&'static str),
    /// A format that is refused.
    #[error(
        "the stored password is {0}, which protects nothing: let the application store another"
    )]
    Weak(&'static str),
    /// More work, memory or room than is allowed ([`super::limits`]).
    #[error("the stored password asks for {found} {what}; at most {most} are allowed")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// What it asks for.
        found: u64,
        /// What is allowed.
        most: u64,
    },
    /// Less than any library makes: it could be guessed, or is a mistake.
    #[error("the stored password has {found} {what}; at least {least} are needed")]
    TooLittle {
        /// Of what.
        what: &'static str,
        /// What it has.
        found: u64,
        /// What is needed.
        least: u64,
    },
}
