//! Log-ons wait while memory is short (`crate::pressure`).

use super::can_resume;
use crate::env::Env;
use std::time::Duration;
use xmpp::jid::BareJid;

/// Whether a user may authenticate now: always when memory is not short, or when there is a session that they may
/// want to resume, which takes no more of it. A new one waits again before it is bound.
pub fn admits(env: &Env, user: &BareJid) -> bool {
    env.pressure.is_open() || can_resume(env, user)
}

/// Waits until log-ons go through; `false`: they still do not.
pub async fn calm(env: &Env, patience: Duration) -> bool {
    if env.pressure.is_open() {
        return true;
    }
    env.metrics.logins_waited();
    env.pressure.opens(patience).await
}
