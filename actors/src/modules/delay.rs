//! Delayed delivery (XEP-0203): nobody may claim that a stanza has waited at this server, or at one of its
//! accounts or their clients (section 5); a client may say so of itself.
//!
//! What has waited here is marked by whoever kept it: `offline`. Notes of others pass as they are.

use crate::{
    cx::SessionCx,
    hooks::{Flow, Order},
    registrar::{Module, Registrar, Xep},
};
use xmpp::{payload::delay, stanza::Stanza};

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
        if stanza.head.children.iter().any(delay::is_note) {
            let (env, own) = (cx.env, cx.jid().as_str());
            let honest =
                delay::without_claims_of(stanza, |by| env.is_local(by) && by.as_str() != own);
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
    use std::fmt::Write as _;

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
             J S: <presence from='juliet@localhost/balcony'/>
             # `]]>` is not to arise from what stood around it
             R C: <message to='juliet@localhost/balcony' id='3'>]]<delay xmlns='urn:xmpp:delay' from='localhost'/>><body>c</body></message>
             J S: <message id='3'><body>c</body><delay xmlns='urn:xmpp:delay' absent=''/></message>",
            |modules| {
                modules.add_with::<DelayModule>(DelayConfig {});
                modules.add_with::<OfflineModule>(OfflineConfig::default());
            },
        );
    }

    #[test]
    fn nobody_speaks_for_an_address_of_this_server_but_for_his_own() {
        const CLAIMED: &[&str] = &[
            "localhost",
            "LOCALHOST.",
            "localhost/part",
            "romeo@localhost",
            "Romeo@LocalHost",
            "juliet@localhost",
            "JULIET@localhost.",
            "juliet@localhost/balcony",
            "mercutio@localhost",
            "mercutio@localhost/x",
            "romeo@localhost/other",
            "@",
            " localhost",
            "",
        ];
        const HONEST: &[&str] = &["romeo@localhost/orchard", "rooms.example", "a@rooms.example/n"];
        let mut script = "account juliet@localhost pencil
             account romeo@localhost rose
             J = juliet@localhost/balcony
             R = romeo@localhost/orchard
             "
        .to_owned();
        for name in ["delay xmlns='urn:xmpp:delay'", "x xmlns='jabber:x:delay'"] {
            let note = |from: &str| format!("<{name} from='{from}' stamp='20020910T23:08:25'/>");
            let (claimed, honest): (String, String) = (
                CLAIMED.iter().map(|f| note(f)).collect(),
                HONEST.iter().map(|f| note(f)).collect(),
            );
            let nobody_s = format!("<{name} stamp='20020910T23:08:25'/>");
            for to in ["juliet@localhost/balcony", "JULIET@localhost/balcony"] {
                let _ = writeln!(
                    script,
                    "R C: <message to='{to}' id='1'><body>a</body>{claimed}{nobody_s}{honest}{claimed}</message>
                     J S: <message id='1'><body>a</body>{nobody_s}{honest}</message>"
                );
                for from in CLAIMED {
                    let claim = note(from);
                    let _ = writeln!(
                        script,
                        "R C: <message to='{to}' id='{to}'>{claim}<body>a</body></message>
                         J S: <message id='{to}'><body>a</body><{name} absent=''/></message>
                         R C: <presence to='{to}'>{claim}<status>a</status></presence>
                         J S: <presence><status>a</status><{name} absent=''/></presence>
                         R C: <iq type='result' id='1' to='{to}'>{claim}</iq>
                         J S: <iq><{name} absent=''/></iq>"
                    );
                }
            }
        }
        World::check(&script, |modules| {
            modules.add_with::<DelayModule>(DelayConfig {});
        });
    }
}
