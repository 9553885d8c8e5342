//! Stream management: acknowledgements and resumption (XEP-0198).

use super::{
    effects::{Action, Scope, TimerKey},
    state::{Phase, Session},
};
use crate::{
    cx::SessionCx,
    resource::{Asking, Counted, Ended, Resource, StreamManagement},
    routing::presence,
    sessions::{self, Attached, Claim, ResumeError},
};
use std::{sync::Arc, time::Duration};
use storage::token_of;
use xmpp::{
    error::{StanzaErrorCondition, StreamError, StreamErrorCondition as Condition},
    nonza::Nonza,
    number,
    payload::sm,
};

/// How long the queue of a client waits for its acknowledgements, and longer while the socket takes no more:
/// phones may need a while to take what is on its way to them already.
pub const PATIENCE: Duration = Duration::from_secs(20);

impl Session {
    /// A nonza of XEP-0198; `false` when it is none that is known.
    pub(super) fn sm(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) -> bool {
        match (nonza.name(), &self.stream.phase) {
            ("r", Phase::Established) => self.send_ack(scope),
            ("a", Phase::Established) => self.acked(nonza, scope),
            ("enable", Phase::Established) => self.enable(nonza, scope),
            ("resume", Phase::Authenticated) if self.stream.opened => self.resume(nonza, scope),
            // section 3: enabling before binding, resuming after it
            ("enable" | "resume", _) => {
                self.failed(scope, None, StanzaErrorCondition::UnexpectedRequest);
            }
            ("r" | "a", _) => self.failed(scope, None, StanzaErrorCondition::UnexpectedRequest),
            _ => return false,
        }
        true
    }

    /// Section 3: errors can be recovered from, but before binding not without end.
    fn failed(&mut self, scope: &mut Scope<'_>, h: Option<u32>, condition: StanzaErrorCondition) {
        scope.fx.out.nonza(sm::failed(h, condition));
        if self.attached.is_none() {
            self.refused(scope);
        }
    }

    /// Section 3: `<enable/>`.
    fn enable(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) {
        let Some(mut cx) = self.cx(scope) else { return };
        if cx.attached.bound.acks {
            return self.failed(scope, None, StanzaErrorCondition::UnexpectedRequest);
        }
        let settings = cx.env.settings();
        let resume = nonza.attr("resume").and_then(number::boolean) == Some(true);
        let wanted = match nonza.attr("max").map(number::positive_integer) {
            Some(None) => return self.failed(scope, None, StanzaErrorCondition::BadRequest),
            wanted => wanted.flatten().map(Duration::from_secs),
        };
        let window = wanted.map_or(settings.resume_window, |w| w.min(settings.resume_window));
        // one that the store keeps already is known to it by its key
        let key = || cx.resource().stored_as().map(|key| token_of(&key).to_owned());
        let token = || key().unwrap_or_else(|| cx.env.token());
        let token = (resume && !window.is_zero()).then(token);
        let resumable = token.is_some();
        // where it is to be resumed
        let draining = cx.env.cluster.as_ref().filter(|cluster| cluster.view.is_draining());
        let location = draining.filter(|_| resume).and_then(|cluster| cluster.place());
        let max = token.is_some().then_some(window);
        let reply = sm::Enabled { id: token.clone(), max, location };
        cx.resource().with_sm(|state| {
            *state = Some(StreamManagement { token, window, ..StreamManagement::default() });
        });
        cx.attached.bound.acks = true;
        cx.fx.out.nonza(reply.to_xml());
        if resumable && cx.resource().priority().is_some() {
            let (env, resource) = (Arc::clone(cx.env), Arc::clone(cx.resource()));
            cx.job(async move { presence::note_seen(&env, &resource).await }, |_, ()| ());
        }
    }

    /// Section 4: `<r/>`.
    fn send_ack(&mut self, scope: &mut Scope<'_>) {
        let Some(cx) = self.cx(scope) else { return };
        match cx.resource().counted() {
            Counted::Now(h) => cx.fx.out.nonza(sm::ack(h)),
            Counted::Later => {}
            Counted::Nothing => self.failed(scope, None, StanzaErrorCondition::UnexpectedRequest),
        }
    }

    /// The session ends for a reason that is not the client's: it hears what failed of what it sent.
    pub(super) fn say_failures(&self, scope: &mut Scope<'_>) {
        let Some(attached) = &self.attached else { return };
        for failure in attached.resource.take_failures(attached.epoch) {
            scope.fx.out.stanza(&failure);
        }
    }

    /// The stream ends for a reason that is not the client's: it hears how much was handled, so that it need not send that again.
    pub(super) fn say_handled(&self, scope: &mut Scope<'_>) {
        let Some(attached) = self.attached.as_ref().filter(|_| !self.is_replaced()) else { return };
        if let Some(h) = attached.resource.with_sm(|sm| sm.as_ref().map(|sm| sm.handled)) {
            scope.fx.out.nonza(sm::ack(h));
        }
    }

    /// Section 4: `<a h=''/>`.
    fn acked(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) {
        let starved = self.stream.starved;
        let Some(mut cx) = self.cx(scope) else { return };
        if !cx.attached.bound.acks {
            return self.failed(scope, None, StanzaErrorCondition::UnexpectedRequest);
        }
        let Some(h) = nonza.attr("h").and_then(number::unsigned_int) else {
            let error = StreamError::new(Condition::InvalidXml).with_text("<a/> needs h");
            return self.fail(&error, scope);
        };
        let acked = |r: &Resource| r.with_sm(|sm| sm.as_ref().map_or(0, |sm| sm.acked));
        let before = starved.then(|| acked(cx.resource()));
        match cx.resource().acknowledge(cx.attached.epoch, h) {
            Ok(true) => kept_arrived(&mut cx),
            Ok(false) => {}
            Err(sent) => {
                return self.fail(&StreamError::handled_count_too_high(h, sent), scope);
            }
        }
        // who holds the queue back may wait for acknowledgements
        if !cx.attached.bound.held.is_empty() {
            cx.resource().wake();
        }
        let resource = Arc::clone(cx.resource());
        if before.is_some_and(|before| acked(&resource) > before) {
            self.stream.starved = false;
            scope.fx.push(Action::Cancel(TimerKey::Acks));
            // it had not handled all of it when it was asked: it is asked again
            resource.with_sm(|sm| sm.iter_mut().for_each(|sm| sm.asked = sm.acked));
            resource.wake();
        }
    }

    /// What waits for acknowledgements does not wait for ever.
    pub(super) fn wait_for_acks(&mut self, scope: &mut Scope<'_>) {
        if !self.stream.starved && self.waits_for_acks() {
            self.stream.starved = true;
            scope.fx.push(Action::Timer(TimerKey::Acks, PATIENCE));
        }
    }

    fn waits_for_acks(&self) -> bool {
        let attached = self.attached.as_ref().filter(|attached| attached.bound.acks);
        attached.is_some_and(|attached| attached.resource.waits_for_acks())
    }

    /// That was too long, if something still waits: its sender may have been blocked since.
    pub(super) fn never_acknowledges(&mut self, scope: &mut Scope<'_>) {
        if std::mem::take(&mut self.stream.starved) && self.waits_for_acks() {
            let error = StreamError::new(Condition::PolicyViolation);
            self.fail(&error.with_text("stanzas are not acknowledged"), scope);
        }
    }

    /// Asks for an acknowledgement after stanzas were written, one request at a time, and answers a request of the client that had to wait.
    pub(super) fn request_ack(&mut self, scope: &mut Scope<'_>) {
        let Some(Attached { bound, resource, epoch }) = &self.attached else { return };
        if !bound.acks || !matches!(self.stream.phase, Phase::Established) {
            return;
        }
        let Asking { ask, overdue, answer } = resource.ask(*epoch);
        if let Some(h) = answer {
            scope.fx.out.nonza(sm::ack(h));
        }
        if ask {
            scope.fx.out.nonza(sm::REQUEST);
        }
        if overdue {
            let error = StreamError::new(Condition::PolicyViolation);
            self.fail(&error.with_text("too many stanzas are not acknowledged"), scope);
        }
    }

    /// Section 5: `<resume/>`.
    fn resume(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) {
        let (Some(token), Some(user)) = (nonza.attr("previd"), self.stream.user.clone()) else {
            return self.failed(scope, None, StanzaErrorCondition::BadRequest);
        };
        let Some(h) = nonza.attr("h").and_then(number::unsigned_int) else {
            return self.failed(scope, None, StanzaErrorCondition::BadRequest);
        };
        if let Some(away) = scope.env.cluster.as_ref().and_then(|cluster| cluster.sends_away()) {
            return self.fail(&away, scope);
        }
        let (env, token) = (Arc::clone(scope.env), token.to_owned());
        let previd = token.clone();
        scope.fx.job(
            async move { sessions::resume(&env, &user, &token).await },
            move |session, scope, result| session.resumed(&previd, h, result, scope),
        );
    }

    fn resumed(
        &mut self,
        previd: &str,
        h: u32,
        result: Result<Claim, ResumeError>,
        scope: &mut Scope<'_>,
    ) {
        let (whole, mut attached) = match result {
            Ok(claim) => (claim.is_whole(), claim.keep()),
            // section 5: the client may go on with resource binding
            Err(ResumeError::Unknown(handled)) => {
                return self.failed(scope, handled, StanzaErrorCondition::ItemNotFound);
            }
            Err(ResumeError::Unavailable) => {
                return self.failed(scope, None, StanzaErrorCondition::InternalServerError);
            }
        };
        attached.bound.acks = true;
        let resource = Arc::clone(&attached.resource);
        // the store may be behind
        resource.catch_up(h);
        let checked = resource.resume(attached.epoch, h);
        if checked.is_err() && resource.was_restored() {
            // the store had not been told of all: what its client has not got is offline
            scope.env.managers.end(&resource, Ended::Closed);
            return self.failed(scope, None, StanzaErrorCondition::ItemNotFound);
        }
        self.enter(attached, scope);
        match checked {
            // over another connection meanwhile, and this one hears that
            Ok(None) => return,
            Ok(Some(kept)) if kept => self.cx(scope).iter_mut().for_each(kept_arrived),
            Ok(Some(_)) => {}
            Err(sent) => {
                return self.fail(&StreamError::handled_count_too_high(h, sent), scope);
            }
        }
        let handled = resource.with_sm(|sm| sm.as_ref().map_or(0, |sm| sm.handled));
        // what it has not got follows: see `drain`
        scope.fx.out.nonza(sm::resumed(previd, handled));
        scope.env.metrics.resumed();
        if resource.was_restored() {
            // who was here when the process before ended is not known
            let env = Arc::clone(scope.env);
            let resource = Arc::clone(&resource);
            let look = async move { presence::look_around(&env, &resource).await };
            scope.fx.job(look, |_, _, ()| ());
        }
        if !whole {
            // the process that knew crashed: the modules load their part again
            self.loaded(scope);
        }
    }
}

/// The client has something for good that the store keeps, which may forget it. Now: what waits in the queue may wait for the
/// client to acknowledge more.
fn kept_arrived(cx: &mut SessionCx<'_>) {
    let (env, resource) = (Arc::clone(cx.env), Arc::clone(cx.resource()));
    cx.job(async move { sessions::forget_received(&env, &resource).await }, |_, ()| ());
}

#[cfg(test)]
mod tests {
    use crate::{
        modules::blocking::{BlockingConfig, BlockingModule},
        registrar::Modules,
        resource::QueueLimits,
        settings::Settings,
        testkit::{World, WorldOptions, script::follow},
    };
    use std::fmt::Write as _;

    const LOGIN: &str = "account juliet@localhost pencil
        account romeo@localhost rose
        R = romeo@localhost/orchard
        J = juliet@localhost/balcony\n";
    const ENABLED: &str = "J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
        J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>\n";
    const ASKED: &str = "J S: <r xmlns='urn:xmpp:sm:3'/>\n";

    fn message(n: usize) -> String {
        format!("R C: <message to='juliet@localhost/balcony' id='{n}'><body>{n}</body></message>\n")
    }

    fn got(name: &str, n: usize) -> String {
        format!("{name} S: <message id='{n}'/>\n")
    }

    fn messages(n: std::ops::Range<usize>) -> String {
        n.map(|n| message(n) + &got("J", n)).collect()
    }

    /// J was sent four messages, has acknowledged three, and is asked for the fourth.
    fn three_of_four() -> String {
        LOGIN.to_owned()
            + ENABLED
            + &message(1)
            + &got("J", 1)
            + ASKED
            + &messages(2..5)
            + "J C: <a xmlns='urn:xmpp:sm:3' h='3'/>\n"
            + ASKED
    }

    #[test]
    fn an_old_acknowledgement_says_nothing_new() {
        let script = three_of_four()
            + "J C: <a xmlns='urn:xmpp:sm:3' h='1'/>
               J S: nothing
               J C: <a xmlns='urn:xmpp:sm:3' h='3'/>
               J S: nothing\n"
            + &message(5)
            + &got("J", 5)
            + ASKED
            // never was so much sent
            + "J C: <a xmlns='urn:xmpp:sm:3' h='4294967295'/>
               J S: <stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>4294967295 stanzas were acknowledged, but only 5 were sent</text>
                 <handled-count-too-high xmlns='urn:xmpp:sm:3' h='4294967295' send-count='5'/></stream:error>";
        World::check(&script, |_| {});
    }

    #[test]
    fn who_resumes_with_less_than_it_had_acknowledged_gets_what_is_left() {
        let script = three_of_four()
            + "J cut\n"
            + &message(5)
            + "K ~ juliet@localhost
               K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='1'/>
               K S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>\n"
            + &got("K", 4)
            + "K S: <r xmlns='urn:xmpp:sm:3'/>\n"
            + &got("K", 5)
            // as it counts: one, and these two
            + "K C: <a xmlns='urn:xmpp:sm:3' h='3'/>
               K S: nothing
               K cut
               L ~ juliet@localhost
               L C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='3'/>
               L S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>
               L S: nothing
               L C: <a xmlns='urn:xmpp:sm:3' h='4'/>
               L S: <stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>
                 <handled-count-too-high xmlns='urn:xmpp:sm:3' h='4' send-count='3'/></stream:error>";
        // a session is resumed where it is
        let places = &[("R", 0), ("J", 1), ("K", 1), ("L", 1)];
        World::check_at(&script, places, |_| {});
    }

    /// Nobody but the client decides how much it has not acknowledged yet.
    #[test]
    fn whoever_acknowledges_late_is_not_ended_by_others() {
        let queues = QueueLimits { queued: 10, unacked: 10, ..QueueLimits::default() };
        let settings = Settings { queues, ..Settings::default() };
        let options = WorldOptions { settings, ..WorldOptions::default() };
        let ack = |h: usize| format!("J C: <a xmlns='urn:xmpp:sm:3' h='{h}'/>\n");
        let script = LOGIN.to_owned()
            + ENABLED
            + &message(0)
            + &got("J", 0)
            + ASKED
            + &(1..16).map(message).collect::<String>()
            // half of what it may have
            + &(1..6).map(|n| got("J", n)).collect::<String>()
            + "J S: nothing
               T: 19s\n"
            // asked once more, since it had not handled all of it
            + &ack(3)
            + ASKED
            + &(6..9).map(|n| got("J", n)).collect::<String>()
            + "T: 19s\n"
            + &ack(9)
            + &(9..15).map(|n| got("J", n)).collect::<String>()
            + ASKED
            // a queue that is full and six that it did not acknowledge: it can be resumed
            + &(16..25).map(message).collect::<String>()
            + "J cut
               J ~ juliet@localhost
               J C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='9'/>
               J S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>\n"
            + &(9..15).map(|n| got("J", n)).collect::<String>()
            + ASKED
            + "J S: nothing\n"
            + &ack(15)
            + &(15..21).map(|n| got("J", n)).collect::<String>()
            + ASKED
            + &ack(21)
            + &(21..25).map(|n| got("J", n)).collect::<String>()
            + ASKED
            + &ack(25)
            + "J S: nothing
               R S: nothing";
        World::check_with(&script, &options, |_| {});
    }

    #[test]
    fn a_queue_that_somebody_else_emptied_waits_for_nothing() {
        let queues = QueueLimits { unacked: 10, ..QueueLimits::default() };
        let settings = Settings { queues, ..Settings::default() };
        let options = WorldOptions { settings, ..WorldOptions::default() };
        let refused = |n: usize| format!("R S: <message type='error' id='{n}'/>\n");
        let script = LOGIN.to_owned()
            + ENABLED
            + &message(0)
            + &got("J", 0)
            + ASKED
            + &messages(1..6)
            + &(6..9).map(message).collect::<String>()
            + "J S: nothing
               T: 15s
               J C: <iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>
                 <item jid='romeo@localhost'/></block></iq>
               J S: <iq type='result' id='b'/>\n"
            + &(6..9).map(refused).collect::<String>()
            + "T: 60s
               J S: nothing
               J C: <a xmlns='urn:xmpp:sm:3' h='7'/>
               J S: nothing";
        World::check_with(&script, &options, |modules| {
            modules.add_with::<BlockingModule>(BlockingConfig::default());
        });
    }

    #[test]
    fn counts_are_what_the_schema_says() {
        let bad = ["", "+0", "-0", "0.0", "0x0", "4294967296", "\u{a0}0", "\u{660}"];
        for h in bad {
            let script = format!(
                "{LOGIN}{ENABLED}J C: <a xmlns='urn:xmpp:sm:3' h='{h}'/>
                 J S: <stream:error>
                   <invalid-xml xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
                 J S: </stream:stream>
                 J S: eof
                 {LOGOUT}
                 J C: <resume xmlns='urn:xmpp:sm:3' previd='{{token}}' h='{h}'/>
                 J S: <failed xmlns='urn:xmpp:sm:3'>
                   <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>",
                LOGOUT = "J ~ juliet@localhost"
            );
            World::follow(&script);
        }
        for h in ["0", "000", " 0 ", "&#9;0&#10;"] {
            let script = format!(
                "{LOGIN}{ENABLED}J C: <a xmlns='urn:xmpp:sm:3' h='{h}'/>
                 J S: nothing
                 J cut
                 J ~ juliet@localhost
                 J C: <resume xmlns='urn:xmpp:sm:3' previd='{{token}}' h='{h}'/>
                 J S: <resumed xmlns='urn:xmpp:sm:3'/>"
            );
            World::follow(&script);
        }
        for (max, answer) in [
            ("60", "<enabled xmlns='urn:xmpp:sm:3' max='60'/>"),
            (" +060", "<enabled xmlns='urn:xmpp:sm:3' max='60'/>"),
            ("99999999999999999999999", "<enabled xmlns='urn:xmpp:sm:3' max='300'/>"),
            ("-1", "<failed xmlns='urn:xmpp:sm:3'/>"),
            ("0", "<failed xmlns='urn:xmpp:sm:3'/>"),
            ("6_0", "<failed xmlns='urn:xmpp:sm:3'/>"),
            ("", "<failed xmlns='urn:xmpp:sm:3'/>"),
        ] {
            let enable =
                format!("J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='{max}'/>\n");
            World::follow(&format!("{LOGIN}{enable}J S: {answer}"));
        }
    }

    #[test]
    fn counts_wrap_in_both_directions_and_across_a_resumption() {
        World::block_on(async {
            let mut world = World::new(Modules::default(), WorldOptions::default()).await;
            follow(&format!("{LOGIN}{ENABLED}"), &mut world).await.unwrap();
            let resource = world.env.table.find(&"juliet@localhost".parse().unwrap(), "balcony");
            resource.unwrap().with_sm(|sm| {
                let sm = sm.as_mut().unwrap();
                sm.handled = u32::MAX - 1;
                sm.acked = (1 << 32) - 2;
                (sm.written, sm.asked) = (sm.acked, sm.acked);
                sm.token = Some("tok".to_owned());
            });
            let script = message(1)
                + &got("J", 1)
                + ASKED
                + "J C: <a xmlns='urn:xmpp:sm:3' h='4294967295'/>\n"
                + &message(2)
                + &got("J", 2)
                + ASKED
                + &messages(3..6)
                + "J C: <message to='romeo@localhost/orchard' id='a'/>
                   R S: <message id='a'/>
                   J C: <r xmlns='urn:xmpp:sm:3'/>
                   J S: <a xmlns='urn:xmpp:sm:3' h='4294967295'/>
                   J C: <message to='romeo@localhost/orchard' id='b'/>
                   R S: <message id='b'/>
                   J C: <r xmlns='urn:xmpp:sm:3'/>
                   J S: <a xmlns='urn:xmpp:sm:3' h='0'/>
                   J C: <message to='romeo@localhost/orchard' id='c'/>
                   R S: <message id='c'/>
                   J cut
                   J ~ juliet@localhost
                   J C: <resume xmlns='urn:xmpp:sm:3' previd='tok' h='1'/>
                   J S: <resumed xmlns='urn:xmpp:sm:3' previd='tok' h='1'/>\n"
                + &got("J", 4)
                + &got("J", 5)
                + ASKED
                + "J C: <a xmlns='urn:xmpp:sm:3' h='4294967295'/>
                   J S: nothing
                   J C: <a xmlns='urn:xmpp:sm:3' h='3'/>
                   J C: <r xmlns='urn:xmpp:sm:3'/>
                   J S: <a xmlns='urn:xmpp:sm:3' h='1'/>
                   J C: <a xmlns='urn:xmpp:sm:3' h='4'/>
                   J S: <stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>
                     <handled-count-too-high xmlns='urn:xmpp:sm:3' h='4' send-count='3'/></stream:error>";
            let script = "password juliet@localhost pencil\n".to_owned() + &script;
            follow(&script, &mut world).await.unwrap();
            world.stop().await;
        });
    }

    #[test]
    fn what_comes_again_comes_in_pieces_and_in_order() {
        const COUNT: usize = 300;
        let mut script = LOGIN.to_owned() + ENABLED + &message(0) + &got("J", 0) + ASKED;
        script += &messages(1..COUNT);
        script += "J cut
            J ~ juliet@localhost
            J C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>
              <iq type='get' id='q'><x xmlns='n:x'/></iq>
              <a xmlns='urn:xmpp:sm:3' h='150'/>
            J S: <resumed xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>\n";
        // what it acknowledged meanwhile does not come; the answer to its request comes last
        for n in 150..COUNT {
            let _ = write!(script, "{}", got("J", n));
        }
        script += "J S: <iq type='error' id='q'/>\n";
        script += ASKED;
        script += &format!("J C: <a xmlns='urn:xmpp:sm:3' h='{}'/>\nJ S: nothing", COUNT + 1);
        World::follow(&script);
    }
}
