//! A client's session, sans I/O: what comes in is an [`Input`], what is to be done is an effect.
//!
//! Read top-down as RFC 6120: [`stream`] (header and features), [`sasl`], [`bind`] (how much may
//! come before that is in `negotiation`), [`established`] (stanzas), with [`sm`] (XEP-0198) beside it; [`turn`] joins it to the framer.
//! Nothing here waits or touches a socket, and all state is data ([`state`], [`bound`]): a session can be
//! frozen into bytes at any stanza boundary where no job is out, and thawed in another process.

pub mod bind;
pub mod bound;
pub mod effects;
pub mod established;
#[cfg(test)]
mod ghosts;
pub mod iq;
#[cfg(test)]
mod late;
mod negotiation;
pub mod out;
pub mod presence;
mod recent;
pub mod sasl;
pub mod slots;
pub mod sm;
pub mod state;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod turn;

use crate::{
    cx::SessionCx,
    resource::{Drained, Item, Owner, Resource},
    sessions::claim::Attached,
};
use effects::{Scope, Then, TimerKey};
use state::{Conn, Count, Phase, Session, Stream, Tls};
use std::sync::Arc;
use xmpp::{
    error::{StreamError, StreamErrorCondition},
    framer::Event,
    jid::{BareJid, FullJid},
    nonza::Nonza,
    stanza::Stanza,
};

/// What a session is told.
pub enum Input {
    /// The framer found something in the client's bytes.
    Event(Event),
    /// The client's bytes are not acceptable.
    Refused(StreamError),
    /// The TLS handshake is done.
    Secured(Tls),
    /// A timer went off.
    Timer(TimerKey),
    /// A job has finished.
    Done(Then),
    /// Another connection has taken the resource over, or an operator ended the session.
    Evicted(StreamError),
}

/// Queued stanzas between two looks at how much is to be written.
const PIECE: usize = 4;

impl Session {
    /// The session of a connection that was just accepted (with direct TLS: secured).
    pub fn new(conn: Conn) -> Self {
        let stream = Stream {
            conn,
            phase: Phase::Header,
            host: None,
            opened: false,
            user: None,
            account: None,
            failures: 0,
            before: Count::default(),
            starved: false,
        };
        Self { stream, attached: None }
    }

    /// Handles one input. The only way in.
    pub fn handle(&mut self, input: Input, scope: &mut Scope<'_>) {
        match input {
            // what its client was promised is for the connection that has the session now
            Input::Done(then) if self.is_replaced() => return then(self, scope),
            // a result that nobody waits for gives up what it owns when it is dropped
            _ if matches!(self.stream.phase, Phase::Closed) => return,
            Input::Event(_) if self.attached.is_none() && self.is_too_much(scope) => {}
            Input::Event(Event::Open(header)) => self.open(&header, scope),
            Input::Event(Event::Nonza(nonza)) => self.nonza(&nonza, scope),
            Input::Event(Event::Stanza(stanza)) => self.stanza(stanza, scope),
            Input::Event(Event::Whitespace) => {}
            Input::Event(Event::Close) => self.close(true, scope),
            Input::Refused(error) => self.fail(&error, scope),
            Input::Evicted(error) if self.outlives(&error) => {
                self.say_handled(scope);
                self.break_off(&error, scope);
            }
            Input::Evicted(error) => {
                self.say_failures(scope);
                self.say_handled(scope);
                self.fail(&error, scope);
            }
            Input::Secured(tls) => self.secured(tls),
            Input::Timer(key) => self.timer(key, scope),
            Input::Done(then) => then(self, scope),
        }
        self.request_ack(scope);
    }

    /// Whether its session is another connection's, or has ended: then nothing is for this client any more.
    fn is_replaced(&self) -> bool {
        self.attached.as_ref().is_some_and(|a| a.resource.owner() != Owner::Attached(a.epoch))
    }

    /// Whether the session is one that goes on after a kill, and the node stops: then it goes on too, with what its client does
    /// not hear any more.
    fn outlives(&self, error: &StreamError) -> bool {
        error.condition == StreamErrorCondition::SystemShutdown
            && self.attached.as_ref().is_some_and(|a| a.resource.outlives(a.epoch))
    }

    /// Writes up to `max` stanzas, until `full` bytes wait to be sent: what a resumed session gets again,
    /// then what is queued. `None` when the resource was taken over or ended, otherwise whether more
    /// waits.
    pub fn drain(&mut self, max: usize, full: usize, scope: &mut Scope<'_>) -> Option<bool> {
        let Some(attached) = &mut self.attached else { return Some(false) };
        if matches!(self.stream.phase, Phase::Closed) {
            return Some(false);
        }
        let epoch = attached.epoch;
        if attached.bound.acks {
            let before = scope.fx.out.len();
            if attached.resource.write_again(epoch, max, full, &mut scope.fx.out)? {
                return Some(true);
            }
            if scope.fx.out.len() > before {
                // whether that arrived is asked before anything new is sent
                self.request_ack(scope);
                return Some(true);
            }
        }
        if !attached.bound.held.is_empty() {
            return held(attached, scope);
        }
        let resource = Arc::clone(&attached.resource);
        let mut more = Some(true);
        for _ in 0..max.div_ceil(PIECE) {
            // a handful of stanzas can be megabytes
            if more != Some(true) || scope.fx.out.len() > full {
                break;
            }
            more = resource.drain(epoch, PIECE, |item| deliver(attached, item, scope));
        }
        if resource.has_written()
            && let Some(keeper) = &scope.env.hooks().keeper
        {
            // when that has left, the store may forget it
            resource.notice(keeper.module);
            more = more.map(|_| true);
        }
        self.request_ack(scope);
        if more == Some(false) {
            self.wait_for_acks(scope);
        }
        more
    }

    /// The client sent something, be it white space or half of a stanza: it is there.
    pub fn heard(&mut self, scope: &mut Scope<'_>) {
        let hooks = scope.env.hooks();
        let Some(mut cx) = self.cx(scope) else { return };
        for row in &hooks.heard {
            cx.module = row.module;
            (row.run)(&mut cx);
        }
    }

    fn nonza(&mut self, nonza: &Nonza, scope: &mut Scope<'_>) {
        if !self.stream.opened {
            return self.fail(&StreamError::new(StreamErrorCondition::InvalidNamespace), scope);
        }
        if nonza.ns() == xmpp::ns::STREAM && nonza.name() == "error" {
            // section 4.9.1.1: the stream is over; an error is not answered with another
            return self.close(false, scope);
        }
        let known = match nonza.ns() {
            xmpp::ns::TLS => self.starttls(nonza, scope),
            xmpp::ns::SASL => self.sasl(nonza, scope),
            xmpp::ns::SM => self.sm(nonza, scope),
            _ => false,
        };
        if !known {
            // RFC 6120 section 4.9.3.24, and before authentication 4.9.3.12
            let condition = if self.stream.user.is_none() {
                StreamErrorCondition::NotAuthorized
            } else {
                StreamErrorCondition::UnsupportedStanzaType
            };
            self.fail(&StreamError::new(condition), scope);
        }
    }

    fn stanza(&mut self, stanza: Stanza, scope: &mut Scope<'_>) {
        scope.env.metrics.stanza_in(stanza.head.kind);
        match self.stream.phase {
            Phase::Established => self.client_stanza(&stanza, scope),
            Phase::Authenticated if self.stream.opened => self.before_bind(&stanza, scope),
            // RFC 6120 section 4.9.3.12: stanzas before authentication
            _ => self.before_authentication(stanza, scope),
        }
    }

    fn timer(&mut self, key: TimerKey, scope: &mut Scope<'_>) {
        match key {
            TimerKey::Negotiation if self.attached.is_none() => {
                let error = StreamError::new(StreamErrorCondition::ConnectionTimeout);
                self.fail(&error.with_text("negotiation took too long"), scope);
            }
            TimerKey::Negotiation => {}
            TimerKey::Acks => self.never_acknowledges(scope),
            TimerKey::Module(name) => {
                let hooks = scope.env.hooks();
                let Some(mut cx) = self.cx(scope) else { return };
                cx.attached.bound.timers.retain(|(module, _)| module != name);
                for row in hooks.timer.iter().filter(|r| r.module == name) {
                    cx.module = row.module;
                    (row.run)(&mut cx);
                }
            }
        }
    }

    /// The client closed its stream, in order (RFC 6120 section 4.4) or with an error: answer in kind.
    fn close(&mut self, in_order: bool, scope: &mut Scope<'_>) {
        let hooks = scope.env.hooks();
        if let Some(mut cx) = self.cx(scope) {
            for row in &hooks.closing {
                cx.module = row.module;
                (row.run)(&mut cx, in_order);
            }
        }
        scope.fx.end(None);
        self.stream.phase = Phase::Closed;
    }

    /// Ends the stream with an error; opens it first if need be (RFC 6120 section 4.9.1.2).
    pub(crate) fn fail(&mut self, error: &StreamError, scope: &mut Scope<'_>) {
        self.break_off(error, scope);
        self.stream.phase = Phase::Closed;
    }

    /// Ends the stream with an error, but not the session: it can be resumed.
    pub(super) fn break_off(&mut self, error: &StreamError, scope: &mut Scope<'_>) {
        if !self.stream.opened {
            self.send_header(None, scope);
        }
        scope.fx.end(Some(error));
    }

    /// The session as hooks see it; `None` unless bound.
    pub(crate) fn cx<'a>(&'a mut self, scope: &'a mut Scope<'_>) -> Option<SessionCx<'a>> {
        self.attached.as_mut().map(|attached| seen(attached, scope, ""))
    }

    /// The bound full JID.
    pub fn jid(&self) -> Option<&FullJid> {
        self.attached.as_ref().map(|attached| &attached.bound.jid)
    }

    /// Who authenticated.
    pub fn user(&self) -> Option<&BareJid> {
        self.stream.user.as_ref()
    }

    /// Whether our closing tag is sent.
    pub fn is_closed(&self) -> bool {
        matches!(self.stream.phase, Phase::Closed)
    }

    /// One word for the shell: how far the stream is.
    pub fn phase(&self) -> &'static str {
        match self.stream.phase {
            Phase::Header => "header",
            Phase::Features => "features",
            Phase::Sasl(_) => "sasl",
            Phase::Authenticated => "authenticated",
            Phase::Established => "established",
            Phase::Closed => "closed",
        }
    }

    /// Hands the session's state over to its resource when the connection is gone; returns the
    /// resource if this connection still owned it. `whole`: no job is out; otherwise the modules
    /// load their part anew when it is resumed.
    pub fn detach(&mut self, whole: bool) -> Option<(Arc<Resource>, bool)> {
        let Attached { bound, resource, epoch } = self.attached.take()?;
        let resumable = resource.with_sm(|sm| sm.as_ref().is_some_and(|s| s.token.is_some()));
        let closed = matches!(self.stream.phase, Phase::Closed);
        let parked = (resumable && !closed && whole).then_some(bound);
        resource.detach(epoch, parked).then_some((resource, resumable && !closed))
    }
}

/// A bound session as the hooks of a module see it.
fn seen<'a>(
    attached: &'a mut Attached,
    scope: &'a mut Scope<'_>,
    module: &'static str,
) -> SessionCx<'a> {
    SessionCx { env: scope.env, fx: scope.fx, attached, module, replaced: None }
}

/// The queue is held back: those who hold it may go on. `None` when the resource is not ours.
fn held(attached: &mut Attached, scope: &mut Scope<'_>) -> Option<bool> {
    if attached.resource.owner() != Owner::Attached(attached.epoch) {
        return None;
    }
    let holders = attached.bound.held.clone();
    let hooks = scope.env.hooks();
    let mut cx = seen(attached, scope, "");
    for row in hooks.notice.iter().filter(|r| holders.iter().any(|h| h == r.module)) {
        cx.module = row.module;
        (row.run)(&mut cx);
    }
    Some(false)
}

/// One queued item on its way to the client: a stanza is written, a notice told to its module.
fn deliver(attached: &mut Attached, item: &Item, scope: &mut Scope<'_>) -> Drained {
    let module = match item {
        Item::Stanza(stanza) => {
            scope.fx.out.stanza(stanza);
            scope.env.metrics.stanza_out(stanza.head.kind);
            return Drained::Sent;
        }
        Item::Notice(module) => module,
    };
    let hooks = scope.env.hooks();
    let mut cx = seen(attached, scope, module);
    for row in hooks.notice.iter().filter(|r| r.module == *module) {
        (row.run)(&mut cx);
    }
    if cx.attached.bound.held.is_empty() { Drained::Dropped } else { Drained::Held }
}
