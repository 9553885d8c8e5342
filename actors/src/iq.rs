//! IQ requests that this node answers (RFC 6120 section 8.2.3, RFC 6121 section 8.5), whoever asks: a
//! client of it, one that has not logged on, another server's user or another node's.
//!
//! Modules register a handler for each payload. [`answer`] finds it and says what is answered when there
//! is none; who has a session is answered in it, and [`respond`] is for those who have none here.

#[cfg(test)]
mod tests;

use crate::{
    env::Env,
    routing,
    service::Service,
    session::{SessionCx, effects::BoxFuture},
};
use std::{collections::HashMap, fmt, future::Future, net::IpAddr, sync::Arc};
use storage::StoreError;
use xmpp::{
    Element,
    error::{StanzaError, StreamError},
    jid::{BareJid, Jid},
    ns,
    stanza::Child,
    stanza::{Kind, Stanza, Type},
};

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

impl Target {
    /// Who answers for an address; `None` when it is a resource or another domain.
    pub fn of(env: &Env, to: &Jid) -> Option<Self> {
        let Some(host) = env.hosts.find(to) else {
            let service = to.resource().is_none() && env.service(to).is_some();
            return service.then(|| Self::Service(to.clone()));
        };
        match (to.node(), to.resource()) {
            (None, None) => Some(Self::Server(host)),
            (Some(_), None) => Some(Self::Account(to.bare())),
            _ => None,
        }
    }

    /// The service that is asked.
    pub fn service<'e>(&self, env: &'e Env) -> Option<&'e Service> {
        match self {
            Self::Service(to) => env.service(to),
            _ => None,
        }
    }
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

/// A handler of IQ requests, with its module inside.
pub type IqFn = dyn Fn(&mut IqCx<'_, '_>, &Element) -> Answer + Send + Sync;

/// One registered handler of IQ requests.
pub struct IqRow {
    /// The module it belongs to.
    pub module: &'static str,
    /// See [`Module::HIDES_ACCOUNTS`](crate::registrar::Module::HIDES_ACCOUNTS).
    pub hides_accounts: bool,
    /// Clients may ask before they log on.
    pub before_auth: bool,
    /// See [`Module::FOR_SERVICES`](crate::registrar::Module::FOR_SERVICES).
    pub for_services: bool,
    /// The handler.
    pub run: Arc<IqFn>,
}

/// What a handler is for: the service of which module (`None`: the server and accounts), type, namespace and
/// name of the payload.
pub(crate) type IqKey<'a> = (Option<&'a str>, Type, &'a str, &'a str);

/// IQ handlers by payload.
#[derive(Default)]
pub struct Iqs {
    rows: HashMap<IqKey<'static>, IqRow>,
}

impl Iqs {
    pub(crate) fn insert(&mut self, key: IqKey<'static>, row: IqRow) -> Option<IqRow> {
        self.rows.insert(key, row)
    }

    fn find<'r>(&'r self, ty: Type, child: &'r Child) -> Option<&'r IqRow> {
        self.rows.get(&(None, ty, child.ns(), child.name()) as &IqKey<'r>)
    }

    /// The handler of a service's module for it; for its domain also who answers for all services.
    fn find_for<'r>(
        &'r self,
        service: &'r Service,
        to: &Jid,
        ty: Type,
        child: &'r Child,
    ) -> Option<&'r IqRow> {
        let own = (Some(service.module), ty, child.ns(), child.name());
        let common = || self.find(ty, child).filter(|r| r.for_services && to.node().is_none());
        self.rows.get(&own as &IqKey<'r>).or_else(common)
    }

    /// Whether there is something in the namespace that clients may ask before they log on.
    pub(crate) fn before_auth(&self, ns: &str) -> bool {
        self.rows.iter().any(|((_, _, of, _), row)| row.before_auth && *of == ns)
    }
}

impl fmt::Debug for Iqs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows.iter().map(|(k, r)| (k, r.module))).finish()
    }
}

/// Whether an IQ is a request.
pub(crate) fn is_request(stanza: &Stanza) -> bool {
    stanza.head.kind == Kind::Iq && matches!(stanza.head.ty, Type::Get | Type::Set)
}

/// What makes an IQ a proper one.
///
/// # Errors
/// `bad-request` when it has no id, or a request not exactly one child (RFC 6120 section 8.2.3).
pub(crate) fn check(iq: &Stanza) -> Result<(), StanzaError> {
    let bad = |why| Err(StanzaError::bad_request().with_text(why));
    if iq.head.id.is_none() {
        return bad("an IQ needs an id");
    }
    if is_request(iq) && iq.head.children.len() != 1 {
        return bad("a request has exactly one child element");
    }
    Ok(())
}

/// Answers a proper request. Somebody else's account is asked only if [`reached`].
pub(crate) fn answer(cx: &mut IqCx<'_, '_>) -> Answer {
    let Some(child) = cx.iq.head.children.first() else {
        return StanzaError::bad_request().into();
    };
    let iqs = &cx.env.hooks().iqs;
    let ty = cx.iq.head.ty;
    let row = match cx.target {
        Target::Service(to) => cx.env.service(to).and_then(|s| iqs.find_for(s, to, ty, child)),
        _ => iqs.find(ty, child).filter(|r| r.before_auth || cx.from.is_some()),
    };
    let Some(row) = row else { return unknown(cx, child).into() };
    let Some(element) = cx.iq.payload() else { return StanzaError::bad_request().into() };
    if let Some(session) = &mut cx.session {
        session.module = row.module;
    }
    (row.run)(cx, &element)
}

/// Nobody answers such a request.
fn unknown(cx: &IqCx<'_, '_>, child: &Child) -> StanzaError {
    let iqs = &cx.env.hooks().iqs;
    if cx.session.is_some() && child.ns() == ns::BIND {
        // this stream has its resource (RFC 6120 section 7.6.2.2)
        return StanzaError::not_allowed();
    }
    match cx.target {
        // as for an account that does not exist (RFC 6121 section 8.5.1)
        Target::Account(user) if !cx.is_own(user) => StanzaError::service_unavailable(),
        Target::Service(_) => StanzaError::service_unavailable(),
        // known with the other type: the request makes no sense (RFC 6120 section 8.3.3.1)
        _ if [Type::Get, Type::Set].into_iter().any(|ty| iqs.find(ty, child).is_some()) => {
            StanzaError::bad_request()
        }
        _ => StanzaError::service_unavailable(),
    }
}

/// Whether what is asked of somebody else's account gets there: there is one, and no module is against it
/// (RFC 6121 section 8.5.1).
pub(crate) fn reached(
    env: &Arc<Env>,
    user: &BareJid,
    iq: &Stanza,
) -> impl Future<Output = Result<bool, StoreError>> + Send + use<> {
    let (env, user, iq) = (Arc::clone(env), user.clone(), iq.clone());
    async move {
        match env.stores.accounts.get(&user).await? {
            Some(_) => Ok(routing::reaches(&env, &user, &iq).await),
            None => {
                let child = iq.head.children.first();
                let row = child.and_then(|c| env.hooks().iqs.find(iq.head.ty, c));
                Ok(row.is_some_and(|row| row.hides_accounts))
            }
        }
    }
}

/// The answer to a request of somebody who has no session in this process. `from` is what the link it came
/// by vouches for.
pub async fn respond(env: &Arc<Env>, iq: &Stanza) -> Stanza {
    if let Err(error) = check(iq) {
        return iq.reply_error(&error);
    }
    let (to, from) = (iq.head.to.as_ref(), iq.head.from.as_ref());
    let (Some(target), Some(from)) = (to.and_then(|to| Target::of(env, to)), from) else {
        return iq.reply_error(&StanzaError::service_unavailable());
    };
    if let Target::Account(user) = &target
        && from.bare() != *user
    {
        match reached(env, user, iq).await {
            Ok(true) => {}
            Ok(false) => return iq.reply_error(&StanzaError::service_unavailable()),
            Err(error) => return iq.reply_error(&error.into()),
        }
    }
    let answer = {
        let (target, from) = (&target, Some(from));
        answer(&mut IqCx { env, from, peer: None, target, iq, session: None })
    };
    answer.to(iq).await
}

/// The same, and sends it back.
pub(crate) fn responded(env: &Arc<Env>, iq: Stanza) -> Option<BoxFuture<()>> {
    if !is_request(&iq) || iq.head.from.is_none() {
        return None;
    }
    let env = Arc::clone(env);
    Some(Box::pin(async move {
        let reply = respond(&env, &iq).await;
        if let Some(later) = routing::route(&env, reply) {
            later.await;
        }
    }))
}
