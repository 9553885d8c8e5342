//! How a session gets what is kept: page by page, as fast as its client takes it.

use super::{Counts, OfflineModule, turn};
use crate::{
    cx::SessionCx, registrar::Module, resource::BLAME, routing, session::slots::Slot, sessions,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use storage::{OfflineMessage, StoreError};
use xmpp::payload::delay::delayed;

/// Messages that are read and sent at once.
const PAGE: usize = 20;
/// Their size in bytes; one that is larger comes alone.
const PAGE_BYTES: usize = 256 << 10;

/// How soon a store is asked again that has not answered.
const AGAIN: Duration = Duration::from_secs(5);

/// A delivery; what was sent is known to the resource.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Delivery {
    pub(super) step: Step,
    /// Messages so far.
    #[serde(default)]
    sent: u32,
    /// From here on each goes alone: see `poison`.
    #[serde(default)]
    pub(super) alone: bool,
    /// It has the turn; and how often it was another session's.
    #[serde(default)]
    turn: bool,
    #[serde(default)]
    pub(super) waited: u8,
    /// The store has not answered, and is asked again.
    #[serde(default)]
    pub(super) again: bool,
}

/// What a delivery waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
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

/// Whether the resource takes messages for the account (RFC 6121 section 8.5.2.1.1).
pub(super) fn takes(cx: &SessionCx<'_>) -> bool {
    cx.resource().priority().is_some_and(|p| p >= 0)
}

pub(super) fn begin(cx: &mut SessionCx<'_>) {
    cx.slot::<Delivery>().step = Step::Store;
    cx.hold();
}

fn end(cx: &mut SessionCx<'_>, counts: &Counts) {
    let sent = std::mem::take(cx.slot::<Delivery>()).sent;
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
pub(super) fn proceed(cx: &mut SessionCx<'_>, counts: &Counts) {
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
            let page = if takes { read().await? } else { Vec::new() };
            if page.is_empty() {
                return Ok(Some(page));
            }
            match turn::is_ours(&env, &resource, waited).await {
                false => Ok(None),
                true if turn => Ok(Some(page)),
                // whose it was until now may have acknowledged some of it
                true => read().await.map(Some),
            }
        },
        move |cx, page: Result<Option<Vec<OfflineMessage>>, StoreError>| match page {
            Ok(Some(page)) => {
                let delivery = cx.slot::<Delivery>();
                (delivery.turn, delivery.waited) = (true, 0);
                deliver(cx, page, &counts);
            }
            Ok(None) => turn::wait(cx),
            Err(error) => later(cx, &error, &counts),
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
        Err(error) => later(cx, &error, &counts),
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
