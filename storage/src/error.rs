//! Why a store did not do what it was asked.

use std::time::Duration;
use thiserror::Error;
use xmpp::error::StanzaError;

/// A store's error. The caller decides what it means for the client; see the conversion below for
/// what is usual.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// It cannot be reached, or has too much to do. Nothing was changed.
    #[error("the store is unavailable")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// It did not answer in time. The change may have been made.
    #[error("the store did not answer in time")]
    Timeout,
    /// Somebody else changed it since the version that was given. Nothing was changed: read again.
    #[error("changed by somebody else, now at version {now}")]
    Conflict {
        /// The present version.
        now: u64,
    },
    /// There is no such account, or not any more. Nothing was changed.
    #[error("there is no account {0}")]
    NoAccount(String),
    /// Accounts of this host belong to another application: it is not for us to change them. Nothing was changed.
    #[error("the accounts of {0} belong to another application, and are made and changed there")]
    Elsewhere(String),
    /// There are as many as there may be. Nothing was changed.
    #[error("the limit of {limit} is reached")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// There is no room on the disk, or the file is as large as it may be. Nothing was changed.
    #[error("no room left: {0}")]
    NoRoom(String),
    /// The file is damaged: not all that is in it can be read.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// What is stored makes no sense.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// The backend failed in a way that trying again does not mend.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// Whether it was not reached, or did not answer in time: what is tried again later may be done.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout)
    }
}

/// When to come back to a store that has too much to do, is locked by another program, or is not there.
pub(crate) const LATER: StoreError =
    StoreError::Unavailable { retry_after: Duration::from_secs(1) };

impl From<StoreError> for StanzaError {
    /// `resource-constraint` (wait) for what may pass and for limits, else `internal-server-error`
    /// (RFC 6120 sections 8.3.3.18 and 8.3.3.6).
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. }
            | StoreError::Timeout
            | StoreError::Full { .. }
            | StoreError::NoRoom(_) => Self::resource_constraint(),
            StoreError::NoAccount(_) => Self::item_not_found(),
            // section 8.3.3.10
            StoreError::Elsewhere(_) => Self::not_allowed(),
            _ => Self::internal_server_error(),
        }
    }
}
