//! Entity time (XEP-0202) of the server.
//!
//! It answers in UTC with the offset +00:00: where the machine stands is nobody's business, and the
//! time is the same.

use crate::{
    cx::{Answer, IqCx, Target},
    registrar::{Module, Registrar, Xep},
};
use xmpp::{
    error::StanzaError,
    ns,
    payload::{
        delay,
        simple::{self, TimeQuery},
    },
};

config::section! {
    /// Says what time it is (XEP-0202).
    pub struct TimeConfig {}
}

/// The module.
#[derive(Debug)]
pub struct TimeModule;

impl Module for TimeModule {
    const NAME: &'static str = "time";
    const XEPS: &'static [Xep] = &[Xep(82, "1.1"), Xep(202, "2.0")];
    type Config = TimeConfig;

    fn new(_: TimeConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.server_feature(ns::TIME).iq_get::<TimeQuery>(Self::time);
    }
}

impl TimeModule {
    fn time(&self, cx: &mut IqCx<'_, '_>, _: TimeQuery) -> Answer {
        // an account has no clock
        if !matches!(cx.target, Target::Server(_)) {
            return StanzaError::service_unavailable().into();
        }
        let utc = delay::timestamp(cx.env.clock.millis());
        Answer::Result(simple::time("+00:00", &utc).to_xml().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::World;

    #[test]
    fn the_time_is_that_of_the_clock() {
        World::check(
            "account juliet@localhost pencil
             J = juliet@localhost/balcony
             J C: <iq type='get' id='1' to='localhost'><time xmlns='urn:xmpp:time'/></iq>
             J S: <iq type='result' id='1' from='localhost'><time xmlns='urn:xmpp:time'>
               <tzo>+00:00</tzo><utc>2026-01-01T00:00:00.000Z</utc></time></iq>
             T: 90061s
             J C: <iq type='get' id='2' to='localhost'><time xmlns='urn:xmpp:time'/></iq>
             J S: <iq type='result' id='2'><time xmlns='urn:xmpp:time'>
               <tzo>+00:00</tzo><utc>2026-01-02T01:01:01.000Z</utc></time></iq>
             J C: <iq type='get' id='3'><time xmlns='urn:xmpp:time'/></iq>
             J S: <iq type='error' id='3'><error type='cancel'>
               <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
            |modules| {
                modules.add_with::<TimeModule>(TimeConfig {});
            },
        );
    }
}
