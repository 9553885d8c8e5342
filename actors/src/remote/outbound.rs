//! Where a user's sessions are on other nodes, and what is handed to these. Knows no rules of routing.

use super::{
    Cluster, TOLD, done, replaces, start_of, way, way_of,
    wire::{Found, Given, Order, Shown, Whom, put_shown, read_found, read_given, read_shown},
};
use crate::{env::Env, resource::PATIENCE, routing::whereabouts::here};
use bytes::Bytes;
use cluster::{AskError, Record, Records, Standing, Start, Token, relay::Way};
use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use supervision::Node;
use xmpp::{
    jid::{BareJid, Jid},
    packed::Reader,
    stanza::Stanza,
};

/// How long a node has to say which sessions it has.
const ASKED: Duration = Duration::from_millis(500);

/// How long a node has to let go of a session that a client wants to resume on this one.
const GIVEN: Duration = Duration::from_millis(1_500);

/// Users that are asked for at once.
const USERS: usize = 100;

/// What is known of where a user's sessions are.
#[derive(Clone, Debug)]
pub(crate) enum Located {
    /// All of them.
    Known(Records),
    /// These, and nodes that are alive may have others.
    Partly(Records),
}

impl Located {
    pub(crate) fn records(self) -> Records {
        let (Self::Known(records) | Self::Partly(records)) = self;
        records
    }
}

/// Looks a user up; when the registry is away, all nodes are asked.
pub(crate) async fn locate(env: &Env, cluster: &Cluster, user: &BareJid) -> Located {
    if let Ok(records) = env.registry.lookup(user.as_str()).await {
        return Located::Known(records);
    }
    let (others, question) = (cluster.view.others(), Order::Where { user: user.clone() });
    let question = Bytes::from(question.to_bytes());
    let answers = others.values().map(|other| {
        let (start, question) = (other.start(), question.clone());
        async move { (start, cluster.exchange.ask(start.node, question, ASKED).await) }
    });
    let (mut all, mut complete) = (Vec::new(), true);
    for (start, answer) in join_all(answers).await {
        match answer.map(read_found) {
            Ok(Some(found)) => all.extend(found.into_iter().map(|one| record(start, one))),
            // one that is dead by now has no sessions
            _ => complete &= !cluster.view.lives(start),
        }
    }
    match complete {
        true => Located::Known(all.into()),
        false => Located::Partly(all.into()),
    }
}

/// Whether the node of a record has that session, and how long ago it was bound, in seconds; none: it does not say so in time.
pub(crate) async fn age(cluster: &Cluster, user: &BareJid, record: &Record) -> Option<Option<u64>> {
    let start = start_of(record);
    if !cluster.view.lives(start) {
        // nothing is known of it yet, or it is dead, which the registry learns
        return None;
    }
    let question = Order::Where { user: user.clone() }.to_bytes().into();
    let found = read_found(cluster.exchange.ask(start.node, question, ASKED).await.ok()?)?;
    let is = |one: &Found| one.session == record.token.session && *one.resource == *record.resource;
    Some(found.iter().find(|one| is(one)).map(|one| one.age))
}

fn record(start: Start, Found { resource, session, priority, .. }: Found) -> Record {
    let token = Token { node: start.node, incarnation: start.incarnation, session };
    Record { resource: resource.into(), token, priority, seq: 0 }
}

/// Those of the records that are not of this node.
pub(crate) fn elsewhere<'a>(
    cluster: &Cluster,
    records: &'a Records,
) -> impl Iterator<Item = &'a Record> + use<'a> {
    let me = cluster.view.me().node;
    records.iter().filter(move |record| record.token.node != me)
}

/// The nodes with sessions of the user that fit.
fn nodes(cluster: &Cluster, located: &Located, fits: impl Fn(&Record) -> bool) -> BTreeSet<Start> {
    match located {
        Located::Known(all) => elsewhere(cluster, all).filter(|r| fits(r)).map(start_of).collect(),
        // whoever has none does nothing
        Located::Partly(_) => cluster.view.others().values().map(|other| other.start()).collect(),
    }
}

fn fits(whom: &Whom) -> impl Fn(&Record) -> bool + use<> {
    let least = match whom {
        Whom::Available => Some(i8::MIN),
        Whom::NonNegative => Some(0),
        Whom::Marked(_) => None,
    };
    move |record| least.is_none_or(|least| record.priority.is_some_and(|p| p >= least))
}

/// What is cached of a user, or has to be looked up.
pub(crate) async fn known(env: &Env, cluster: &Cluster, user: &BareJid) -> Located {
    match env.registry.cached(user.as_str()) {
        Some(records) => Located::Known(records),
        None => locate(env, cluster, user).await,
    }
}

/// A stanza for sessions of a user on other nodes, which wait for it there if they do not take it now. Drops what a node does not
/// take any more.
pub(crate) fn send_to_sessions(
    env: &Env,
    cluster: &Cluster,
    located: &Located,
    (user, whom, each): (&BareJid, &Whom, bool),
    stanza: &Stanza,
) -> Vec<tokio::sync::oneshot::Receiver<()>> {
    let mut told = Vec::new();
    let nodes = nodes(cluster, located, fits(whom));
    if nodes.is_empty() {
        return told;
    }
    let order =
        Order::Sessions { user: user.clone(), whom: whom.clone(), each, stanza: stanza.clone() };
    let (item, way) = (order.to_bytes(), way(stanza.head.from.as_ref(), user, 0));
    let waits = matches!(whom, Whom::Marked(_));
    let instead = replaces(stanza, &[user.clone().into()]).filter(|_| !waits);
    for to in nodes {
        match cluster.hand(to, way, item.clone(), instead, waits) {
            Ok(one) => told.extend(one),
            Err(_) => env.metrics.remote_full(),
        }
    }
    told
}

/// Presence for contacts on other nodes: for each node once.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<Start, Vec<Jid>>);

impl Groups {
    /// Whether there is nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A contact, wherever they are available.
    pub(crate) async fn add(&mut self, env: &Env, cluster: &Cluster, contact: &Jid) {
        let located = known(env, cluster, &contact.bare()).await;
        for node in nodes(cluster, &located, fits(&Whom::Available)) {
            self.0.entry(node).or_default().push(contact.clone());
        }
    }

    /// All of them.
    pub(crate) fn contacts(&self) -> impl Iterator<Item = &Jid> {
        self.0.values().flatten()
    }

    /// Hands it over.
    pub(crate) fn send(&self, env: &Env, cluster: &Cluster, stanza: &Stanza) {
        let Some(from) = stanza.head.from.as_ref().map(Jid::bare) else { return };
        for (node, to) in &self.0 {
            let order = Order::Contacts { to: to.clone(), stanza: stanza.with_to(None) };
            let instead = replaces(stanza, to);
            if cluster.hand(*node, way_of(&from), order.to_bytes(), instead, false).is_err() {
                env.metrics.remote_full();
            }
        }
    }
}

/// Sessions of a user end on other nodes: all, or that of a record. Waits until that is so, but not for ever.
pub(crate) async fn end(
    env: &Env,
    cluster: &Cluster,
    user: &BareJid,
    one: Option<&Record>,
    why: crate::resource::Ended,
) {
    let to = match one {
        Some(record) => BTreeSet::from([start_of(record)]),
        None => nodes(cluster, &locate(env, cluster, user).await, |_| true),
    };
    let session = one.map(|record| (record.resource.to_string(), record.token.session));
    let item = Order::End { user: user.clone(), session, why }.to_bytes();
    let mut patience = TOLD;
    let mut told = Vec::new();
    for to in to {
        if cluster.view.other(to.node).is_some_and(|other| other.connected) {
            patience = PATIENCE;
        }
        match cluster.hand(to, way_of(user), item.clone(), None, true) {
            Ok(one) => told.extend(one),
            Err(_) => env.metrics.remote_full(),
        }
    }
    done(told, patience).await;
}

/// Tells a module on all nodes with sessions of the user that it changed their data. Waits until it knows, but not for ever.
pub(crate) async fn tell(env: &Env, user: &BareJid, module: &str, what: Vec<u8>) {
    let Some(cluster) = &env.cluster else { return };
    let located = locate(env, cluster, user).await;
    let order = Order::Told { user: user.clone(), module: module.to_owned(), what: what.into() };
    let item = order.to_bytes();
    let mut told = Vec::new();
    for to in nodes(cluster, &located, |_| true) {
        match cluster.hand(to, way_of(user), item.clone(), None, true) {
            Ok(one) => told.extend(one),
            Err(_) => env.metrics.remote_full(),
        }
    }
    done(told, TOLD).await;
}

/// Offline storage on all nodes with sessions of the user hears of a message that it keeps.
pub(crate) async fn divert(env: &Env, user: &BareJid, module: &str, id: u64) {
    let Some(cluster) = &env.cluster else { return };
    // one that became available just now is in no cache, and Redis does not say when it was emptied
    env.registry.forget(user.as_str());
    let located = locate(env, cluster, user).await;
    let item = Order::Divert { user: user.clone(), module: module.to_owned(), id }.to_bytes();
    for to in nodes(cluster, &located, fits(&Whom::NonNegative)) {
        if cluster.hand(to, way_of(user), item.clone(), None, false).is_err() {
            env.metrics.remote_full();
        }
    }
}

/// All nodes hear it, when they can.
pub(crate) fn tell_all(cluster: &Cluster, order: &Order) {
    let item = order.to_bytes();
    for other in cluster.view.others().values() {
        drop(cluster.hand(other.start(), Way::default(), item.clone(), None, false));
    }
}

/// Other nodes end so many sessions of the user that wait to be resumed; how many they did.
pub(crate) async fn make_room(env: &Env, cluster: &Cluster, user: &BareJid, needed: u64) -> u64 {
    let located = locate(env, cluster, user).await;
    let mut made = 0;
    for node in nodes(cluster, &located, |_| true) {
        if made >= needed {
            break;
        }
        let order = Order::Room { user: user.clone(), needed: needed - made };
        let answer = cluster.exchange.ask(node.node, order.to_bytes().into(), PATIENCE).await;
        let number = |answer: Bytes| Reader::new(answer).number();
        made += answer.ok().and_then(number).unwrap_or_default();
    }
    made
}

/// Asks the nodes with sessions of the user for the one with that token; all, while it is not known which those are. What each says;
/// none: nothing in time.
pub(crate) async fn ask_for(
    env: &Env,
    cluster: &Cluster,
    user: &BareJid,
    token: &str,
) -> BTreeMap<Node, Option<Given>> {
    let nodes: BTreeSet<Node> =
        match tokio::time::timeout(ASKED, env.registry.lookup(user.as_str())).await {
            Ok(Ok(records)) => elsewhere(cluster, &records).map(|r| r.token.node).collect(),
            _ => cluster.view.others().keys().copied().collect(),
        };
    let all = nodes.into_iter().map(|node| async move {
        let given = match cluster.view.other(node) {
            Some(_) => ask_one(cluster, node, user, token).await,
            None => None,
        };
        (node, given)
    });
    join_all(all).await.into_iter().collect()
}

/// The same of one.
pub(crate) async fn ask_one(
    cluster: &Cluster,
    node: Node,
    user: &BareJid,
    token: &str,
) -> Option<Given> {
    let order = Order::Give { user: user.clone(), token: token.to_owned() };
    read_given(cluster.exchange.ask(node, order.to_bytes().into(), GIVEN).await.ok()?)
}

/// Asks all others where clients come to them, for those that are sent away from here. Which may take sessions of this node.
pub(crate) async fn ask_around(cluster: &Cluster) -> Vec<Node> {
    let others = cluster.view.others();
    let up = others.values().filter(|o| o.connected && o.member.standing == Standing::Up);
    let question = Bytes::from(Order::Place.to_bytes());
    let asked = up.map(|other| {
        let (node, question) = (other.member.node, question.clone());
        async move { (node, cluster.exchange.ask(node, question, ASKED).await) }
    });
    let (mut nodes, mut places) = (Vec::new(), Vec::new());
    for (node, place) in join_all(asked).await {
        let Ok(place) = place else { continue };
        nodes.push(node);
        places.extend(String::from_utf8(place.into()).ok().filter(|place| !place.is_empty()));
    }
    cluster.places.store(Arc::new(places));
    nodes
}

/// Offers a session to a node: when this resolves it has it, or does not take it now.
pub(crate) async fn offer(cluster: &Cluster, to: Node, user: &BareJid, token: &str) {
    let order = Order::Take { user: user.clone(), token: token.to_owned() };
    if let Err(error) = cluster.exchange.ask(to, order.to_bytes().into(), PATIENCE).await {
        tracing::debug!(node = %to, %error, "a session is not taken");
    }
}

/// Which messages of the offline storage sessions of the user on other nodes have.
pub(crate) async fn sent_there(env: &Env, user: &BareJid) -> BTreeSet<u64> {
    let mut sent = BTreeSet::new();
    let Some(cluster) = &env.cluster else { return sent };
    let item = Bytes::from(Order::Sent { user: user.clone() }.to_bytes());
    for node in nodes(cluster, &locate(env, cluster, user).await, |_| true) {
        let answer = cluster.exchange.ask(node.node, item.clone(), TOLD).await;
        let ids = |answer| Reader::new(answer).list(Reader::number);
        sent.extend(answer.ok().and_then(ids).unwrap_or_default());
    }
    sent
}

/// What `by` sees of the sessions that users have on this node.
pub(crate) fn shown_here(env: &Env, by: &Jid, users: &[BareJid]) -> Vec<Shown> {
    let all = users.iter().flat_map(|user| here(env, user));
    all.map(|resource| Shown {
        jid: resource.jid().clone().into(),
        presence: resource.presence().map(|(presence, _)| presence),
        directs: resource.directed_has(by) || resource.directed_has(&by.bare_jid()),
        blocks: resource.blocks(by),
    })
    .collect()
}

/// What `by` sees of the sessions of users on other nodes; and which nodes with sessions of them did not answer.
pub(crate) async fn shown_there(
    env: &Env,
    by: &Jid,
    users: &[BareJid],
) -> (Vec<Shown>, BTreeSet<Start>) {
    let (mut all, mut silent) = (Vec::new(), BTreeSet::new());
    let Some(cluster) = &env.cluster else { return (all, silent) };
    let mut groups: BTreeMap<Start, Vec<BareJid>> = BTreeMap::new();
    for user in users {
        let located = known(env, cluster, user).await;
        for node in nodes(cluster, &located, |_| true) {
            groups.entry(node).or_default().push(user.clone());
        }
    }
    for (node, users) in groups {
        for users in users.chunks(USERS) {
            let order = Order::Shown { by: by.clone(), users: users.to_vec() };
            let answer = cluster.exchange.ask(node.node, order.to_bytes().into(), TOLD).await;
            match answer.and_then(|answer| read_shown(answer).ok_or(AskError::Unknown)) {
                Ok(shown) => all.extend(shown),
                Err(_) => {
                    silent.insert(node);
                }
            }
        }
    }
    (all, silent)
}

/// The answer to [`Order::Shown`].
pub(super) fn answer_shown(env: &Env, by: &Jid, users: &[BareJid]) -> Vec<u8> {
    put_shown(&shown_here(env, by, users))
}

/// Which start of a node a stanza of a pair may still be on its way to, if it is to go to another.
pub(crate) fn is_on_way(
    cluster: &Cluster,
    from: Option<&Jid>,
    user: &BareJid,
    (but, hops): (Option<Start>, u8),
) -> bool {
    cluster.relay.is_on_way(way(from, user, hops), but)
}

/// Resolves when nothing of a pair is on its way elsewhere; what came by other nodes does not wait for ever.
pub(crate) async fn settled(
    cluster: &Arc<Cluster>,
    from: Option<&Jid>,
    user: &BareJid,
    (but, hops): (Option<Start>, u8),
) {
    let settled = cluster.relay.settled(way(from, user, hops), but);
    if hops == 0 {
        settled.await;
    } else if tokio::time::timeout(PATIENCE, settled).await.is_err() {
        tracing::warn!(%user, "messages between nodes may be out of order");
    }
}
