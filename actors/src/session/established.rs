//! Stanzas of a bound client: whose they are, and which way they go (RFC 6120 section 8.1,
//! RFC 6121 section 8).

use super::{
    effects::{Action, Scope},
    state::Session,
};
use crate::{
    cx::{SessionCx, Target},
    hooks::Flow,
    iq::is_request,
    sessions::claim::Attached,
};
use xmpp::{
    error::{StanzaError, StreamError, StreamErrorCondition as Condition},
    jid::Jid,
    stanza::{Kind, Problem, Stanza, Type},
};

impl Session {
    /// One stanza of the client.
    pub(super) fn client_stanza(&mut self, stanza: &Stanza, scope: &mut Scope<'_>) {
        if self.attached.is_none() {
            return;
        }
        // RFC 6120 section 4.9.3.9
        let stanza = match self.stamp(stanza) {
            Some(stanza) if stanza.head.problem != Some(Problem::From) => stanza,
            _ => return self.fail(&StreamError::new(Condition::InvalidFrom), scope),
        };
        let Some(mut cx) = self.cx(scope) else { return };
        let Attached { bound, resource, epoch } = &*cx.attached;
        // another connection may have taken the session over, with what was handled before this one
        if !bound.acks || resource.begin(*epoch, &stanza) {
            dispatch(&mut cx, stanza);
        }
    }

    /// The last stanza is handled, with all it caused.
    pub(super) fn handled(&self) {
        if let Some(Attached { bound, resource, epoch }) = &self.attached
            && bound.acks
        {
            resource.finish(*epoch);
        }
    }

    /// Sets `from` to the full JID, or to the bare JID for presence subscriptions (RFC 6120
    /// section 8.1.2.1, RFC 6121 section 3.1.2). `None`: the client claimed somebody else's.
    fn stamp(&self, stanza: &Stanza) -> Option<Stanza> {
        let bound = &self.attached.as_ref()?.bound;
        if let Some(from) = &stanza.head.from
            && from.as_str() != bound.jid.as_str()
            && from.as_str() != bound.user.as_str()
        {
            return None;
        }
        let from: Jid = if stanza.head.ty.is_subscription() {
            bound.user.clone().into()
        } else {
            bound.jid.clone().into()
        };
        Some(stanza.with_from(Some(from)))
    }
}

fn dispatch(cx: &mut SessionCx<'_>, mut stanza: Stanza) {
    match stanza.head.problem {
        Some(Problem::To) => return cx.refuse(&stanza, &StanzaError::jid_malformed()),
        Some(Problem::Type) => {
            // also for an IQ, which is no request then (RFC 6120 section 8.2.3, rule 2)
            let error = StanzaError::bad_request().with_text("the type is unknown");
            return cx.send(&stanza.reply_error(&error));
        }
        Some(Problem::From) | None => {}
    }
    let hooks = cx.env.hooks();
    for row in &hooks.inbound {
        cx.module = row.module;
        if (row.run)(cx, &stanza) == Flow::Stop {
            return;
        }
        if let Some(other) = cx.replaced.take() {
            stanza = other;
        }
    }
    cx.module = "";
    match stanza.head.kind {
        Kind::Iq => super::iq::from_client(cx, stanza),
        Kind::Presence => super::presence::from_client(cx, stanza),
        Kind::Message => message(cx, stanza),
    }
}

/// RFC 6121 section 8.1: a message without an address is for the user's own account.
fn message(cx: &mut SessionCx<'_>, stanza: Stanza) {
    match &stanza.head.to {
        None => {
            let own = cx.user().clone().into();
            cx.route(stanza.with_to(Some(own)));
        }
        Some(_) => cx.fx.push(Action::Route(stanza)),
    }
}

impl SessionCx<'_> {
    /// Answers a stanza of this client with an error, unless it must not be answered (RFC 6120
    /// section 8.3.1).
    pub fn refuse(&mut self, stanza: &Stanza, error: &StanzaError) {
        let answerable = match stanza.head.kind {
            Kind::Iq => is_request(stanza),
            _ => stanza.head.ty != Type::Error,
        };
        if answerable {
            let reply = stanza.reply_error(error);
            self.send(&reply);
        }
    }

    /// Which part of the server answers for an address; `None` when it is somebody's resource or
    /// another domain.
    pub(super) fn target(&self, to: Option<&Jid>) -> Option<Target> {
        let Some(to) = to else { return Some(Target::Account(self.user().clone())) };
        Target::of(self.env, to)
    }
}
