//! Which of a user's sessions gets what is kept, when several come at once: whoever was first at the registry, be they on several nodes. It
//! has its turn while it takes more, and for a while after that, unless it ends; what it has acknowledged by then is not there any more for the next one,
//! and what it has not it may never get: that is for the next one too, from the first on and in its order.

use super::delivery::{Delivery, Step};
use crate::{cx::SessionCx, env::Env, resource::Resource, sessions};
use std::time::Duration;

/// How long a turn lasts: a client that has acknowledged nothing in that time may be gone.
const TURN: Duration = Duration::from_secs(2);
/// How soon it is tried again, and how often: one that still takes more after that is not waited for.
const AGAIN: Duration = Duration::from_millis(100);
const TRIES: u8 = 100;

/// Whether it is this session's turn, which has waited so often. While the registry is away it is everybody's.
pub(super) async fn is_ours(env: &Env, resource: &Resource, waited: u8) -> bool {
    waited >= TRIES || sessions::turn(env, resource, TURN).await
}

/// It is another session's.
pub(super) fn wait(cx: &mut SessionCx<'_>) {
    let delivery = cx.slot::<Delivery>();
    (delivery.step, delivery.waited) = (Step::Turn, delivery.waited + 1);
    cx.timer(AGAIN);
}
