//! Offline messages (XEP-0160): kept while no resource takes them, delivered to the next one that
//! does, before anything newer.
//!
//! Delivery goes page by page, as fast as the client takes it, while the queue is held back. The
//! store forgets a message when the client has acknowledged it (XEP-0198), or without
//! acknowledgements when the connection could take more after it. A session that ends in between
//! leaves the rest where it was, and may say something of the first of it: see `poison`.
//!
//! Of several sessions of a user that come at once, on one node or on several, one gets it: see `turn`.

mod delivery;
mod poison;
#[cfg(test)]
mod struck;
mod sweep;
#[cfg(test)]
mod tests;
mod turn;
mod worth;

use crate::{
    cx::SessionCx,
    env::Env,
    future::BoxFuture,
    hooks::{Offline, Order},
    metrics::{Counter, Histogram, Unit},
    registrar::{Module, Registrar, Xep},
    resource::Resource,
    routing, sessions,
};
use config::{ByteSize, kib, mib, secs};
use delivery::{Delivery, Step, begin, proceed, takes};
use std::{sync::Arc, time::Duration};
use storage::{OfflineLimits, StoreError};
use supervision::ChildSpec;
use sweep::Sweep;
use worth::{Worth, worth};
use xmpp::{error::StanzaError, jid::BareJid, ns, stanza::Stanza};

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
