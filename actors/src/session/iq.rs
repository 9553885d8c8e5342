//! IQ stanzas of a client: answered here on behalf of the server and of accounts, or routed
//! (RFC 6120 section 8.2.3, RFC 6121 section 8.5).

use super::{SessionCx, effects::Action, is_request};
use crate::{
    registrar::{Answer, IqCx, Target},
    routing,
};
use std::sync::Arc;
use storage::StoreError;
use xmpp::{error::StanzaError, jid::BareJid, ns, stanza::Stanza};

pub(super) fn from_client(cx: &mut SessionCx<'_>, iq: Stanza) {
    if iq.head.id.is_none() {
        return cx.refuse(&iq, &StanzaError::bad_request().with_text("an IQ needs an id"));
    }
    if !is_request(&iq) {
        // an answer: nobody waits here for one to what the server asked
        if cx.target(iq.head.to.as_ref()).is_none() {
            cx.fx.push(Action::Route(iq));
        }
        return;
    }
    // RFC 6120 section 8.2.3: exactly one child element
    if iq.head.children.len() != 1 {
        let error = StanzaError::bad_request().with_text("a request has exactly one child element");
        return cx.refuse(&iq, &error);
    }
    match cx.target(iq.head.to.as_ref()) {
        Some(Target::Account(user)) if &user != cx.user() => of_account(cx, user, iq),
        Some(target) => answer(cx, &target, iq),
        None => cx.fx.push(Action::Route(iq)),
    }
}

/// Asked of somebody else's account: if there is one, and it may be reached (RFC 6121
/// section 8.5.1).
fn of_account(cx: &mut SessionCx<'_>, user: BareJid, iq: Stanza) {
    let (env, asked, request) = (Arc::clone(cx.env), user.clone(), iq.clone());
    let hooks = env.hooks();
    let child = iq.head.children.first();
    let hides = child.is_some_and(|c| hooks.iqs.hides_accounts(iq.head.ty, c.ns(), c.name()));
    let reached = async move {
        match env.stores.accounts.get(&user).await? {
            Some(_) => Ok(routing::reaches(&env, &user, &request).await),
            None => Ok(hides),
        }
    };
    cx.job(reached, move |cx, reached: Result<bool, StoreError>| match reached {
        Ok(true) => answer(cx, &Target::Account(asked), iq),
        Ok(false) => cx.refuse(&iq, &StanzaError::service_unavailable()),
        Err(error) => cx.refuse(&iq, &error.into()),
    });
}

/// A request that the server answers.
fn answer(cx: &mut SessionCx<'_>, target: &Target, iq: Stanza) {
    let hooks = cx.env.hooks();
    let Some(child) = iq.head.children.first() else { return };
    let Some((module, handler)) = hooks.iqs.find(iq.head.ty, child.ns(), child.name()) else {
        let error = if child.ns() == ns::BIND {
            // this stream has its resource (RFC 6120 section 7.6.2.2)
            StanzaError::not_allowed()
        } else if matches!(target, Target::Account(user) if user != cx.user()) {
            // as for an account that does not exist (RFC 6121 section 8.5.1)
            StanzaError::service_unavailable()
        } else if hooks.iqs.knows(child.ns(), child.name()) {
            // known with the other type: the request makes no sense (RFC 6120 section 8.3.3.1)
            StanzaError::bad_request()
        } else {
            StanzaError::service_unavailable()
        };
        return cx.refuse(&iq, &error);
    };
    let element = match iq.payload() {
        Some(element) => element,
        None => return cx.refuse(&iq, &StanzaError::bad_request()),
    };
    cx.module = module;
    let answer = handler(&mut IqCx { session: cx, target, iq: &iq }, &element);
    reply(cx, iq, answer);
}

/// Sends the answer now or when it is known.
fn reply(cx: &mut SessionCx<'_>, iq: Stanza, answer: Answer) {
    match answer {
        Answer::Result(xml) => {
            let result = iq.reply_result(&xml);
            cx.send(&result);
        }
        Answer::Error(error) => cx.refuse(&iq, &error),
        Answer::Last(error) => {
            let result = iq.reply_result(&[]);
            cx.send(&result);
            // not to be resumed
            cx.resource.with_sm(|sm| *sm = None);
            cx.fx.end(Some(&error));
        }
        Answer::Sent => {}
        Answer::Later(future) => cx.job(future, move |cx, answer| reply(cx, iq, answer)),
    }
}
