//! How much a client may send before it is bound. Nothing of it is counted against an account, and
//! anybody can send it.
//!
//! What may come, and what happens at it:
//!
//! | what | before authentication | after it |
//! |---|---|---|
//! | stream header | answered; a second one without a restart: `invalid-xml` | the same |
//! | `<starttls/>` | once; otherwise `<failure/>` and the end | `<failure/>` and the end |
//! | SASL | answered; what fails counts (`sasl.max_failures`) | `unsupported-stanza-type` |
//! | `jabber:iq:register` | answered; what creates accounts is throttled | `not-authorized` |
//! | other stanzas | `not-authorized` | binding is answered, what is refused counts; `not-authorized` |
//! | `<resume/>` | `<failed/>`, counts | answered; `<failed/>` counts |
//! | rest of XEP-0198 | `<failed/>`, counts | the same |
//! | other elements | `not-authorized` | `unsupported-stanza-type` |
//! | white space | nothing | nothing |
//!
//! Everything besides counts as one of [`ALL`]. Errors that end the stream are those of RFC 6120
//! section 4.9.3; what counts ends it with `policy-violation`.

use super::{effects::Scope, state::Session};
use xmpp::error::{StreamError, StreamErrorCondition as Condition};

/// Elements, headers and runs of white space in all: a log-on over STARTTLS takes eight, with every
/// mistake that SASL forgives twice as many.
const ALL: u8 = 64;
/// Of those, refused and not by SASL, which counts itself; one more ends the stream.
const REFUSED: u8 = 10;

impl Session {
    /// One more thing came before the client is bound. Whether it is too much: the stream has ended
    /// then.
    pub(super) fn is_too_much(&mut self, scope: &mut Scope<'_>) -> bool {
        self.stream.before.all = self.stream.before.all.saturating_add(1);
        let ends = self.stream.before.all > ALL;
        if ends {
            self.give_up("too much was sent without binding a resource", scope);
        }
        ends
    }

    /// It was refused.
    pub(super) fn refused(&mut self, scope: &mut Scope<'_>) {
        self.stream.before.refused = self.stream.before.refused.saturating_add(1);
        if self.stream.before.refused > REFUSED {
            self.give_up("too many requests were refused", scope);
        }
    }

    fn give_up(&mut self, text: &str, scope: &mut Scope<'_>) {
        scope.env.metrics.given_up();
        self.fail(&StreamError::new(Condition::PolicyViolation).with_text(text), scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        registrar::Modules,
        testkit::{
            World, WorldOptions,
            script::{Wire, follow},
        },
    };
    use std::fmt::Write as _;

    const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>";
    const OVER: &str = "X S: <stream:error>
        <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
        X S: </stream:stream>
        X S: eof";
    const FAILED: &str = "<failed xmlns='urn:xmpp:sm:3'>
        <unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

    fn opened() -> String {
        format!("X =\nX C: {HEADER}\nX S: <stream:stream>\nX S: <stream:features/>\n")
    }

    fn authenticated() -> String {
        "account juliet@localhost pencil\nX ~ juliet@localhost\n".to_owned()
    }

    #[test]
    fn what_is_answered_with_an_error_before_binding_ends_the_stream_in_the_end() {
        for what in [
            "<r xmlns='urn:xmpp:sm:3'/>",
            "<a xmlns='urn:xmpp:sm:3' h='0'/>",
            "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
        ] {
            for begin in [opened(), authenticated()] {
                let mut script = begin;
                for _ in 0..=REFUSED {
                    let _ = writeln!(script, "X C: {what}\nX S: {FAILED}");
                }
                World::follow(&(script + OVER));
            }
        }
    }

    #[test]
    fn a_flood_in_one_piece_is_no_different() {
        let flood = "<r xmlns='urn:xmpp:sm:3'/>".repeat(300);
        let failed = format!("X S: {FAILED}\n").repeat(usize::from(REFUSED) + 1);
        World::check(&format!("{}X C: {flood}\n{failed}{OVER}", opened()), |_| {});
    }

    #[test]
    fn resumptions_and_bindings_that_fail_end_the_stream_in_the_end() {
        let resume = "X C: <resume xmlns='urn:xmpp:sm:3' previd='none' h='0'/>
             X S: <failed xmlns='urn:xmpp:sm:3'>
               <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>\n";
        let bad = "X C: <resume xmlns='urn:xmpp:sm:3' previd='none' h='+0'/>
             X S: <failed xmlns='urn:xmpp:sm:3'>
               <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>\n";
        let bind = "X C: <iq type='set'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
             X S: <iq type='error'><error type='modify'>
               <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>\n";
        let few = usize::from(REFUSED) - 1;
        for (most, one) in [(resume, bad), (bad, bind), (bind, resume)] {
            let script = authenticated() + &most.repeat(few) + one + most + OVER;
            World::follow(&script);
            // and what comes before it is answered as ever
            let script = authenticated()
                + &most.repeat(few)
                + one
                + "X C: <iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
                   X S: <iq type='result' id='1'/>
                   X C: <r xmlns='urn:xmpp:sm:3'/>
                   X S: <failed xmlns='urn:xmpp:sm:3'/>
                   X C: <r xmlns='urn:xmpp:sm:3'/>
                   X S: <failed xmlns='urn:xmpp:sm:3'/>
                   X S: nothing";
            World::follow(&script);
        }
    }

    #[test]
    fn white_space_without_end_ends_too() {
        World::block_on(async {
            for begin in [opened(), authenticated()] {
                let mut world = World::new(Modules::default(), WorldOptions::default()).await;
                follow(&begin, &mut world).await.unwrap();
                // a log-on has taken some
                for _ in 0..ALL - 8 {
                    world.send("X", " \n", false).await;
                }
                follow("X S: nothing", &mut world).await.unwrap();
                for _ in 0..8 {
                    world.send("X", " ", false).await;
                }
                follow(OVER, &mut world).await.unwrap();
                world.stop().await;
            }
        });
    }

    #[test]
    fn elements_that_mean_nothing_before_binding_end_the_stream_at_once() {
        let end = |condition: &str| {
            format!(
                "X S: <stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>
                   </stream:error>
                 X S: </stream:stream>
                 X S: eof"
            )
        };
        for (what, before, after) in [
            ("<message to='localhost'/>", "not-authorized", "not-authorized"),
            ("<presence/>", "not-authorized", "not-authorized"),
            (
                "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
                "not-authorized",
                "not-authorized",
            ),
            ("<x xmlns='urn:x'/>", "not-authorized", "unsupported-stanza-type"),
            ("<resumed xmlns='urn:xmpp:sm:3'/>", "not-authorized", "unsupported-stanza-type"),
            (
                "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
                "not-authorized",
                "unsupported-stanza-type",
            ),
        ] {
            let sent = format!("X C: {what}\n");
            World::follow(&(opened() + &sent + &end(before)));
            World::follow(&(authenticated() + &sent + &end(after)));
        }
    }
}
