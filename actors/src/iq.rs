//! IQ requests that this node answers (RFC 6120 section 8.2.3, RFC 6121 section 8.5), whoever asks: a
//! client of it, one that has not logged on, another server's user or another node's.
//!
//! Modules register a handler for each payload. [`answer`] finds it and says what is answered when there
//! is none; who has a session is answered in it, and [`respond`] is for those who have none here.

#[cfg(test)]
mod tests;

use crate::{
    cx::{Answer, IqCx, Target},
    env::Env,
    future::BoxFuture,
    hooks::Service,
    routing,
};
use std::{future::Future, sync::Arc};
use storage::StoreError;
use xmpp::{
    error::StanzaError,
    jid::{BareJid, Jid},
    ns,
    stanza::{Child, Kind, Stanza, Type},
};

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

/// Answers the request of somebody who has no session in this process, and sends the answer on its way.
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
