//! What handlers of modules get to see, and what they answer.

use crate::{
    env::Env,
    future::BoxFuture,
    resource::{Owner, Resource, Sending},
    session::{
        effects::{Action, Effects, TimerKey},
        slots::Slot,
    },
    sessions::claim::Attached,
};
use std::{borrow::Cow, future::Future, net::IpAddr, sync::Arc, time::Duration};
use xmpp::{
    error::{StanzaError, StreamError, StreamErrorCondition},
    jid::{BareJid, FullJid, Jid},
    stanza::Stanza,
};

/// A bound session as its hooks see it.
#[derive(Debug)]
pub struct SessionCx<'a> {
    /// The node's shared parts.
    pub env: &'a Arc<Env>,
    /// What is to be done.
    pub fx: &'a mut Effects,
    pub(crate) attached: &'a mut Attached,
    /// The module that is being called.
    pub(crate) module: &'static str,
    /// What a handler wants to be looked at instead of the stanza it got.
    pub(crate) replaced: Option<Stanza>,
}

impl SessionCx<'_> {
    /// The client's full JID.
    pub fn jid(&self) -> &FullJid {
        &self.attached.bound.jid
    }

    /// The client's bare JID.
    pub fn user(&self) -> &BareJid {
        &self.attached.bound.user
    }

    /// The host of the client.
    pub fn host(&self) -> &str {
        self.attached.bound.user.domain()
    }

    /// Whether the connection is under TLS.
    pub fn is_secure(&self) -> bool {
        self.attached.bound.secure
    }

    /// What outlives the connection: presence, marks, queue.
    pub fn resource(&self) -> &Arc<Resource> {
        &self.attached.resource
    }

    /// Sends a stanza to this client (it counts for XEP-0198). If another connection has taken the
    /// session over in the meantime, that one sends it.
    pub fn send(&mut self, stanza: &Stanza) {
        match self.attached.resource.sent(self.attached.epoch, stanza) {
            Sending::Elsewhere => return drop(self.attached.resource.deliver(stanza.clone())),
            Sending::Now => self.fx.out.stanza(stanza),
            Sending::InTurn => {}
        }
        self.env.metrics.stanza_out(stanza.head.kind);
    }

    /// Holds back what waits in the client's queue, until the module releases it: for what the
    /// client has to get before that. While a module holds, its `notice` point is called whenever
    /// the client can take more.
    pub fn hold(&mut self) {
        self.attached.bound.held.push(Cow::Borrowed(self.module));
    }

    /// Sends a stanza that offline storage keeps under `id` until the client has acknowledged it (with
    /// XEP-0198: the keeper among the modules gets a notice then). `false`: the connection is no longer the
    /// session's, nothing was sent.
    pub fn send_kept(&mut self, stanza: &Stanza, id: u64) -> bool {
        match self.attached.resource.sent_kept(self.attached.epoch, stanza, id) {
            Sending::Elsewhere => return false,
            Sending::Now => self.fx.out.stanza(stanza),
            Sending::InTurn => {}
        }
        self.env.metrics.stanza_out(stanza.head.kind);
        true
    }

    /// Whether this connection still serves the resource.
    pub fn attached(&self) -> bool {
        self.attached.resource.owner() == Owner::Attached(self.attached.epoch)
    }

    /// Undoes one [`SessionCx::hold`] of the module.
    pub fn release(&mut self) {
        if let Some(at) = self.attached.bound.held.iter().position(|m| m == self.module) {
            self.attached.bound.held.remove(at);
            self.attached.resource.wake();
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
        let timers = &mut self.attached.bound.timers;
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
        self.attached.bound.slots.get()
    }

    /// Ends the stream with an error.
    pub fn close(&mut self, condition: StreamErrorCondition, text: &str) {
        self.fx.end(Some(&StreamError::new(condition).with_text(text)));
    }
}

/// To whom an IQ is addressed, of those the server answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The server itself (a host).
    Server(Arc<str>),
    /// A local account (RFC 6121 section 8.5.2.1.3).
    Account(BareJid),
    /// A module's service, or a node of it.
    Service(Jid),
}

/// The answer to an IQ request.
pub enum Answer {
    /// A result with this XML as its payload; empty for none.
    Result(Vec<u8>),
    /// An error.
    Error(StanzaError),
    /// An empty result, and then the end of the asking client's stream.
    Last(StreamError),
    /// Known later: a store is asked.
    Later(BoxFuture<Answer>),
    /// The handler has given its session a job that answers, together with what else is to be done then.
    Promised,
}

impl Answer {
    /// An empty result.
    pub fn empty() -> Self {
        Self::Result(Vec::new())
    }

    /// The answer of a future.
    pub fn later(future: impl Future<Output = Answer> + Send + 'static) -> Self {
        Self::Later(Box::pin(future))
    }

    /// The answer to `iq` for somebody without a session, when it is known.
    pub(crate) async fn to(mut self, iq: &Stanza) -> Stanza {
        while let Self::Later(future) = self {
            self = future.await;
        }
        match self {
            Self::Result(xml) => iq.reply_result(&xml),
            Self::Error(error) => iq.reply_error(&error),
            Self::Last(_) => iq.reply_result(&[]),
            // no handler can without a session
            Self::Later(_) | Self::Promised => {
                iq.reply_error(&StanzaError::internal_server_error())
            }
        }
    }
}

impl<E: Into<StanzaError>> From<Result<Vec<u8>, E>> for Answer {
    fn from(result: Result<Vec<u8>, E>) -> Self {
        match result {
            Ok(xml) => Self::Result(xml),
            Err(e) => Self::Error(e.into()),
        }
    }
}

impl From<StanzaError> for Answer {
    fn from(e: StanzaError) -> Self {
        Self::Error(e)
    }
}

/// What an IQ handler gets to see.
#[derive(Debug)]
pub struct IqCx<'a, 's> {
    /// The node's shared parts.
    pub env: &'a Arc<Env>,
    /// Who asks; `None`: a client that has not logged on.
    pub from: Option<&'a Jid>,
    /// The address of a client that has not logged on, by which it is counted.
    pub peer: Option<IpAddr>,
    /// Who is asked.
    pub target: &'a Target,
    /// The whole stanza.
    pub iq: &'a Stanza,
    /// The session of who asks, if it is one of this process.
    pub session: Option<&'a mut SessionCx<'s>>,
}

impl<'s> IqCx<'_, 's> {
    /// Whether that is the account of who asks.
    pub fn is_own(&self, user: &BareJid) -> bool {
        self.from.is_some_and(|from| from.bare() == *user)
    }

    /// The account asked for, if it is the asking user's own.
    ///
    /// # Errors
    /// `forbidden` (RFC 6120 section 8.3.3.4) for somebody else's account.
    pub fn own_account(&self) -> Result<BareJid, StanzaError> {
        match self.target {
            Target::Account(user) if self.is_own(user) => Ok(user.clone()),
            _ => Err(StanzaError::forbidden()),
        }
    }

    /// The session of who asks, for what can be done in one alone.
    ///
    /// # Errors
    /// `not-allowed` (RFC 6120 section 8.3.3.9) for who has none here.
    pub fn session(&mut self) -> Result<&mut SessionCx<'s>, StanzaError> {
        self.session.as_deref_mut().ok_or_else(StanzaError::not_allowed)
    }

    /// The session of who asks for his own account.
    ///
    /// # Errors
    /// As [`IqCx::own_account`] and [`IqCx::session`].
    pub fn own_session(&mut self) -> Result<&mut SessionCx<'s>, StanzaError> {
        self.own_account()?;
        self.session()
    }
}
