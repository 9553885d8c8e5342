//! XMPP Ping (XEP-0199). Answers pings; pings clients that fall silent and lets go of those that
//! stay silent. Whatever comes from a client shows that it is there: white space (RFC 6120
//! section 4.6.1) and acknowledgements as well as stanzas.

use crate::{
    cx::{Answer, SessionCx},
    hooks::Order,
    registrar::{Module, Registrar, Xep},
    session::slots::Slot,
};
use config::secs;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use xmpp::{
    error::StreamErrorCondition as Condition,
    ns,
    payload::simple::Ping,
    stanza::{Stanza, Type},
};

config::section! {
    /// Pings: answers those of clients, and asks silent clients whether they are still there
    /// (XEP-0199).
    pub struct PingConfig {
        /// Let go of a client that stays silent for that much longer after a ping (which it gets
        /// after `c2s.idle`).
        pub grace: Duration = secs(32), in secs(1)..,
    }
}

/// The module.
#[derive(Debug)]
pub struct PingModule {
    config: PingConfig,
}

/// A ping is not answered.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Waiting(bool);

impl Slot for Waiting {
    const NAME: &'static str = "ping";
}

impl Module for PingModule {
    const NAME: &'static str = "ping";
    const XEPS: &'static [Xep] = &[Xep(199, "2.0.1")];
    const FOR_SERVICES: bool = true;
    type Config = PingConfig;

    fn new(config: PingConfig) -> Self {
        Self { config }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.feature(ns::PING)
            .service_feature(ns::PING)
            .iq_get::<Ping>(|_, _, _| Answer::empty())
            .bound(Order::Main, Self::bound)
            .heard(Order::Main, Self::heard)
            .timer(Order::Main, Self::silent);
    }
}

impl PingModule {
    fn bound(&self, cx: &mut SessionCx<'_>) {
        cx.timer(cx.env.settings().idle);
    }

    fn heard(&self, cx: &mut SessionCx<'_>) {
        cx.slot::<Waiting>().0 = false;
        cx.timer(cx.env.settings().idle);
    }

    fn silent(&self, cx: &mut SessionCx<'_>) {
        if std::mem::replace(&mut cx.slot::<Waiting>().0, true) {
            // as long as a client has that resumes the session, and gets the ping again
            cx.timer(self.config.grace);
            return cx.close(Condition::ConnectionTimeout, "no answer to a ping");
        }
        let id = cx.env.token();
        let ping = Stanza::iq(Type::Get, &id, "<ping xmlns='urn:xmpp:ping'/>");
        let host = cx.env.hosts.named(cx.host()).and_then(|h| h.parse().ok());
        let to = cx.jid().clone().into();
        cx.send(&ping.with_from(host).with_to(Some(to)));
        cx.timer(self.config.grace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::World;

    #[test]
    fn a_client_that_stays_silent_is_pinged_and_then_let_go() {
        World::check(
            "account juliet@localhost pencil
             J = juliet@localhost/balcony
             J C: <iq type='get' id='1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>
             J S: <iq type='result' id='1' from='localhost' to='juliet@localhost/balcony'/>
             T: 299s
             J S: nothing
             T: 1s
             J S: <iq type='get' id='{ping}' from='localhost'><ping xmlns='urn:xmpp:ping'/></iq>
             T: 10s
             J C: <iq type='result' id='{ping}' to='localhost'/>
             T: 300s
             J S: <iq type='get' id='{again}'><ping xmlns='urn:xmpp:ping'/></iq>
             T: 30s
             J S: <stream:error>
                    <connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
             J S: </stream:stream>
             J S: eof",
            |modules| {
                modules.add_with::<PingModule>(PingConfig { grace: secs(30) });
            },
        );
    }
}
