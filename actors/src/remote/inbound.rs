//! What other nodes hand to this one, or ask it.

use super::{
    outbound::{answer_shown, tell_all},
    wire::{Found, Leg, Order, Whom, put_found, put_given},
};
use crate::{
    env::Env,
    future::BoxFuture,
    iq::is_request,
    resource::{Ended, Owner},
    routing::{
        Trip, bounce, divert_here, full, here, message, offline, presence, to_available_here,
        to_marked_here, to_non_negative_here, told_here,
    },
    sessions,
};
use bytes::Bytes;
use cluster::{
    Answering, Start,
    relay::{Handler, Lane, Way},
};
use std::sync::{Arc, OnceLock, Weak};
use supervision::Node;
use xmpp::{
    error::StanzaError,
    jid::BareJid,
    packed::put_number,
    payload::delay::delayed,
    stanza::{Kind, Stanza, Type},
};

/// Does what other nodes want done, once it is part of a node.
#[derive(Debug, Default)]
pub struct Inbound {
    env: OnceLock<Weak<Env>>,
}

impl Inbound {
    /// From here on it is done on this node. Before that nothing may come.
    pub fn serves(&self, env: &Arc<Env>) {
        // the second time it is the same one
        drop(self.env.set(Arc::downgrade(env)));
        if let Some(cluster) = &env.cluster {
            let cluster = Arc::clone(cluster);
            env.throttle.tells(move |pair, address, failed| {
                tell_all(&cluster, &Order::Throttle { pair, address, failed });
            });
        }
    }

    fn env(&self) -> Option<Arc<Env>> {
        self.env.get()?.upgrade()
    }

    /// What is to be done; what this node does not know is counted.
    fn read(&self, item: Bytes) -> Option<(Arc<Env>, Order)> {
        let env = self.env()?;
        match Order::read(item) {
            Some(order) => Some((env, order)),
            None => {
                env.metrics.remote_unknown();
                None
            }
        }
    }
}

impl Handler for Inbound {
    fn take(&self, _: Start, _: Lane, item: Bytes) -> Option<BoxFuture<()>> {
        let (env, order) = self.read(item)?;
        if env.may_act() {
            return perform(&env, order);
        }
        Some(Box::pin(async move {
            env.acts().await;
            if let Some(later) = perform(&env, order) {
                later.await;
            }
        }))
    }

    fn returned(&self, _: Start, _: Way, item: Bytes) -> Option<BoxFuture<()>> {
        let (env, order) = self.read(item)?;
        env.metrics.remote_returned();
        let Order::Stanza { trip, at, stanza, .. } = order else { return None };
        if trip.copy { None } else { back(&env, at, &stanza) }
    }

    fn given_up(&self, _: Start, _: Way, item: Bytes) -> Option<BoxFuture<()>> {
        let (env, order) = self.read(item)?;
        let Order::Stanza { trip, at, stanza, .. } = order else { return None };
        let worth = matches!(
            (stanza.head.kind, stanza.head.ty),
            (Kind::Message, Type::Normal | Type::Chat)
        );
        match (trip.copy, worth) {
            (true, _) => None,
            (false, false) => back(&env, at, &stanza),
            (false, true) => {
                let user = stanza.head.to.as_ref()?.bare();
                let stanza = delayed(&stanza, user.domain(), at, "Not delivered before");
                Some(Box::pin(offline(env, user, stanza)))
            }
        }
    }
}

impl Answering for Inbound {
    fn answer(&self, _: Node, question: Bytes) -> BoxFuture<Option<Bytes>> {
        let Some((env, order)) = self.read(question) else { return Box::pin(async { None }) };
        match order {
            Order::Where { user } => {
                let answer = put_found(&found(&env, &user));
                Box::pin(async move { Some(answer.into()) })
            }
            Order::Shown { by, users } => {
                let answer = answer_shown(&env, &by, &users);
                Box::pin(async move { Some(answer.into()) })
            }
            Order::Sent { user } => {
                let sent = sessions::sent_to_any(&env, &user);
                let mut out = Vec::new();
                put_number(&mut out, sent.len() as u64);
                sent.iter().for_each(|id| put_number(&mut out, *id));
                Box::pin(async move { Some(out.into()) })
            }
            Order::Room { user, needed } => Box::pin(async move {
                let mut out = Vec::new();
                put_number(&mut out, make_room(&env, &user, needed).await);
                Some(out.into())
            }),
            // it would not be this node's to give
            Order::Give { .. } if !env.may_act() || env.is_restoring() => Box::pin(async { None }),
            Order::Give { user, token } => Box::pin(async move {
                let given = sessions::give(&env, &user, &token).await;
                Some(put_given(given).into())
            }),
            // it would give them up again
            Order::Take { .. } if is_draining(&env) || !env.may_act() => Box::pin(async { None }),
            Order::Take { user, token } => {
                Box::pin(async move { sessions::take(&env, &user, &token).await.then(Bytes::new) })
            }
            Order::Place => {
                let place = env.settings().location.clone().unwrap_or_default();
                Box::pin(async move { Some(place.into()) })
            }
            _ => {
                env.metrics.remote_unknown();
                Box::pin(async { None })
            }
        }
    }
}

fn is_draining(env: &Env) -> bool {
    env.cluster.as_ref().is_some_and(|cluster| cluster.view.is_draining())
}

fn perform(env: &Arc<Env>, order: Order) -> Option<BoxFuture<()>> {
    match order {
        Order::Stanza { leg, trip, stanza, .. } => goes_on(env, leg, trip, stanza),
        Order::Contacts { to, stanza } => {
            for to in to {
                to_available_here(env, &to.bare(), &stanza.with_to(Some(to.clone())));
            }
            None
        }
        Order::Sessions { user, whom, each, stanza } => {
            match whom {
                Whom::Marked(mark) => to_marked_here(env, &user, &mark, each, &stanza),
                Whom::NonNegative => to_non_negative_here(env, &user, &stanza),
                Whom::Available if each => {
                    for resource in here(env, &user) {
                        if resource.priority().is_some() {
                            let to = Some(resource.jid().clone().into());
                            drop(resource.deliver(stanza.with_to(to)));
                        }
                    }
                }
                Whom::Available => to_available_here(env, &user, &stanza),
            }
            None
        }
        Order::End { user, session, why } => {
            Some(Box::pin(end(Arc::clone(env), user, session, why)))
        }
        Order::Told { user, module, what } => {
            let row = env.hooks().told.iter().find(|row| row.module == module)?;
            Some((row.run)(env, &user, what))
        }
        Order::Divert { user, module, id } => {
            if let Some(module) = env.hooks().module(&module) {
                divert_here(env, &user, module, id);
            }
            None
        }
        Order::Throttle { pair, address, failed } => {
            env.throttle.heard(pair, address, failed);
            None
        }
        Order::Where { .. }
        | Order::Shown { .. }
        | Order::Sent { .. }
        | Order::Room { .. }
        | Order::Give { .. }
        | Order::Take { .. }
        | Order::Place => {
            env.metrics.remote_unknown();
            None
        }
    }
}

fn goes_on(env: &Arc<Env>, leg: Leg, trip: Trip, stanza: Stanza) -> Option<BoxFuture<()>> {
    match leg {
        Leg::Full => full(env, stanza, trip),
        Leg::Account => {
            let user = stanza.head.to.as_ref()?.bare();
            message(env, user, stanza, trip)
        }
        Leg::Failure => told_here(env, stanza),
        Leg::Probe => {
            let env = Arc::clone(env);
            Some(Box::pin(async move { presence::answer_here(&env, stanza).await }))
        }
    }
}

/// A stanza was on its way to a node that is dead: as one that a session did not get.
fn back(env: &Arc<Env>, at: u64, stanza: &Stanza) -> Option<BoxFuture<()>> {
    match (stanza.head.kind, stanza.head.ty) {
        (Kind::Message, Type::Normal | Type::Chat) => {
            let user = stanza.head.to.as_ref()?.bare();
            let stanza = delayed(stanza, user.domain(), at, "Not delivered before");
            message(env, user, stanza, Trip::NOW)
        }
        (Kind::Message, Type::Groupchat) => {
            bounce(env, stanza, &StanzaError::service_unavailable())
        }
        (Kind::Iq, _) if is_request(stanza) => {
            bounce(env, stanza, &StanzaError::service_unavailable())
        }
        _ => None,
    }
}

async fn end(env: Arc<Env>, user: BareJid, session: Option<(String, u64)>, why: Ended) {
    for resource in here(&env, &user) {
        let meant = session.as_ref().is_none_or(|(_, id)| resource.id() == *id);
        match why {
            _ if !meant => {}
            Ended::Conflict => sessions::is_elsewhere(&env, &resource).await,
            why => sessions::kick(&env, &resource, why).await,
        }
    }
}

fn found(env: &Env, user: &BareJid) -> Vec<Found> {
    let found = here(env, user).into_iter().map(|resource| Found {
        resource: resource.jid().resource().to_owned(),
        session: resource.id(),
        priority: resource.priority(),
        age: resource.age().as_secs(),
    });
    found.collect()
}

/// Sessions of the user that wait to be resumed end, those that were bound first.
async fn make_room(env: &Arc<Env>, user: &BareJid, needed: u64) -> u64 {
    let mut made = 0;
    for resource in here(env, user).iter().filter(|r| r.owner() == Owner::Detached) {
        if made == needed {
            break;
        }
        env.metrics.displaced();
        sessions::kick(env, resource, Ended::Closed).await;
        made += 1;
    }
    made
}
