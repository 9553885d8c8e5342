//! Last activity (XEP-0012).

use super::{Payload, PayloadError};
use crate::{Element, ns};

/// The question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastQuery;

impl Payload for LastQuery {
    const NS: &'static str = ns::LAST;
    const NAME: &'static str = "query";
    fn from_element(_: &Element) -> Result<Self, PayloadError> {
        Ok(Self)
    }
}

/// The answer.
pub fn last(seconds: u64, status: &str) -> Element {
    Element::new(ns::LAST, "query").with_attr("seconds", seconds.to_string()).with_text(status)
}
