//! Blocking command (XEP-0191). The list is kept with each resource of the user, where every
//! delivery looks at it; here is how it gets there, what is refused, and who is told.

#[cfg(test)]
mod tests;

use crate::{
    cx::{Answer, IqCx, SessionCx},
    env::Env,
    future::BoxFuture,
    hooks::{Flow, Offline, Order},
    registrar::{Module, Registrar, Xep},
    resource::{Resource, blocks},
    routing,
    serial::Serial,
    sessions,
};
use bytes::Bytes;
use config::{ByteSize, kib, secs};
use serde::{Deserialize, Serialize};
use std::{ops::Bound, sync::Arc, time::Duration};
use storage::{Blocklist, Roster, StoreError};
use tokio::task::coop::consume_budget;
use xmpp::{
    error::{ErrorType, StanzaError, StanzaErrorCondition},
    jid::{BareJid, Jid},
    ns,
    payload::blocking::{Block, ListQuery, Unblock, items},
    stanza::{Kind, Stanza, Type},
};

config::section! {
    /// Lets users block others (XEP-0191).
    pub struct BlockingConfig {
        /// Addresses a user may block. Beyond it a new one is refused.
        pub items: usize = 1_000, in 1..=100_000,
        /// Size of all addresses a user blocks. Beyond it a new one is refused.
        pub size: ByteSize = kib(256), in kib(4)..,
    }
}

/// The mark of resources that have asked for the list: who gets pushes (section 3.2).
const INTERESTED: &str = "blocking";
/// When to try again to read a list.
const RETRY: Duration = secs(5);

/// The module.
#[derive(Debug)]
pub struct BlockingModule {
    config: BlockingConfig,
    serial: Arc<Serial>,
}

impl Module for BlockingModule {
    const NAME: &'static str = "blocking";
    const XEPS: &'static [Xep] = &[Xep(191, "1.3")];
    const HIDES_ACCOUNTS: bool = true;
    type Config = BlockingConfig;

    fn new(config: BlockingConfig) -> Self {
        Self { config, serial: Arc::default() }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.feature(ns::BLOCKING)
            .mark(INTERESTED)
            .iq_get::<ListQuery>(Self::list)
            .iq_set::<Block>(Self::block)
            .iq_set::<Unblock>(Self::unblock)
            .bound(Order::First, Self::bound)
            .timer(Order::First, Self::load)
            .inbound(Order::Privacy, Self::outgoing)
            .reaching(Order::Privacy, Self::reaching)
            .offline(Order::Privacy, Self::offline)
            .restored(Order::Privacy, Self::restored)
            .told(Order::Privacy, Self::told);
    }
}

impl BlockingModule {
    /// Nothing is delivered before it is known who is blocked.
    fn bound(&self, cx: &mut SessionCx<'_>) {
        cx.hold();
        self.load(cx);
    }

    fn load(&self, cx: &mut SessionCx<'_>) {
        let (env, resource) = (Arc::clone(cx.env), Arc::clone(cx.resource()));
        let serial = Arc::clone(&self.serial);
        let load = async move { load(&env, &serial, &resource).await };
        cx.job(load, |cx, loaded| match loaded {
            Ok(()) => cx.release(),
            Err(error) => {
                tracing::warn!(user = %cx.user(), %error, "a blocklist is not known yet");
                cx.timer(RETRY);
            }
        });
    }

    /// The list that a session was stored with may be an old one: other sessions have changed it since.
    fn restored(&self, env: &Arc<Env>, resource: &Arc<Resource>) -> BoxFuture<()> {
        let (env, resource) = (Arc::clone(env), Arc::clone(resource));
        let serial = Arc::clone(&self.serial);
        Box::pin(async move {
            if let Err(error) = load(&env, &serial, &resource).await {
                tracing::warn!(jid = %resource.jid(), %error, "a blocklist may be an old one");
            }
        })
    }

    /// Another node has changed the list.
    fn told(&self, env: &Arc<Env>, user: &BareJid, what: Bytes) -> BoxFuture<()> {
        let (env, user, serial) = (Arc::clone(env), user.clone(), Arc::clone(&self.serial));
        Box::pin(async move {
            let Ok(changed) = serde_json::from_slice::<Changed>(&what) else { return };
            if let Err(error) = follow(&env, &serial, &user, changed).await {
                tracing::warn!(%user, %error, "a blocklist may be an old one");
            }
        })
    }

    /// Section 3.3: what the user sends to a blocked address comes back.
    fn outgoing(&self, cx: &mut SessionCx<'_>, stanza: &Stanza) -> Flow {
        if !stanza.head.to.as_ref().is_some_and(|to| cx.resource().blocks(to)) {
            return Flow::Continue;
        }
        let blocked = format!("<blocked xmlns='{}'/>", ns::BLOCKING_ERRORS);
        let error = StanzaError::new(ErrorType::Cancel, StanzaErrorCondition::NotAcceptable);
        cx.refuse(stanza, &error.with_app(&blocked));
        Flow::Stop
    }

    /// What the server would answer or do in the user's name.
    fn reaching(&self, env: &Arc<Env>, user: &BareJid, stanza: &Stanza) -> BoxFuture<Flow> {
        let blocked = is_blocked(env, user, stanza);
        Box::pin(async move {
            match blocked.await {
                Ok(false) => Flow::Continue,
                Ok(true) | Err(_) => Flow::Stop,
            }
        })
    }

    /// What would be kept for the user.
    fn offline(&self, env: &Arc<Env>, user: &BareJid, message: Stanza) -> BoxFuture<Offline> {
        let blocked = is_blocked(env, user, &message);
        Box::pin(async move {
            match blocked.await {
                Ok(false) => Offline::Pass(message),
                Ok(true) => Offline::Bounce(message, StanzaError::service_unavailable()),
                Err(error) => Offline::Bounce(message, error.into()),
            }
        })
    }

    /// Section 3.1. Pushes wait until the answer is sent: none is missed and none comes first.
    fn list(&self, cx: &mut IqCx<'_, '_>, _: ListQuery) -> Answer {
        let iq = cx.iq.clone();
        let session = match cx.own_session() {
            Ok(session) => session,
            Err(error) => return error.into(),
        };
        let user = session.user().clone();
        let env = Arc::clone(session.env);
        session.resource().mark(INTERESTED);
        answer(session, iq, async move {
            let list = env.stores.blocklists.get(&user).await?;
            Ok(items("blocklist", list.iter()).to_xml().into_bytes())
        })
    }

    /// Section 3.2.
    fn block(&self, cx: &mut IqCx<'_, '_>, Block(jids): Block) -> Answer {
        let iq = cx.iq.clone();
        let session = match cx.own_session() {
            Ok(session) => session,
            Err(error) => return error.into(),
        };
        let user = session.user().clone();
        let (env, serial) = (Arc::clone(session.env), Arc::clone(&self.serial));
        let config = self.config.clone();
        answer(session, iq, async move {
            block(&env, &serial, &config, &user, jids).await?;
            Ok(Vec::new())
        })
    }

    /// Sections 3.4 and 3.5.
    fn unblock(&self, cx: &mut IqCx<'_, '_>, Unblock(jids): Unblock) -> Answer {
        let iq = cx.iq.clone();
        let session = match cx.own_session() {
            Ok(session) => session,
            Err(error) => return error.into(),
        };
        let user = session.user().clone();
        let (env, serial) = (Arc::clone(session.env), Arc::clone(&self.serial));
        answer(session, iq, async move {
            let (roster, before, after) = {
                let _turn = serial.turn(&user).await;
                let store = &env.stores.blocklists;
                let roster = env.stores.rosters.get(&user).await?;
                let before = store.get(&user).await?;
                let after = store.remove(&user, jids.clone()).await?;
                refuse_all(&env, enforce(&env, &user, &after)).await;
                push(&env, &user, "unblock", &jids);
                (roster, before, after)
            };
            let gone = before.iter().filter(|jid| !after.contains(*jid)).cloned().collect();
            tell(&env, &user, Changed { blocks: false, jids, differs: gone }).await;
            reveal(&env, &user, &roster, &before, &after).await;
            Ok(Vec::new())
        })
    }
}

/// Answers when `future` is done, before what waits in the queue.
fn answer(
    session: &mut SessionCx<'_>,
    iq: Stanza,
    future: impl Future<Output = Result<Vec<u8>, StoreError>> + Send + 'static,
) -> Answer {
    session.hold();
    session.job(future, move |cx, answer| {
        match answer {
            Ok(xml) => cx.send(&iq.reply_result(&xml)),
            Err(error) => cx.refuse(&iq, &error.into()),
        }
        cx.release();
    });
    Answer::Promised
}

/// Whether the sender of a stanza is blocked, by the store.
fn is_blocked(
    env: &Arc<Env>,
    user: &BareJid,
    stanza: &Stanza,
) -> impl Future<Output = Result<bool, StoreError>> + use<> {
    let (env, user, from) = (Arc::clone(env), user.clone(), stanza.head.from.clone());
    async move {
        let Some(from) = from else { return Ok(false) };
        let list = env.stores.blocklists.get(&user).await?;
        Ok(!list.is_empty() && blocks(&list, &user, &from))
    }
}

/// Reads the list for a resource. It and a change of it do not overtake one another.
async fn load(env: &Arc<Env>, serial: &Serial, resource: &Resource) -> Result<(), StoreError> {
    let _turn = serial.turn(resource.user()).await;
    let list = env.stores.blocklists.get(resource.user()).await?;
    refuse(env, resource, &resource.set_blocked(&list)).await;
    Ok(())
}

async fn block(
    env: &Arc<Env>,
    serial: &Serial,
    config: &BlockingConfig,
    user: &BareJid,
    jids: Vec<Jid>,
) -> Result<(), StoreError> {
    let _turn = serial.turn(user).await;
    let store = &env.stores.blocklists;
    // without knowing whom to tell nobody is blocked
    let roster = env.stores.rosters.get(user).await?;
    let before = store.get(user).await?;
    // who has too many since the limit was lowered keeps them
    let more: Blocklist = jids.iter().filter(|j| !before.contains(*j)).cloned().collect();
    let bytes: usize = before.iter().chain(&more).map(Jid::weight).sum();
    if !more.is_empty() && bytes > config.size.0 {
        return Err(StoreError::Full { limit: config.size.0 });
    }
    let after = store.add(user, jids.clone(), config.items).await?;
    let new: Blocklist =
        Blocklist::clone(&after).into_iter().filter(|j| !before.contains(j)).collect();
    // in force first: what a resource shows of itself at this moment is seen before it is seen to go
    let waiting = enforce(env, user, &after);
    hide(env, user, &roster, &new, &before).await;
    refuse_all(env, waiting).await;
    push(env, user, "block", &jids);
    tell(env, user, Changed { blocks: true, jids, differs: new.into_iter().collect() }).await;
    Ok(())
}

/// What the other nodes are told of a change.
#[derive(Debug, Serialize, Deserialize)]
struct Changed {
    /// Whether they are blocked now.
    blocks: bool,
    /// Whom the client named.
    jids: Vec<Jid>,
    /// Those of the list who were not in it before, or are not any more.
    differs: Vec<Jid>,
}

/// The list is in force on all nodes when this is done, but on one that does not answer.
async fn tell(env: &Env, user: &BareJid, changed: Changed) {
    if env.cluster.is_some()
        && let Ok(what) = serde_json::to_vec(&changed)
    {
        routing::everywhere::changed(env, user, BlockingModule::NAME, what).await;
    }
}

/// The same as on the node that changed it, for the sessions here.
async fn follow(
    env: &Arc<Env>,
    serial: &Serial,
    user: &BareJid,
    Changed { blocks, jids, differs }: Changed,
) -> Result<(), StoreError> {
    let turn = serial.turn(user).await;
    let roster = env.stores.rosters.get(user).await?;
    let after = env.stores.blocklists.get(user).await?;
    let differs = Blocklist::from_iter(differs);
    let mut before = Blocklist::clone(&after);
    let waiting = enforce(env, user, &after);
    if blocks {
        before.retain(|jid| !differs.contains(jid));
        hide(env, user, &roster, &differs, &before).await;
        refuse_all(env, waiting).await;
        push(env, user, "block", &jids);
    } else {
        before.extend(differs);
        refuse_all(env, waiting).await;
        push(env, user, "unblock", &jids);
        drop(turn);
        reveal(env, user, &roster, &before, &after).await;
    }
    Ok(())
}

/// From here on the list is in force for all resources of the user. What had waited for them of those it names.
fn enforce(env: &Env, user: &BareJid, list: &Arc<Blocklist>) -> Vec<(Arc<Resource>, Vec<Stanza>)> {
    let resources = routing::here(env, user).into_iter();
    let waiting = |resource: Arc<Resource>| {
        let stanzas = resource.set_blocked(list);
        (resource, stanzas)
    };
    resources.map(waiting).collect()
}

/// What had waited for clients of a user.
type Waiting = Vec<(Arc<Resource>, Vec<Stanza>)>;

async fn refuse_all(env: &Arc<Env>, waiting: Waiting) {
    for (resource, stanzas) in waiting {
        refuse(env, &resource, &stanzas).await;
    }
}

/// What had waited for the client of somebody who is blocked now. Rather twice than never: the store forgets it after that.
async fn refuse(env: &Arc<Env>, resource: &Resource, stanzas: &[Stanza]) {
    for stanza in stanzas {
        consume_budget().await;
        if let Some(later) = routing::blocked(env, stanza) {
            later.await;
        }
    }
    sessions::forget_received(env, resource).await;
}

fn push(env: &Env, user: &BareJid, what: &str, jids: &[Jid]) {
    let push = Stanza::iq(Type::Set, &env.token(), &items(what, jids).to_xml());
    routing::to_marked_here(env, user, INTERESTED, true, &push);
}

/// Those whom the addresses of a list mean, of a contact: a resource, if the list names only that.
fn meant<'a>(list: &'a Blocklist, contact: &'a Jid) -> impl Iterator<Item = Jid> + 'a {
    let whole = list.contains(contact) || list.contains(contact.domain());
    // its resources stand together in the order of the texts
    let first = format!("{contact}/");
    let parts = list.range::<str, _>((Bound::Excluded(first.as_str()), Bound::Unbounded));
    let parts = parts.take_while(move |j| !whole && !j.is_bare() && j.bare_jid() == *contact);
    whole.then(|| contact.clone()).into_iter().chain(parts.cloned())
}

/// Section 3.2: who is blocked now sees the user go, if they saw the user at all.
async fn hide(
    env: &Arc<Env>,
    user: &BareJid,
    roster: &Roster,
    new: &Blocklist,
    before: &Blocklist,
) {
    for resource in routing::here(env, user) {
        let gone = Stanza::presence(Type::Unavailable);
        let gone = gone.with_from(Some(resource.jid().clone().into()));
        let available = resource.priority().is_some();
        let contacts = roster.items.iter().filter(|i| available && i.subscription.has_from());
        let contacts = contacts.flat_map(|i| meant(new, &i.jid));
        let direct = resource.directed().into_iter().filter(|to| blocks(new, user, to));
        let mut told = Blocklist::new();
        for to in contacts.chain(direct).filter(|to| !blocks(before, user, to)) {
            consume_budget().await;
            resource.directed_remove(&to);
            if !told.contains(&to.bare_jid()) && told.insert(to.clone()) {
                routing::send(env, gone.with_to(Some(to))).await;
            }
        }
    }
}

/// Section 3.4: who is not blocked any more sees the user again, and the user sees them.
async fn reveal(
    env: &Arc<Env>,
    user: &BareJid,
    roster: &Roster,
    before: &Blocklist,
    after: &Blocklist,
) {
    let resources = routing::here(env, user);
    for item in &roster.items {
        consume_budget().await;
        let again = meant(before, &item.jid).filter(|to| !blocks(after, user, to));
        for to in again.collect::<Vec<_>>() {
            for (resource, (presence, _)) in
                resources.iter().filter_map(|r| Some((r, r.presence()?)))
            {
                if item.subscription.has_from() {
                    routing::send(env, presence.with_to(Some(to.clone()))).await;
                }
                if item.subscription.has_to() {
                    let probe = Stanza::new(Kind::Presence, Type::Probe)
                        .with_from(Some(resource.jid().clone().into()))
                        .with_to(Some(to.clone()));
                    routing::send(env, probe).await;
                }
            }
        }
    }
}
