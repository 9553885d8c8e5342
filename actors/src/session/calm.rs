//! Log-ons wait while memory is short (`crate::pressure`).

use crate::{env::Env, resource::Resource};
use std::{sync::Arc, time::Duration};
use xmpp::jid::BareJid;

/// Whether a user may authenticate now: always when memory is not short, or when there is a session that they may
/// want to resume, which takes no more of it. A new one waits again before it is bound.
pub(super) fn admits(env: &Env, user: &BareJid) -> bool {
    let resumable =
        |r: &Arc<Resource>| r.with_sm(|sm| sm.as_ref().is_some_and(|s| s.token.is_some()));
    env.pressure.is_open() || env.table.with_user(user, |all| all.iter().any(resumable))
}

/// Waits until log-ons go through; `false`: they still do not.
pub async fn calm(env: &Env, patience: Duration) -> bool {
    if env.pressure.is_open() {
        return true;
    }
    env.metrics.logins_waited();
    env.pressure.opens(patience).await
}
