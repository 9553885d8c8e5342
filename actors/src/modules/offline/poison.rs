//! A message over which clients end their streams keeps its user from all that comes after it: each time is a strike, and
//! with enough of them it goes behind the others, and then into quarantine (`storage::QuarantineStore`).
//!
//! From a message with a strike on each goes alone, when the one before was acknowledged: so the next strike is for the
//! one that deserves it. Without acknowledgements what the connection took is gone for good, and nothing returns.

use super::{
    Counts, OfflineModule,
    delivery::{Delivery, Step, proceed},
};
use crate::{
    cx::SessionCx,
    env::Env,
    future::BoxFuture,
    resource::{BLAME, Resource},
    routing,
};
use std::sync::Arc;
use storage::{
    Struck,
    quarantine::{LAST, OUT},
};
use xmpp::error::{ErrorType, StanzaError, StanzaErrorCondition};

/// What the sender is told. The recipient is neither gone nor away (RFC 6120 section 8.3.3.13): the server has stopped to try
/// (8.3.3.12), and the same again would end the same way, so it is not `wait`.
fn refusal() -> StanzaError {
    let error = StanzaError::new(ErrorType::Modify, StanzaErrorCondition::PolicyViolation);
    error.with_text("the recipient's client ends its stream over this message")
}

impl OfflineModule {
    /// The client ends its stream: the strike that is due, if one is.
    pub(super) fn strike(&self, cx: &SessionCx<'_>, in_order: bool) -> Option<BoxFuture<()>> {
        // what has not left by now is not why
        if !cx.attached() || cx.fx.out.has_stanzas() {
            return None;
        }
        let id = cx.resource().blamed(in_order)?;
        let (env, resource) = (Arc::clone(cx.env), Arc::clone(cx.resource()));
        let (counts, room) = (self.counts.clone(), self.config.quarantine.0);
        Some(Box::pin(async move { strike(&env, &resource, id, room, &counts).await }))
    }

    /// What was sent alone is not to blame any more.
    pub(super) fn patient(&self, cx: &mut SessionCx<'_>) {
        let Delivery { step, alone, .. } = *cx.slot();
        if alone && step == Step::Client {
            match cx.resource().may_blame() {
                true => cx.timer(BLAME / 10),
                false => proceed(cx, &self.counts),
            }
        }
    }
}

async fn strike(env: &Arc<Env>, resource: &Resource, id: u64, room: usize, counts: &Counts) {
    let (user, key) = (resource.user(), resource.stored_as());
    let (key, now) = (key.as_deref().unwrap_or_default(), env.clock.millis());
    let struck = match env.stores.quarantine.strike(user, key, id, now, room).await {
        Ok(struck) => struck,
        Err(error) => {
            return tracing::warn!(%user, id, %error, "a client ended its stream over a message");
        }
    };
    match struck {
        Struck::Gone => return,
        Struck::Counted(strikes) => {
            tracing::info!(%user, id, strikes, "a client ended its stream over a message");
        }
        Struck::Last => {
            let strikes = LAST;
            tracing::warn!(%user, id, strikes, "a message over which clients end their streams goes last");
        }
        Struck::Full => {
            let strikes = OUT;
            tracing::warn!(%user, id, strikes, "the quarantine is full: a message goes last once more");
        }
        Struck::Quarantined(message) => {
            let strikes = OUT;
            tracing::warn!(%user, id, strikes, "a message is in quarantine: see `mangrove quarantine`");
            counts.quarantined.inc();
            if let Some(later) = routing::bounce(env, &message, &refusal()) {
                later.await;
            }
        }
    }
    counts.strikes.inc();
}
