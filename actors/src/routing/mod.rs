//! Which way a stanza goes: the rules of RFC 6121 section 8 over the local table, and over other nodes ([`elsewhere`]).
//!
//! Runs in the process of whoever sends (law 3): a message to a connected user is one look into the
//! table and one push into a queue. What needs a store comes back as a future, which the sender's
//! connection runs before it reads on, so that the order per sender and receiver is kept.

mod elsewhere;
pub mod everywhere;
pub mod explained;
pub mod presence;
mod stored;
#[cfg(test)]
mod tests;
pub mod trip;
pub(crate) mod whereabouts;

pub use everywhere::{divert, is_connected, others_available, to_available, to_marked};
pub(crate) use stored::sender;
pub use trip::{HOPS, Trip};
pub use whereabouts::{Missed, here, to_resource};
pub(crate) use whereabouts::{
    divert_here, none_leaves, to_available_here, to_marked_here, to_non_negative_here,
};

use crate::{
    env::Env,
    future::BoxFuture,
    hooks::{Flow, Offline},
    iq,
    resource::{Ended, Keeping, Refused, Resource, Share},
    service,
    sessions::park::note_again,
};
use cluster::Records;
use elsewhere::Next;
use std::sync::Arc;
use storage::StoreError;
use stored::{first_of_all, stored_first};
use tokio::task::coop::consume_budget;
use whereabouts::{Best, best, session_of};
use xmpp::{
    error::StanzaError,
    jid::{BareJid, Jid},
    stanza::{Kind, Stanza, Type},
};

/// Sends a stanza to its `to`. A future when a store has to be asked.
pub fn route(env: &Arc<Env>, stanza: Stanza) -> Option<BoxFuture<()>> {
    let to = stanza.head.to.clone()?;
    if env.hosts.find(&to).is_none() {
        if let Some(service) = env.service(&to) {
            return service::deliver(env, service, stanza);
        }
        // no connections to other domains: RFC 6120 section 8.3.3.16
        return bounce(env, &stanza, &StanzaError::remote_server_not_found());
    }
    match (to.node(), to.resource()) {
        (Some(_), Some(_)) if stanza.head.ty == Type::Probe => presence::probed(env, to, stanza),
        (Some(_), Some(_)) if !stanza.head.ty.is_subscription() => {
            full(env, stanza, Trip::IN_ORDER)
        }
        (Some(_), _) => to_account(env, to.bare(), stanza),
        (None, _) => to_server(env, stanza),
    }
}

/// Sends a stanza on its way and waits until it is delivered, stored or bounced. Whoever sends to thousands
/// lets others have their turn in between.
pub async fn send(env: &Arc<Env>, stanza: Stanza) {
    consume_budget().await;
    if let Some(later) = route(env, stanza) {
        later.await;
    }
}

/// RFC 6121 section 8.5.3: addressed to a session.
pub(crate) fn full(env: &Arc<Env>, stanza: Stanza, trip: Trip) -> Option<BoxFuture<()>> {
    full_to(env, stanza, (trip, None))
}

fn full_to(
    env: &Arc<Env>,
    mut stanza: Stanza,
    (trip, found): (Trip, Option<Records>),
) -> Option<BoxFuture<()>> {
    let to = stanza.head.to.clone()?;
    if let Some(cluster) = &env.cluster {
        match elsewhere::session(env, cluster, &to, stanza, (trip, found)) {
            Next::Here(back) => stanza = back,
            Next::Gone(later) => return later,
        }
    }
    match to_resource(env, &to.bare(), to.resource()?, stanza) {
        Ok(()) => None,
        Err(Missed::Refused(why)) => refused(env, to.bare(), why, trip),
        Err(Missed::Unstored(resource, stanza)) => {
            let sessions = vec![(resource, Share::default())];
            Some(stored_first(env, to.bare(), sessions, stanza, false, trip))
        }
        Err(Missed::Nobody(stanza)) => no_such_resource(env, &to, stanza, trip),
    }
}

/// RFC 6121 section 8.5.3.2: nobody has the full JID.
fn no_such_resource(env: &Arc<Env>, to: &Jid, stanza: Stanza, trip: Trip) -> Option<BoxFuture<()>> {
    match (stanza.head.kind, stanza.head.ty) {
        // 8.5.3.2.1: a chat goes on as if addressed to the account
        (Kind::Message, Type::Chat) => message(env, to.bare(), stanza, trip),
        (Kind::Message, Type::Error | Type::Headline) | (Kind::Presence, _) => None,
        (Kind::Message, _) | (Kind::Iq, _) => {
            bounce(env, &stanza, &StanzaError::service_unavailable())
        }
    }
}

/// RFC 6121 section 8.5.2: addressed to an account.
fn to_account(env: &Arc<Env>, user: BareJid, stanza: Stanza) -> Option<BoxFuture<()>> {
    match stanza.head.kind {
        Kind::Message => message(env, user, stanza, Trip::IN_ORDER),
        Kind::Presence => presence::to_account(env, user, stanza),
        // a client's is answered in its session, before it gets here
        Kind::Iq => iq::responded(env, stanza),
    }
}

/// RFC 6121 sections 8.5.2.1.1 and 8.5.2.2.1.
pub(crate) fn message(
    env: &Arc<Env>,
    user: BareJid,
    stanza: Stanza,
    trip: Trip,
) -> Option<BoxFuture<()>> {
    message_to(env, user, stanza, (trip, None))
}

/// `found`: where the user's sessions are, if that was looked up for it.
pub(crate) fn message_to(
    env: &Arc<Env>,
    user: BareJid,
    mut stanza: Stanza,
    (trip, found): (Trip, Option<Records>),
) -> Option<BoxFuture<()>> {
    match stanza.head.ty {
        Type::Error => return None,
        Type::Groupchat => return bounce(env, &stanza, &StanzaError::service_unavailable()),
        Type::Headline => return everywhere::to_non_negative(env, &user, &stanza),
        _ => {}
    }
    let best = match best(env, &user, trip) {
        Best::Of(best) => best,
        Best::After(leaving) => {
            let env = Arc::clone(env);
            return Some(Box::pin(async move {
                let waited = !leaving.is_over().await;
                if let Some(later) = message(&env, user, stanza, Trip { waited, ..trip }) {
                    later.await;
                }
            }));
        }
    };
    if let Some(cluster) = &env.cluster {
        if !trip.now && !trip.waited && !trip.copy && cluster.is_awaited(&user) {
            let (env, cluster) = (Arc::clone(env), Arc::clone(cluster));
            return Some(Box::pin(async move {
                cluster.has_come(&user).await;
                let trip = Trip { waited: true, ..trip };
                if let Some(later) = message_to(&env, user, stanza, (trip, None)) {
                    later.await;
                }
            }));
        }
        let top = best.first().and_then(|resource| resource.priority());
        match elsewhere::account(env, cluster, &user, stanza, top, (trip, found)) {
            Next::Here(back) => stanza = back,
            Next::Gone(later) => return later,
        }
    }
    match best.as_slice() {
        copies if trip.copy => {
            // it does not go on its way again from here: as if it was delivered
            let share = Share::default();
            share.delivered();
            for resource in copies {
                drop(resource.deliver_as(stanza.clone(), Some(share.clone()), Keeping::Not));
            }
            None
        }
        [] => Some(Box::pin(offline(Arc::clone(env), user, stanza))),
        [one] => match one.deliver(stanza) {
            Ok(()) => None,
            Err(Refused::Unstored(stanza)) => {
                let sessions = vec![(Arc::clone(one), Share::default())];
                Some(stored_first(env, user, sessions, stanza, false, trip))
            }
            Err(why) => refused(env, user, why, trip),
        },
        several => hand_to_all(env, user, several, stanza, trip),
    }
}

/// For several resources of a user: refused when all of them refuse it.
fn hand_to_all(
    env: &Arc<Env>,
    user: BareJid,
    resources: &[Arc<Resource>],
    stanza: Stanza,
    trip: Trip,
) -> Option<BoxFuture<()>> {
    let share = Share::default();
    let (mut taken, mut why, mut unstored) = (false, None, Vec::new());
    for resource in resources {
        match resource.deliver_shared(stanza.clone(), share.clone()) {
            Ok(()) => taken = true,
            Err(Refused::Unstored(_)) => unstored.push((Arc::clone(resource), share.clone())),
            Err(refused) => why = Some(first_of_all(why, refused)),
        }
    }
    match why {
        _ if !unstored.is_empty() => Some(stored_first(env, user, unstored, stanza, taken, trip)),
        Some(why) if !taken => refused(env, user, why, trip),
        // whoever took it has ended already
        _ if share.given_up() => message(env, user, stanza, trip),
        _ => None,
    }
}

/// What a resource does not take is dealt with by kind (law 11).
fn refused(env: &Arc<Env>, user: BareJid, why: Refused, trip: Trip) -> Option<BoxFuture<()>> {
    match why {
        Refused::Blocked(stanza) => blocked(env, &stanza),
        Refused::Moved(stanza) => Some(elsewhere::follows(env, user, stanza, trip)),
        // as if it had not been found
        Refused::Ended(stanza) => match (stanza.head.kind, stanza.head.ty) {
            (Kind::Message, Type::Normal | Type::Chat) => message(env, user, stanza, trip),
            (Kind::Presence, _) => None,
            _ => bounce(env, &stanza, &StanzaError::service_unavailable()),
        },
        Refused::Unstored(stanza) => Some(Box::pin(offline(Arc::clone(env), user, stanza))),
        Refused::Full(stanza, coming) => {
            env.metrics.queue_full();
            match (stanza.head.kind, stanza.head.ty) {
                (Kind::Message, Type::Normal | Type::Chat) => {
                    let offline = offline(Arc::clone(env), user, stanza);
                    Some(Box::pin(async move {
                        offline.await;
                        drop(coming);
                    }))
                }
                (Kind::Presence, _) => None,
                _ => bounce(env, &stanza, &StanzaError::resource_constraint()),
            }
        }
    }
}

/// What the sender of a blocked stanza is told: as if there were nobody (XEP-0191 section 3.3).
pub fn blocked(env: &Arc<Env>, stanza: &Stanza) -> Option<BoxFuture<()>> {
    match stanza.head.kind {
        Kind::Presence => None,
        _ => bounce(env, stanza, &StanzaError::service_unavailable()),
    }
}

/// A message that no resource takes: modules may keep it, otherwise its sender is told
/// (RFC 6121 section 8.5.2.2.1, XEP-0160).
pub async fn offline(env: Arc<Env>, user: BareJid, stanza: Stanza) {
    let error = match env.stores.accounts.was_there(&user).await {
        Ok(false) => StanzaError::service_unavailable(),
        Err(error) => error.into(),
        Ok(true) => match keep(&env, &user, stanza.clone()).await {
            Ok(()) => return,
            Err(error) => error,
        },
    };
    if let Some(later) = bounce(&env, &stanza, &error) {
        later.await;
    }
}

async fn keep(env: &Arc<Env>, user: &BareJid, mut stanza: Stanza) -> Result<(), StanzaError> {
    for row in &env.hooks().offline {
        match (row.run)(env, user, stanza).await {
            Offline::Pass(back) => stanza = back,
            Offline::Taken => return Ok(()),
            Offline::Bounce(_, error) => return Err(error),
        }
    }
    Err(StanzaError::service_unavailable())
}

/// Addressed to the server itself.
fn to_server(env: &Arc<Env>, stanza: Stanza) -> Option<BoxFuture<()>> {
    match (stanza.head.kind, stanza.head.ty) {
        // it has no presence that one could see
        (Kind::Presence, Type::Subscribe) => {
            let (from, to) = (stanza.head.to.clone(), stanza.head.from.clone());
            route(env, Stanza::presence(Type::Unsubscribed).with_from(from).with_to(to))
        }
        (Kind::Presence, _) => None,
        (Kind::Iq, _) => iq::responded(env, stanza),
        (Kind::Message, _) => bounce(env, &stanza, &StanzaError::service_unavailable()),
    }
}

/// Tells the sender that its stanza failed; never answers an error or a result (RFC 6120
/// section 8.3.1).
pub fn bounce(env: &Arc<Env>, stanza: &Stanza, error: &StanzaError) -> Option<BoxFuture<()>> {
    let answerable = match stanza.head.kind {
        Kind::Iq => matches!(stanza.head.ty, Type::Get | Type::Set),
        _ => stanza.head.ty != Type::Error,
    };
    if !answerable || stanza.head.from.is_none() {
        return None;
    }
    env.metrics.bounced();
    let reply = stanza.reply_error(error);
    let from = reply.head.to.clone()?;
    if env.service(&from).is_some() {
        return route(env, reply);
    }
    told(env, reply)
}

/// A client is told that something failed which it sent, wherever it is.
pub(crate) fn told(env: &Arc<Env>, reply: Stanza) -> Option<BoxFuture<()>> {
    let to = reply.head.to.clone()?;
    match session_of(env, &to) {
        Some(told) => tell(env, &told, reply),
        None => everywhere::tell(env, &to, reply),
    }
}

/// The same, if it is here.
pub(crate) fn told_here(env: &Arc<Env>, reply: Stanza) -> Option<BoxFuture<()>> {
    let told = session_of(env, reply.head.to.as_ref()?)?;
    tell(env, &told, reply)
}

fn tell(env: &Arc<Env>, told: &Arc<Resource>, reply: Stanza) -> Option<BoxFuture<()>> {
    let kind = reply.head.kind;
    if let Err(Refused::Full(..)) = told.deliver_failure(reply) {
        // nothing may answer an error: a client that takes none of so many hears that it is not told of this one
        env.metrics.queue_full();
        env.managers.end(told, Ended::NoMemory);
    }
    if kind != Kind::Message {
        return None;
    }
    let noted = note_again(env, told);
    if noted.is_none() && told.changes() {
        // nobody says it again
        env.managers.changed(told);
    }
    noted
}

/// Whether `from` may learn something of a local user that goes with presence: the user may, and
/// whom the modules let see it. Nobody sees an account that does not exist.
///
/// # Errors
/// When the store does not answer.
pub async fn sees(env: &Arc<Env>, user: &BareJid, from: &Jid) -> Result<bool, StoreError> {
    if from.bare() == *user {
        return Ok(true);
    }
    let exists = env.stores.accounts.get(user).await?.is_some();
    Ok(exists && may(env, user, from).await == Flow::Continue)
}

/// Whether a stanza may reach an account in whose name the server answers.
pub(crate) async fn reaches(env: &Arc<Env>, user: &BareJid, stanza: &Stanza) -> bool {
    for row in &env.hooks().reaching {
        if (row.run)(env, user, stanza).await == Flow::Stop {
            return false;
        }
    }
    true
}

/// Asks a chain of modules; the first `Stop` decides.
pub(crate) async fn may(env: &Arc<Env>, user: &BareJid, from: &Jid) -> Flow {
    for row in &env.hooks().may_see {
        if (row.run)(env, user, from).await == Flow::Stop {
            return Flow::Stop;
        }
    }
    Flow::Continue
}
