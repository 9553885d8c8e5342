//! In-band registration (XEP-0077).

use super::{Payload, PayloadError};
use crate::{Element, ns};

/// A registration request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Register {
    /// The account's localpart.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// Cancel the registration (section 3.2).
    pub remove: bool,
}

impl Payload for Register {
    const NS: &'static str = ns::REGISTER;
    const NAME: &'static str = "query";
    fn from_element(e: &Element) -> Result<Self, PayloadError> {
        let field = |name| e.child(ns::REGISTER, name).map(Element::text);
        Ok(Self {
            username: field("username"),
            password: field("password"),
            remove: e.child(ns::REGISTER, "remove").is_some(),
        })
    }
}

/// Which fields are needed (section 3.1.1); for somebody registered, as whom.
pub fn form(registered: Option<&str>) -> Element {
    let field = |n| Element::new(ns::REGISTER, n);
    let query = field("query");
    let text = |text| field("instructions").with_text(text);
    let query = match registered {
        None => {
            query.with_child(text("Choose a username and password.")).with_child(field("username"))
        }
        Some(name) => query
            .with_child(field("registered"))
            .with_child(text("Choose a new password."))
            .with_child(field("username").with_text(name)),
    };
    query.with_child(field("password"))
}
