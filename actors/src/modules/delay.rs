//! Delayed delivery (XEP-0203): nobody may claim that a stanza has waited at this server (section 5).
//!
//! What has waited here is marked by whoever kept it: `offline`. Other notes pass as they are.

use crate::{
    hooks::{Flow, Order},
    registrar::{Module, Registrar, Xep},
    session::SessionCx,
};
use xmpp::{ns, payload::delay, stanza::Stanza};

config::section! {
    /// Removes notes of delayed delivery that claim falsely to be the server's (XEP-0203).
    pub struct DelayConfig {}
}

/// The module.
#[derive(Debug)]
pub struct DelayModule;

impl Module for DelayModule {
    const NAME: &'static str = "delay";
    const XEPS: &'static [Xep] = &[Xep(203, "2.0")];
    type Config = DelayConfig;

    fn new(_: DelayConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.inbound(Order::First, Self::strip);
    }
}

impl DelayModule {
    fn strip(&self, cx: &mut SessionCx<'_>, stanza: &Stanza) -> Flow {
        if stanza.has(ns::DELAY, "delay") {
            let hosts = &cx.env.hosts;
            let honest = delay::without_claims_of(stanza, |by| {
                by.node().is_none() && by.resource().is_none() && hosts.find(by).is_some()
            });
            cx.replace(honest);
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        modules::offline::{OfflineConfig, OfflineModule},
        testkit::World,
    };

    #[test]
    fn only_the_server_says_that_a_stanza_waited_at_it() {
        World::check(
            "account juliet@localhost pencil
             account romeo@localhost rose
             J = juliet@localhost/balcony
             R = romeo@localhost/orchard
             R C: <message to='juliet@localhost/balcony' id='1'><body>a</body>
               <delay xmlns='urn:xmpp:delay' from='LOCALHOST' stamp='2002-09-10T23:08:25Z'/>
               <delay xmlns='urn:xmpp:delay' from='rooms.example' stamp='2002-09-10T23:08:25Z'/>
               <delay xmlns='urn:xmpp:delay' from='romeo@localhost/orchard' stamp='2002-09-10T23:08:25Z'/></message>
             J S: <message id='1'><body>a</body><delay xmlns='urn:xmpp:delay' from='LOCALHOST' absent=''/>
               <delay xmlns='urn:xmpp:delay' from='rooms.example'/>
               <delay xmlns='urn:xmpp:delay' from='romeo@localhost/orchard'/></message>
             R C: <message to='juliet@localhost' id='2'><body>b</body>
               <delay xmlns='urn:xmpp:delay' from='localhost' stamp='2002-09-10T23:08:25Z'/></message>
             J C: <presence/>
             J S: <message id='2'><body>b</body>
               <delay xmlns='urn:xmpp:delay' from='localhost' stamp='2026-01-01T00:00:00.000Z'/></message>
             J S: <presence from='juliet@localhost/balcony'/>",
            |modules| {
                modules.add_with::<DelayModule>(DelayConfig {});
                modules.add_with::<OfflineModule>(OfflineConfig::default());
            },
        );
    }
}
