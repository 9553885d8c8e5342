//! Offline messages (XEP-0160): kept while no resource takes them, delivered to the next one that
//! does, before anything newer.
//!
//! Delivery goes page by page, as fast as the client takes it, while the queue is held back. The
//! store forgets a message when the client has acknowledged it (XEP-0198), or without
//! acknowledgements when the connection could take more after it. A session that ends in between
//! leaves the rest where it was, and may say something of the first of it: see `poison`.
//!
//! Of several sessions of a user that come at once, on one node or on several, one gets it: see `turn`.

mod poison;
#[cfg(test)]
mod struck;
mod sweep;
#[cfg(test)]
mod tests;
mod turn;

use crate::{
    cx::SessionCx,
    env::Env,
    future::BoxFuture,
    hooks::{Offline, Order},
    metrics::{Counter, Histogram, Unit},
    registrar::{Module, Registrar, Xep},
    resource::{BLAME, Resource},
    routing,
    session::slots::Slot,
    sessions,
};
use config::{ByteSize, kib, mib, secs};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use storage::{OfflineLimits, OfflineMessage, StoreError};
use supervision::ChildSpec;
use sweep::Sweep;
use xmpp::{
    error::StanzaError,
    jid::BareJid,
    ns,
    payload::delay::delayed,
    stanza::{Stanza, Type},
};

config::section! {
    /// Messages for users who are away (XEP-0160).
    pub struct OfflineConfig {
        /// Messages kept for a user. Beyond it their senders get an error.
        pub messages: usize = 1_000, in 1..=1_000_000,
        /// Size of all messages kept for a user. Beyond it their senders get an error.
        pub size: ByteSize = mib(16), in kib(64)..,
        /// Percent of messages and of size that one sender may have, with all of their resources.
        /// Beyond it they get an error.
        pub sender_share: u32 = 25, in 1..=100,
        /// Size of all messages of a user in quarantine, over which clients ended their streams again and again. One
        /// that does not fit stays behind the user's other messages.
        pub quarantine: ByteSize = mib(4), in kib(64)..,
        /// How long a message is kept; `0s`: until it is delivered.
        pub keep: Duration = secs(0),
    }
}

/// Messages that are read and sent at once.
const PAGE: usize = 20;
/// Their size in bytes; one that is larger comes alone.
const PAGE_BYTES: usize = 256 << 10;

/// How soon a store is asked again that has not answered.
const AGAIN: Duration = Duration::from_secs(5);

/// The module.
#[derive(Debug)]
pub struct OfflineModule {
    config: OfflineConfig,
    counts: Counts,
}

/// What the module counts.
#[derive(Clone, Debug)]
struct Counts {
    stored: Counter,
    delivered: Counter,
    strikes: Counter,
    quarantined: Counter,
    /// How many messages each delivery had.
    deliveries: Histogram,
}

/// A delivery; what was sent is known to the resource.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Delivery {
    step: Step,
    /// Messages so far.
    #[serde(default)]
    sent: u32,
    /// From here on each goes alone: see `poison`.
    #[serde(default)]
    alone: bool,
    /// It has had its turn; and how often it was another session's.
    #[serde(default)]
    turn: bool,
    #[serde(default)]
    waited: u8,
    /// The store has not answered, and is asked again.
    #[serde(default)]
    again: bool,
}

/// What a delivery waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Step {
    /// There is none.
    #[default]
    Idle,
    /// The store.
    Store,
    /// The client.
    Client,
    /// Another session of the user, whose turn it is.
    Turn,
}

impl Slot for Delivery {
    const NAME: &'static str = "offline";
}

impl Module for OfflineModule {
    const NAME: &'static str = "offline";
    const XEPS: &'static [Xep] = &[Xep(160, "1.0.1"), Xep(334, "0.4.0")];
    type Config = OfflineConfig;

    fn new(config: OfflineConfig) -> Self {
        let deliveries = Histogram::new([1.0, 5.0, 20.0, 100.0, 500.0, 2_000.0, 10_000.0]);
        let (stored, delivered, strikes, quarantined) = Default::default();
        Self { config, counts: Counts { stored, delivered, strikes, quarantined, deliveries } }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.feature(ns::OFFLINE)
            .keeper(|message| worth(message) == Worth::Kept, Self::limits)
            .bound(Order::Main, Self::bound)
            .available(Order::Main, Self::available)
            .visible(Order::Main, Self::visible)
            .notice(Order::Main, Self::more)
            .timer(Order::Main, Self::timer)
            .closing(Order::Main, Self::closing)
            .unavailable(Order::Main, Self::forget)
            .offline(Order::Main, Self::keep)
            .counter("stored", "Messages kept for later", |m| &m.counts.stored)
            .counter("delivered", "Messages sent to users who were away", |m| &m.counts.delivered)
            .counter("strikes", "Streams that a client ended over a message", |m| &m.counts.strikes)
            .counter("quarantined", "Messages put into quarantine", |m| &m.counts.quarantined)
            .histogram(
                "delivery",
                "How many messages were sent in one delivery",
                Some(Unit::Other("messages".to_owned())),
                |m| &m.counts.deliveries,
            );
    }

    fn children(self: &Arc<Self>, env: &Arc<Env>) -> Vec<ChildSpec> {
        let (keep, env) = (self.config.keep, Arc::clone(env));
        if keep.is_zero() {
            return Vec::new();
        }
        vec![ChildSpec::server::<Sweep>("offline_sweep", move || (Arc::clone(&env), keep))]
    }
}

impl OfflineModule {
    /// How much is kept for a user.
    fn limits(&self) -> OfflineLimits {
        let OfflineConfig { messages, size, sender_share, .. } = self.config;
        OfflineLimits { messages, bytes: size.0, share: sender_share }
    }

    /// The process that served the resource before may have ended in the middle of a delivery.
    fn bound(&self, cx: &mut SessionCx<'_>) {
        if takes(cx) || !cx.resource().received().is_empty() {
            begin(cx);
            proceed(cx, &self.counts);
        }
    }

    /// From here on nothing newer is written before what is kept.
    fn available(&self, cx: &mut SessionCx<'_>, priority: i8) {
        if priority >= 0 && cx.slot::<Delivery>().step == Step::Idle {
            begin(cx);
        }
    }

    /// From here on nothing is kept any more.
    fn visible(&self, cx: &mut SessionCx<'_>, priority: i8) {
        if priority >= 0 && cx.slot::<Delivery>().step == Step::Store {
            proceed(cx, &self.counts);
        }
    }

    /// A message was kept although there is a resource; or the client can take the next page; or it
    /// has got something that the store keeps.
    fn more(&self, cx: &mut SessionCx<'_>) {
        let Delivery { step, alone, .. } = *cx.slot();
        match step {
            Step::Store | Step::Turn => {}
            Step::Idle if cx.resource().is_diverted() => {
                begin(cx);
                proceed(cx, &self.counts);
            }
            Step::Idle => {
                cx.resource().takes_more();
                let forget = self.forget(cx.env, cx.resource(), None);
                cx.job(forget, |_, ()| ());
            }
            Step::Client if cx.resource().crowded() || alone && cx.resource().may_blame() => {}
            Step::Client => proceed(cx, &self.counts),
        }
    }

    fn timer(&self, cx: &mut SessionCx<'_>) {
        let Delivery { step, again, .. } = *cx.slot();
        match step {
            Step::Turn => proceed(cx, &self.counts),
            Step::Idle if again => {
                begin(cx);
                proceed(cx, &self.counts);
            }
            _ => self.patient(cx),
        }
    }

    /// A client that closes its stream in order has what was written before; without this the last
    /// page would come again at its next login. With acknowledgements it has what it acknowledged.
    fn closing(&self, cx: &mut SessionCx<'_>, in_order: bool) {
        if let Some(strike) = self.strike(cx, in_order) {
            cx.job(strike, |_, ()| ());
        }
        if in_order {
            cx.resource().takes_more();
        }
        let forget = self.forget(cx.env, cx.resource(), None);
        cx.job(forget, |_, ()| ());
    }

    /// What the client has acknowledged does not come again, even if the session ends at that very
    /// moment.
    fn forget(
        &self,
        env: &Arc<Env>,
        resource: &Arc<Resource>,
        _: Option<&Stanza>,
    ) -> BoxFuture<()> {
        let (env, resource) = (Arc::clone(env), Arc::clone(resource));
        Box::pin(async move { sessions::forget_received(&env, &resource).await })
    }

    fn keep(&self, env: &Arc<Env>, user: &BareJid, message: Stanza) -> BoxFuture<Offline> {
        let (env, user) = (Arc::clone(env), user.clone());
        let stored = self.counts.stored.clone();
        let limits = self.limits();
        Box::pin(async move {
            match worth(&message) {
                Worth::Kept => {}
                Worth::Nothing => return Offline::Taken,
                Worth::NotStored => {
                    return Offline::Bounce(message, StanzaError::service_unavailable());
                }
                Worth::Other => return Offline::Pass(message),
            }
            let at = env.clock.millis();
            // with it, that its sender's session has handled it: after a death at this moment it is not sent again
            let by = routing::sender(&env, &message);
            let messages = vec![(at, message.clone())];
            match env.stores.sessions.append(&user, Vec::new(), messages, limits, by).await {
                Ok(ids) => {
                    stored.inc();
                    // a resource may have become available on the way into the store, or its queue is full
                    for id in ids {
                        routing::divert(&env, &user, Self::NAME, id).await;
                    }
                    Offline::Taken
                }
                // RFC 6121 section 8.5.1: the account was removed meanwhile
                Err(StoreError::NoAccount(_)) => {
                    Offline::Bounce(message, StanzaError::service_unavailable())
                }
                // XEP-0160 section 2
                Err(StoreError::Full { .. }) => {
                    let error = StanzaError::service_unavailable();
                    Offline::Bounce(message, error.with_text("too many messages wait already"))
                }
                Err(error) => Offline::Bounce(message, error.into()),
            }
        })
    }
}

/// Whether a message is kept (XEP-0160 section 3, XEP-0334).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// Kept.
    Kept,
    /// Chat states and nothing else, which say nothing that matters later, and nobody wants to hear that
    /// they did not arrive.
    Nothing,
    /// The sender does not want it to be stored.
    NotStored,
    /// Of a type that is not kept.
    Other,
}

fn worth(message: &Stanza) -> Worth {
    if !matches!(message.head.ty, Type::Normal | Type::Chat) {
        return Worth::Other;
    }
    let fleeting = message.head.ty == Type::Chat && only_chat_states(message);
    if message.has(ns::HINTS, "no-store") {
        if fleeting { Worth::Nothing } else { Worth::NotStored }
    } else if fleeting && !message.has(ns::HINTS, "store") {
        Worth::Nothing
    } else {
        // be it empty: RFC 6121 section 8.5.2.2.1 wants it stored or answered
        Worth::Kept
    }
}

/// XEP-0160 section 3 excepts these from what is stored, in chats only.
fn only_chat_states(message: &Stanza) -> bool {
    let children = &message.head.children;
    children.iter().any(|child| child.ns() == ns::CHAT_STATES)
        && children.iter().all(|child| match child.ns() {
            ns::CHAT_STATES | ns::HINTS | ns::STANZA_ID => true,
            ns::CLIENT => child.name() == "thread",
            _ => false,
        })
}

/// Whether the resource takes messages for the account (RFC 6121 section 8.5.2.1.1).
fn takes(cx: &SessionCx<'_>) -> bool {
    cx.resource().priority().is_some_and(|p| p >= 0)
}

fn begin(cx: &mut SessionCx<'_>) {
    cx.slot::<Delivery>().step = Step::Store;
    cx.hold();
}

fn end(cx: &mut SessionCx<'_>, counts: &Counts) {
    let Delivery { sent, turn, .. } = std::mem::take(cx.slot::<Delivery>());
    cx.slot::<Delivery>().turn = turn;
    if sent > 0 {
        counts.deliveries.observe(f64::from(sent));
    }
    cx.resource().rejoin(OfflineModule::NAME);
    cx.release();
}

/// The store does not answer: what is newer does not wait for that, and it is asked again.
fn later(cx: &mut SessionCx<'_>, error: &StoreError, counts: &Counts) {
    tracing::warn!(user = %cx.user(), %error, "offline messages have to wait");
    end(cx, counts);
    cx.slot::<Delivery>().again = true;
    cx.timer(AGAIN);
}

/// Forgets what the client has, and reads the next page.
fn proceed(cx: &mut SessionCx<'_>, counts: &Counts) {
    let takes = takes(cx);
    cx.resource().takes_more();
    let delivery = cx.slot::<Delivery>();
    (delivery.step, delivery.again) = (Step::Store, false);
    let (turn, waited) = (delivery.turn, delivery.waited);
    let (env, resource) = (Arc::clone(cx.env), Arc::clone(cx.resource()));
    let counts = counts.clone();
    cx.job(
        async move {
            sessions::acknowledge(&env, &resource).await?;
            // what a session leaves behind may get other numbers
            routing::none_leaves(&env, resource.user()).await;
            let (user, after) = (resource.user(), resource.kept_after());
            let read = || env.stores.offline.page(user, after, PAGE, PAGE_BYTES);
            if !takes || !turn && read().await?.is_empty() {
                return Ok(Some(Vec::new()));
            }
            match turn::is_ours(&env, &resource, waited).await {
                true => read().await.map(Some),
                false => Ok(None),
            }
        },
        move |cx, page: Result<Option<Vec<OfflineMessage>>, StoreError>| match page {
            Ok(Some(page)) => {
                let delivery = cx.slot::<Delivery>();
                delivery.turn |= !page.is_empty();
                delivery.waited = 0;
                deliver(cx, page, &counts);
            }
            Ok(None) => turn::wait(cx),
            Err(error) => {
                later(cx, &error, &counts);
            }
        },
    );
}

fn deliver(cx: &mut SessionCx<'_>, page: Vec<OfflineMessage>, counts: &Counts) {
    if page.is_empty() || !takes(cx) {
        return end(cx, counts);
    }
    let blocked = |m: &OfflineMessage| {
        m.stanza.head.from.as_ref().is_some_and(|from| cx.resource().blocks(from))
    };
    let (refused, page): (Vec<_>, Vec<_>) = page.into_iter().partition(blocked);
    if refused.is_empty() {
        return write(cx, page, counts);
    }
    // XEP-0191 section 3.2: whoever was blocked in the meantime is not heard
    let (env, user) = (Arc::clone(cx.env), cx.user().clone());
    let refusal = async move {
        let ids = refused.iter().map(|m| m.id).collect();
        // rather twice than never, should this be killed
        for message in refused {
            if let Some(later) = routing::blocked(&env, &message.stanza) {
                later.await;
            }
        }
        env.stores.offline.remove(&user, ids).await
    };
    let counts = counts.clone();
    cx.job(refusal, move |cx, refused: Result<(), StoreError>| match refused {
        Ok(()) if page.is_empty() => proceed(cx, &counts),
        Ok(()) => write(cx, page, &counts),
        Err(error) => {
            later(cx, &error, &counts);
        }
    });
}

/// Sends as much of a page as the client takes.
fn write(cx: &mut SessionCx<'_>, page: Vec<OfflineMessage>, counts: &Counts) {
    let has = cx.resource().has_kept();
    for message in page {
        if has.contains(&message.id) {
            cx.resource().skip_kept(message.id);
            continue;
        }
        if cx.resource().waits_for_queue(OfflineModule::NAME, message.id) {
            // we are told when that is written
            cx.resource().divert(OfflineModule::NAME, message.id);
            return end(cx, counts);
        }
        if message.strikes > 0 {
            cx.slot::<Delivery>().alone = cx.resource().acknowledges();
        }
        let alone = cx.slot::<Delivery>().alone;
        if alone && cx.resource().may_blame() {
            break;
        }
        // one that waited for another session says since when
        let stanza = delayed(&message.stanza, cx.host(), message.at, "Offline Storage");
        if !cx.send_kept(&stanza, message.id) {
            return end(cx, counts);
        }
        cx.slot::<Delivery>().sent += 1;
        counts.delivered.inc();
        // the rest of the page is read again
        if alone || cx.resource().crowded() {
            break;
        }
    }
    let delivery = cx.slot::<Delivery>();
    delivery.step = Step::Client;
    if delivery.alone && cx.resource().may_blame() {
        cx.timer(BLAME);
    } else {
        cx.resource().wake();
    }
}
