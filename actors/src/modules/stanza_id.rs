//! Unique and stable stanza ids (XEP-0359): nobody may claim that an address of this server has
//! assigned an id (section 4, rule 3).
//!
//! The server assigns none itself: a stanza-id is the key of a message in its account's archive,
//! and there is no archive. An id that names nothing would only make clients ask for it, and cost
//! every message a rewrite. `<origin-id/>` passes as it is (section 4).

use crate::{
    cx::SessionCx,
    hooks::{Flow, Order},
    registrar::{Module, Registrar, Xep},
};
use xmpp::{
    ns,
    payload::sid,
    stanza::{Kind, Stanza},
};

config::section! {
    /// Removes stanza ids that claim falsely to be assigned here (XEP-0359).
    pub struct StanzaIdConfig {}
}

/// The module.
#[derive(Debug)]
pub struct StanzaIdModule;

impl Module for StanzaIdModule {
    const NAME: &'static str = "stanza_id";
    const XEPS: &'static [Xep] = &[Xep(359, "0.7.0")];
    type Config = StanzaIdConfig;

    fn new(_: StanzaIdConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        // section 5: says that the rule is enforced, so that clients can trust what they see
        on.account_feature(ns::STANZA_ID).inbound(Order::First, Self::strip);
    }
}

impl StanzaIdModule {
    fn strip(&self, cx: &mut SessionCx<'_>, stanza: &Stanza) -> Flow {
        if stanza.head.kind == Kind::Message && stanza.has(ns::STANZA_ID, "stanza-id") {
            let env = cx.env;
            cx.replace(sid::without_claims_of(stanza, |by| env.is_local(by)));
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::World;

    #[test]
    fn false_claims_are_removed_and_everything_else_stays() {
        World::check(include_str!("../../../tests/scripts/stanza-id.xmpp"), |modules| {
            modules.add_with::<StanzaIdModule>(StanzaIdConfig {});
        });
    }
}
