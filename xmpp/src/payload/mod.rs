//! Payloads, one extension a file: what is asked, and the XML of the answers.
//!
//! Parsing is lenient as RFC 6120 section 8.4 demands: what is not known is ignored, only what is
//! needed and missing is an error.

pub mod bind;
pub mod blocking;
pub mod caps;
pub mod delay;
pub mod disco;
pub mod last;
pub mod limits;
pub mod register;
pub mod roster;
pub mod sid;
pub mod simple;
pub mod sm;

use crate::Element;
use thiserror::Error;

/// What is wrong with a payload, for the text of `bad-request`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct PayloadError(pub String);

impl PayloadError {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// A request that can be read from an element of a fixed name.
pub trait Payload: Sized {
    /// Namespace of the element.
    const NS: &'static str;
    /// Its local name.
    const NAME: &'static str;

    /// Reads it.
    ///
    /// # Errors
    /// When something that is needed is missing or malformed.
    fn from_element(element: &Element) -> Result<Self, PayloadError>;
}
