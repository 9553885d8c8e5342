//! The end of a session, orderly or not: its contacts learn that it is gone, and what it did not
//! get goes on its way again (XEP-0198 section 5, RFC 6121 section 4.5.4, law 11).

use super::{bounce, manager, presence, route};
use crate::{
    env::Env,
    resource::{Ended, Resource},
};
use std::sync::Arc;
use xmpp::{
    error::StanzaError,
    stanza::{Kind, Stanza, Type},
};

/// Ends `resource`: takes it out of the table, tells who saw it, and re-routes what is left.
/// Does nothing the second time.
pub async fn end(env: &Arc<Env>, resource: &Arc<Resource>, why: Ended) {
    env.table.remove(resource);
    let Some(remains) = resource.end(why) else { return };
    manager::unbind(env, resource).await;
    let unavailable =
        Stanza::presence(Type::Unavailable).with_from(Some(resource.jid().clone().into()));
    let was = remains.presence.is_some();
    if was || !remains.directed.is_empty() {
        presence::gone(env, resource, &unavailable, was, &remains.directed).await;
    } else {
        for row in &env.hooks().unavailable {
            (row.run)(env, resource, None).await;
        }
    }
    for stanza in remains.undelivered {
        undelivered(env, resource, stanza).await;
    }
}

/// A stanza that the client never got: a message goes to the user's account again, where another
/// resource or offline storage takes it; a request is answered.
async fn undelivered(env: &Arc<Env>, resource: &Resource, stanza: Stanza) {
    let later = match (stanza.head.kind, stanza.head.ty) {
        (Kind::Message, Type::Normal | Type::Chat) => {
            let user = resource.user().clone();
            let stanza = match &stanza.head.to {
                Some(to) if to.resource().is_some() => stanza.with_to(Some(user.into())),
                Some(_) => stanza,
                None => stanza.with_to(Some(user.into())),
            };
            route(env, stanza)
        }
        // 8.5.3.2.1: a room learns that its occupant is gone
        (Kind::Iq, Type::Get | Type::Set) | (Kind::Message, Type::Groupchat) => {
            bounce(env, &stanza, &StanzaError::service_unavailable())
        }
        _ => None,
    };
    if let Some(later) = later {
        later.await;
    }
}
