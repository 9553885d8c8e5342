//! IQ stanzas of a client: answered here on behalf of the server and of accounts, or routed.

use super::effects::Action;
use crate::{
    cx::{Answer, IqCx, SessionCx, Target},
    iq::{answer, check, is_request, reached},
};
use storage::StoreError;
use xmpp::{error::StanzaError, stanza::Stanza};

pub(super) fn from_client(cx: &mut SessionCx<'_>, iq: Stanza) {
    if let Err(error) = check(&iq) {
        return cx.refuse(&iq, &error);
    }
    match cx.target(iq.head.to.as_ref()) {
        None => cx.fx.push(Action::Route(iq)),
        // a service may have asked
        Some(Target::Service(_)) if !is_request(&iq) => cx.fx.push(Action::Route(iq)),
        // nobody waits here for an answer to what the server asked
        Some(_) if !is_request(&iq) => {}
        Some(target) => request(cx, target, iq),
    }
}

/// A request that the server answers.
fn request(cx: &mut SessionCx<'_>, target: Target, iq: Stanza) {
    let other = match &target {
        Target::Account(user) if user != cx.user() => user,
        _ => return answered(cx, &target, iq),
    };
    let reached = reached(cx.env, other, &iq);
    cx.job(reached, move |cx, reached: Result<bool, StoreError>| match reached {
        Ok(true) => answered(cx, &target, iq),
        Ok(false) => cx.refuse(&iq, &StanzaError::service_unavailable()),
        Err(error) => cx.refuse(&iq, &error.into()),
    });
}

fn answered(cx: &mut SessionCx<'_>, target: &Target, iq: Stanza) {
    let (env, from) = (cx.env, iq.head.from.as_ref());
    let answer = answer(&mut IqCx { env, from, peer: None, target, iq: &iq, session: Some(cx) });
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
            cx.resource().with_sm(|sm| *sm = None);
            cx.fx.end(Some(&error));
        }
        Answer::Promised => {}
        Answer::Later(future) => cx.job(future, move |cx, answer| reply(cx, iq, answer)),
    }
}
