//! Stream management: acknowledgements and resumption (XEP-0198).

use super::{Bound, Phase, Session, effects::Scope};
use crate::{
    resource::{Resource, StreamManagement},
    routing::{
        KEEPER,
        manager::{self, ResumeError, Resumed},
    },
};
use std::{sync::Arc, time::Duration};
use xmpp::{
    error::{StanzaErrorCondition, StreamError, StreamErrorCondition as Condition},
    nonza::Nonza,
    payload::sm,
};

impl Session {
    /// A nonza of XEP-0198; `false` when it is none that is known.
    pub(super) fn sm(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) -> bool {
        match (nonza.name(), &self.phase) {
            ("r", Phase::Established) => self.send_ack(scope),
            ("a", Phase::Established) => self.acked(nonza, scope),
            ("enable", Phase::Established) => self.enable(nonza, scope),
            ("resume", Phase::Authenticated) if self.opened => self.resume(nonza, scope),
            // section 3: enabling before binding, resuming after it
            ("enable" | "resume", _) => {
                failed(scope, None, StanzaErrorCondition::UnexpectedRequest);
            }
            ("r" | "a", _) => failed(scope, None, StanzaErrorCondition::UnexpectedRequest),
            _ => return false,
        }
        true
    }

    /// Section 3: `<enable/>`.
    fn enable(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) {
        let Some(cx) = self.cx(scope) else { return };
        if cx.bound.acks {
            return failed(scope, None, StanzaErrorCondition::UnexpectedRequest);
        }
        let settings = cx.env.settings();
        let resume = matches!(nonza.attr("resume"), Some("true" | "1"));
        let wanted = nonza.attr("max").and_then(|m| m.parse().ok()).map(Duration::from_secs);
        let window = wanted.map_or(settings.resume_window, |w| w.min(settings.resume_window));
        let token = (resume && !window.is_zero()).then(|| cx.env.token());
        let reply = sm::Enabled { id: token.clone(), max: token.is_some().then_some(window) };
        cx.resource().with_sm(|state| {
            *state = Some(StreamManagement { token, window, ..StreamManagement::default() });
        });
        cx.bound.acks = true;
        cx.fx.write(reply.to_xml());
    }

    /// Section 4: `<r/>`.
    fn send_ack(&mut self, scope: &mut Scope<'_>) {
        let Some(cx) = self.cx(scope) else { return };
        let handled = cx.resource.with_sm(|sm| sm.as_ref().map(|s| s.handled));
        match handled {
            Some(h) => cx.fx.write(sm::ack(h)),
            None => failed(scope, None, StanzaErrorCondition::UnexpectedRequest),
        }
    }

    /// Section 4: `<a h=''/>`.
    fn acked(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) {
        let Some(cx) = self.cx(scope) else { return };
        if !cx.bound.acks {
            return failed(scope, None, StanzaErrorCondition::UnexpectedRequest);
        }
        let Some(h) = nonza.attr("h").and_then(|h| h.parse::<u32>().ok()) else {
            let error = StreamError::new(Condition::InvalidXml).with_text("<a/> needs h");
            return self.fail(&error, scope);
        };
        if let Err(sent) = acknowledge(&cx.resource, h) {
            let error = StreamError::handled_count_too_high(h, sent);
            return self.fail(&error, scope);
        }
        // who holds the queue back may wait for acknowledgements
        if !cx.bound.held.is_empty() {
            cx.resource.wake();
        }
    }

    /// Asks for an acknowledgement after stanzas were written, one request at a time.
    pub(super) fn request_ack(&mut self, scope: &mut Scope<'_>) {
        let Some(bound) = self.bound.as_deref() else { return };
        let (true, Some(resource)) = (bound.acks, &bound.resource) else { return };
        if !matches!(self.phase, Phase::Established) {
            return;
        }
        let ask = resource.with_sm(|sm| sm.as_mut().is_some_and(StreamManagement::ask));
        if ask {
            scope.fx.write(sm::REQUEST);
        }
        if resource.overdue() {
            let error = StreamError::new(Condition::PolicyViolation);
            self.fail(&error.with_text("too many stanzas are not acknowledged"), scope);
        }
    }

    /// Section 5: `<resume/>`.
    fn resume(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) {
        let (Some(token), Some(user)) = (nonza.attr("previd"), self.user.clone()) else {
            return failed(scope, None, StanzaErrorCondition::BadRequest);
        };
        let Some(h) = nonza.attr("h").and_then(|h| h.parse::<u32>().ok()) else {
            return failed(scope, None, StanzaErrorCondition::BadRequest);
        };
        let (env, token) = (Arc::clone(scope.env), token.to_owned());
        let previd = token.clone();
        scope.fx.job(
            async move { manager::resume(&env, &user, &token).await },
            move |session, scope, result| session.resumed(&previd, h, result, scope),
        );
    }

    fn resumed(
        &mut self,
        previd: &str,
        h: u32,
        result: Result<Resumed, ResumeError>,
        scope: &mut Scope<'_>,
    ) {
        let Resumed { resource, epoch, parked } = match result {
            Ok(resumed) => resumed,
            // section 5: the client may go on with resource binding
            Err(ResumeError::Unknown(handled)) => {
                return failed(scope, handled, StanzaErrorCondition::ItemNotFound);
            }
            Err(ResumeError::Unavailable) => {
                return failed(scope, None, StanzaErrorCondition::InternalServerError);
            }
        };
        let lost = parked.is_none();
        let mut bound = parked
            .unwrap_or_else(|| Bound::new(resource.jid().clone(), Arc::clone(&resource), epoch));
        bound.acks = true;
        bound.epoch = epoch;
        bound.resource = Some(Arc::clone(&resource));
        let checked = acknowledge(&resource, h);
        self.enter(bound, scope);
        if let Err(sent) = checked {
            return self.fail(&StreamError::handled_count_too_high(h, sent), scope);
        }
        let (handled, unacked) = resource.with_sm(|sm| {
            sm.as_mut().map_or_else(Default::default, |sm| {
                sm.requested = false;
                sm.asked = sm.acked;
                (sm.handled, sm.unacked.iter().map(|a| a.stanza.clone()).collect::<Vec<_>>())
            })
        });
        scope.fx.write(sm::resumed(previd, handled));
        for stanza in &unacked {
            stanza.render(&mut scope.fx.out);
        }
        scope.env.metrics.resumed();
        if lost {
            // the process that knew crashed: the modules load their part again
            self.loaded(scope);
        }
    }
}

/// Takes an acknowledgement; `Err`: what had been sent, if that is less.
fn acknowledge(resource: &Resource, h: u32) -> Result<(), u32> {
    if resource.acknowledge(h)? {
        resource.notice(KEEPER);
    }
    Ok(())
}

fn failed(scope: &mut Scope<'_>, h: Option<u32>, condition: StanzaErrorCondition) {
    scope.fx.write(sm::failed(h, condition));
}
