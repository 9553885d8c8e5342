//! A client's session, sans I/O: what comes in is an [`Input`], what is to be done is an effect.
//!
//! Read top-down as RFC 6120: [`stream`] (header and features), [`sasl`], [`bind`] (how much may
//! come before that is in `negotiation`), [`established`] (stanzas), with [`sm`] (XEP-0198) beside it; [`turn`] joins it to the framer.
//! Nothing here waits, reads a clock or touches a socket, and all state is data: a session can be
//! frozen into bytes at any stanza boundary and thawed in another process.

pub mod bind;
pub mod calm;
pub mod effects;
pub mod established;
#[cfg(test)]
mod ghosts;
pub mod iq;
mod negotiation;
pub mod out;
pub mod presence;
mod recent;
pub mod sasl;
pub mod slots;
pub mod sm;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod turn;

use crate::{
    env::Env,
    hooks::HookTable,
    resource::{Item, Owner, Resource, Sending, Verdict},
};
use effects::{Action, Effects, Scope, Then, TimerKey};
use out::Dialect;
use serde::{Deserialize, Serialize};
use slots::{Slot, Slots};
use std::{borrow::Cow, future::Future, net::IpAddr, sync::Arc, time::Duration};
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

/// Facts of the connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Conn {
    /// The client's address (behind a proxy: the one the proxy told).
    pub peer: IpAddr,
    /// STARTTLS can be offered.
    pub starttls: bool,
    /// Authentication is refused without TLS.
    pub tls_required: bool,
    /// The TLS layer, once it is up.
    pub tls: Option<Tls>,
    /// How the stream is written down.
    #[serde(default)]
    pub dialect: Dialect,
}

/// What SASL has to know of the TLS layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// RFC 9266 tls-exporter (32 bytes); TLS 1.3 only.
    pub exporter: Option<Vec<u8>>,
    /// RFC 5929 tls-server-end-point: the hash of our certificate.
    pub end_point: Option<Vec<u8>>,
    /// The host name the client asked for (SNI).
    pub sni: Option<String>,
}

/// How far the stream is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// A stream header has to come.
    Header,
    /// Features are sent: STARTTLS or SASL have to come.
    Features,
    /// A SASL exchange is under way.
    Sasl(sasl::Exchange),
    /// Authenticated; after the restart: resource binding or resumption.
    Authenticated,
    /// Bound: stanzas are exchanged.
    Established,
    /// Our closing tag is sent.
    Closed,
}

/// The session of one connection.
#[derive(Debug, Serialize, Deserialize)]
pub struct Session {
    pub(crate) conn: Conn,
    pub(crate) phase: Phase,
    /// The host of the stream header's `to`.
    pub(crate) host: Option<Arc<str>>,
    /// Our header of the present stream is sent.
    pub(crate) opened: bool,
    /// Who authenticated.
    pub(crate) user: Option<BareJid>,
    pub(crate) failures: u8,
    /// What the client has sent before it was bound: see [`negotiation`].
    #[serde(default)]
    pub(crate) before: negotiation::Count,
    /// The queue waits for the client's acknowledgements, and a timer runs.
    #[serde(default)]
    pub(crate) starved: bool,
    pub(crate) bound: Option<Box<Bound>>,
}

/// The state of a bound session. It moves with a resumed one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bound {
    pub(crate) jid: FullJid,
    pub(crate) user: BareJid,
    #[serde(skip)]
    pub(crate) resource: Option<Arc<Resource>>,
    #[serde(skip)]
    pub(crate) epoch: u64,
    pub(crate) slots: Slots,
    /// The client wants acknowledgements (XEP-0198 is enabled).
    pub(crate) acks: bool,
    /// The connection that serves it is under TLS.
    pub(crate) secure: bool,
    /// Modules that want nothing of the queue to be written yet: see [`SessionCx::hold`].
    pub(crate) held: Vec<Cow<'static, str>>,
    /// Timers of modules that run, each with its whole length: a connection that takes the session
    /// over starts them anew.
    #[serde(default)]
    pub(crate) timers: Vec<(Cow<'static, str>, Duration)>,
}

/// Queued stanzas between two looks at how much is to be written.
const PIECE: usize = 4;

impl Bound {
    pub(crate) fn new(jid: FullJid, resource: Arc<Resource>, epoch: u64) -> Box<Self> {
        Box::new(Self {
            user: jid.bare(),
            jid,
            resource: Some(resource),
            epoch,
            slots: Slots::default(),
            acks: false,
            secure: false,
            held: Vec::new(),
            timers: Vec::new(),
        })
    }

    /// In a process that goes on with the session: it does not wait for modules that are not there.
    pub(crate) fn thawed(&mut self, hooks: &HookTable) {
        self.held.retain(|module| hooks.module(module).is_some());
        self.timers.retain(|(module, _)| hooks.module(module).is_some());
    }
}

/// A bound session as its hooks see it.
#[derive(Debug)]
pub struct SessionCx<'a> {
    /// The node's shared parts.
    pub env: &'a Arc<Env>,
    /// What is to be done.
    pub fx: &'a mut Effects,
    pub(crate) bound: &'a mut Bound,
    pub(crate) resource: Arc<Resource>,
    /// The module that is being called.
    pub(crate) module: &'static str,
    /// What a handler wants to be looked at instead of the stanza it got.
    pub(crate) replaced: Option<Stanza>,
}

impl SessionCx<'_> {
    /// The client's full JID.
    pub fn jid(&self) -> &FullJid {
        &self.bound.jid
    }

    /// The client's bare JID.
    pub fn user(&self) -> &BareJid {
        &self.bound.user
    }

    /// The host of the client.
    pub fn host(&self) -> &str {
        self.bound.user.domain()
    }

    /// Whether the connection is under TLS.
    pub fn is_secure(&self) -> bool {
        self.bound.secure
    }

    /// What outlives the connection: presence, marks, queue.
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// Sends a stanza to this client (it counts for XEP-0198). If another connection has taken the
    /// session over in the meantime, that one sends it.
    pub fn send(&mut self, stanza: &Stanza) {
        match self.resource.sent(self.bound.epoch, stanza) {
            Sending::Elsewhere => return drop(self.resource.deliver(stanza.clone())),
            Sending::Now => self.fx.out.stanza(stanza),
            Sending::InTurn => {}
        }
        self.env.metrics.stanza_out(stanza.head.kind);
    }

    /// Holds back what waits in the client's queue, until the module releases it: for what the
    /// client has to get before that. While a module holds, its `notice` point is called whenever
    /// the client can take more.
    pub fn hold(&mut self) {
        self.bound.held.push(Cow::Borrowed(self.module));
    }

    /// Sends a stanza that offline storage keeps under `id` until the client has acknowledged it (with
    /// XEP-0198: the keeper among the modules gets a notice then). `false`: the connection is no longer the
    /// session's, nothing was sent.
    pub fn send_kept(&mut self, stanza: &Stanza, id: u64) -> bool {
        match self.resource.sent_kept(self.bound.epoch, stanza, id) {
            Sending::Elsewhere => return false,
            Sending::Now => self.fx.out.stanza(stanza),
            Sending::InTurn => {}
        }
        self.env.metrics.stanza_out(stanza.head.kind);
        true
    }

    /// Whether this connection still serves the resource.
    pub fn attached(&self) -> bool {
        self.resource.owner() == Owner::Attached(self.bound.epoch)
    }

    /// Undoes one [`SessionCx::hold`] of the module.
    pub fn release(&mut self) {
        if let Some(at) = self.bound.held.iter().position(|m| m == self.module) {
            self.bound.held.remove(at);
            self.resource.wake();
        }
    }

    /// Sends a stanza on its way.
    pub fn route(&mut self, stanza: Stanza) {
        self.fx.push(Action::Route(stanza));
    }

    /// At the `inbound` point, and with `Flow::Continue`: the handlers that follow, and then the
    /// default, get this stanza instead.
    pub fn replace(&mut self, stanza: Stanza) {
        self.replaced = Some(stanza);
    }

    /// Calls the module's `timer` point after `after`; replaces a running timer of the module.
    pub fn timer(&mut self, after: Duration) {
        let timers = &mut self.bound.timers;
        match timers.iter_mut().find(|(module, _)| module == self.module) {
            Some((_, length)) => *length = after,
            None => {
                timers.reserve_exact(1);
                timers.push((Cow::Borrowed(self.module), after));
            }
        }
        self.fx.push(Action::Timer(TimerKey::Module(self.module), after));
    }

    /// Runs `future` before anything more is read from the client; then `then`, if the session is
    /// still bound.
    pub fn job<T: Send + 'static>(
        &mut self,
        future: impl Future<Output = T> + Send + 'static,
        then: impl FnOnce(&mut SessionCx<'_>, T) + Send + 'static,
    ) {
        let module = self.module;
        self.fx.job_bound(future, move |cx, value| {
            cx.module = module;
            then(cx, value);
        });
    }

    /// The module's data of this session; made by `Default` at first use.
    pub fn slot<T: Slot>(&mut self) -> &mut T {
        self.bound.slots.get()
    }

    /// Ends the stream with an error.
    pub fn close(&mut self, condition: StreamErrorCondition, text: &str) {
        self.fx.end(Some(&StreamError::new(condition).with_text(text)));
    }
}

impl Session {
    /// The session of a connection that was just accepted (with direct TLS: secured).
    pub fn new(conn: Conn) -> Self {
        Self {
            conn,
            phase: Phase::Header,
            host: None,
            opened: false,
            user: None,
            failures: 0,
            before: negotiation::Count::default(),
            starved: false,
            bound: None,
        }
    }

    /// Handles one input. The only way in.
    pub fn handle(&mut self, input: Input, scope: &mut Scope<'_>) {
        if matches!(self.phase, Phase::Closed) {
            // a result that nobody waits for gives up what it owns when it is dropped
            return;
        }
        match input {
            Input::Event(_) if self.bound.is_none() && self.is_too_much(scope) => {}
            Input::Event(Event::Open(header)) => self.open(&header, scope),
            Input::Event(Event::Nonza(nonza)) => self.nonza(&nonza, scope),
            Input::Event(Event::Stanza(stanza)) => self.stanza(stanza, scope),
            Input::Event(Event::Whitespace) => {}
            Input::Event(Event::Close) => self.close(scope),
            Input::Refused(error) | Input::Evicted(error) => self.fail(&error, scope),
            Input::Secured(tls) => self.secured(tls),
            Input::Timer(key) => self.timer(key, scope),
            Input::Done(then) => then(self, scope),
        }
        self.request_ack(scope);
    }

    /// Writes up to `max` stanzas, until `full` bytes wait to be sent: what a resumed session gets again,
    /// then what is queued. `None` when the resource was taken over or ended, otherwise whether more
    /// waits.
    pub fn drain(&mut self, max: usize, full: usize, scope: &mut Scope<'_>) -> Option<bool> {
        let Some(bound) = self.bound.as_deref_mut() else { return Some(false) };
        let Some(resource) = bound.resource.clone() else { return Some(false) };
        let epoch = bound.epoch;
        if matches!(self.phase, Phase::Closed) {
            return Some(false);
        }
        let before = scope.fx.out.len();
        if resource.write_again(epoch, max, full, &mut scope.fx.out)? {
            return Some(true);
        }
        if scope.fx.out.len() > before {
            // whether that arrived is asked before anything new is sent
            self.request_ack(scope);
            return Some(true);
        }
        if !bound.held.is_empty() {
            return held(bound, &resource, scope);
        }
        let mut more = Some(true);
        for _ in 0..max.div_ceil(PIECE) {
            // a handful of stanzas can be megabytes
            if more != Some(true) || scope.fx.out.len() > full {
                break;
            }
            more = resource.drain(epoch, PIECE, |item| deliver(bound, &resource, item, scope));
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
        if !self.opened {
            return self.fail(&StreamError::new(StreamErrorCondition::InvalidNamespace), scope);
        }
        if nonza.ns() == xmpp::ns::STREAM && nonza.name() == "error" {
            // section 4.9.1.1: the stream is over; an error is not answered with another
            return self.close(scope);
        }
        let known = match nonza.ns() {
            xmpp::ns::TLS => self.starttls(nonza, scope),
            xmpp::ns::SASL => self.sasl(nonza, scope),
            xmpp::ns::SM => self.sm(nonza, scope),
            _ => false,
        };
        if !known {
            // RFC 6120 section 4.9.3.24, and before authentication 4.9.3.12
            let condition = if self.user.is_none() {
                StreamErrorCondition::NotAuthorized
            } else {
                StreamErrorCondition::UnsupportedStanzaType
            };
            self.fail(&StreamError::new(condition), scope);
        }
    }

    fn stanza(&mut self, stanza: Stanza, scope: &mut Scope<'_>) {
        scope.env.metrics.stanza_in(stanza.head.kind);
        match self.phase {
            Phase::Established => self.client_stanza(&stanza, scope),
            Phase::Authenticated if self.opened => self.before_bind(&stanza, scope),
            // RFC 6120 section 4.9.3.12: stanzas before authentication
            _ => self.before_authentication(stanza, scope),
        }
    }

    fn timer(&mut self, key: TimerKey, scope: &mut Scope<'_>) {
        match key {
            TimerKey::Negotiation if self.bound.is_none() => {
                let error = StreamError::new(StreamErrorCondition::ConnectionTimeout);
                self.fail(&error.with_text("negotiation took too long"), scope);
            }
            TimerKey::Negotiation => {}
            TimerKey::Acks => self.never_acknowledges(scope),
            TimerKey::Module(name) => {
                let hooks = scope.env.hooks();
                let Some(mut cx) = self.cx(scope) else { return };
                cx.bound.timers.retain(|(module, _)| module != name);
                for row in hooks.timer.iter().filter(|r| r.module == name) {
                    cx.module = row.module;
                    (row.run)(&mut cx);
                }
            }
        }
    }

    /// The client closed its stream (RFC 6120 section 4.4): answer in kind.
    fn close(&mut self, scope: &mut Scope<'_>) {
        let hooks = scope.env.hooks();
        if let Some(mut cx) = self.cx(scope) {
            for row in &hooks.closing {
                cx.module = row.module;
                (row.run)(&mut cx);
            }
        }
        scope.fx.end(None);
        self.phase = Phase::Closed;
    }

    /// Ends the stream with an error; opens it first if need be (RFC 6120 section 4.9.1.2).
    pub(crate) fn fail(&mut self, error: &StreamError, scope: &mut Scope<'_>) {
        self.break_off(error, scope);
        self.phase = Phase::Closed;
    }

    /// The same, and the session itself has not ended: it can be resumed.
    pub(super) fn break_off(&mut self, error: &StreamError, scope: &mut Scope<'_>) {
        if !self.opened {
            self.send_header(None, scope);
        }
        scope.fx.end(Some(error));
    }

    /// The session as hooks see it; `None` unless bound.
    pub(crate) fn cx<'a>(&'a mut self, scope: &'a mut Scope<'_>) -> Option<SessionCx<'a>> {
        let bound = self.bound.as_deref_mut()?;
        let resource = bound.resource.clone()?;
        Some(SessionCx {
            env: scope.env,
            fx: scope.fx,
            bound,
            resource,
            module: "",
            replaced: None,
        })
    }

    /// The bound full JID.
    pub fn jid(&self) -> Option<&FullJid> {
        self.bound.as_ref().map(|b| &b.jid)
    }

    /// Who authenticated.
    pub fn user(&self) -> Option<&BareJid> {
        self.user.as_ref()
    }

    /// Whether our closing tag is sent.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// One word for the shell: how far the stream is.
    pub fn phase(&self) -> &'static str {
        match self.phase {
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
        let mut bound = self.bound.take()?;
        let resource = bound.resource.take()?;
        let resumable = resource.with_sm(|sm| sm.as_ref().is_some_and(|s| s.token.is_some()));
        let closed = matches!(self.phase, Phase::Closed);
        let epoch = bound.epoch;
        let parked = (resumable && !closed && whole).then_some(bound);
        resource.detach(epoch, parked).then_some((resource, resumable && !closed))
    }
}

/// The queue is held back: those who hold it may go on. `None` when the resource is not ours.
fn held(bound: &mut Bound, resource: &Arc<Resource>, scope: &mut Scope<'_>) -> Option<bool> {
    if resource.owner() != Owner::Attached(bound.epoch) {
        return None;
    }
    let holders = bound.held.clone();
    let hooks = scope.env.hooks();
    let resource = Arc::clone(resource);
    let mut cx =
        SessionCx { env: scope.env, fx: scope.fx, bound, resource, module: "", replaced: None };
    for row in hooks.notice.iter().filter(|r| holders.iter().any(|h| h == r.module)) {
        cx.module = row.module;
        (row.run)(&mut cx);
    }
    Some(false)
}

/// One queued item on its way to the client: a stanza is written, a notice told to its module.
fn deliver(
    bound: &mut Bound,
    resource: &Arc<Resource>,
    item: &Item,
    scope: &mut Scope<'_>,
) -> Verdict {
    let module = match item {
        Item::Stanza(stanza) => {
            scope.fx.out.stanza(stanza);
            scope.env.metrics.stanza_out(stanza.head.kind);
            return Verdict::Sent;
        }
        Item::Notice(module) => module,
    };
    let mut cx = SessionCx {
        env: scope.env,
        fx: scope.fx,
        bound,
        resource: Arc::clone(resource),
        module,
        replaced: None,
    };
    for row in scope.env.hooks().notice.iter().filter(|r| r.module == *module) {
        (row.run)(&mut cx);
    }
    if cx.bound.held.is_empty() { Verdict::Dropped } else { Verdict::Held }
}
