//! What one process of a node hands to the next, which goes on with all its sessions: a live
//! upgrade's data, without the sockets.
//!
//! The old process stops reading, finishes the jobs that are out and freezes every connection's session
//! ([`Driver::freeze`]) and then what belongs to no connection ([`freeze`]), all while nothing else acts.
//! So far it has only copied: it can still go on itself. With [`let_go`] it has no sessions any more; when
//! its tree is stopped none of them ends, and what its modules write then is in the stores. The new
//! process starts its tree and calls [`Thaw::begin`], and [`Thaw::driver`] for each connection.
//! ARCHITECTURE.md says what does not move.

use crate::{
    driver::Driver,
    env::Env,
    resource::{FrozenWaiting, Resource, Shares},
    session::turn::{FrozenTurn, Turn},
    sessions::{self, FreezeError},
    throttle::FrozenThrottle,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What a process holds for its node besides the sessions of its connections.
#[derive(Debug, Serialize, Deserialize)]
pub struct FrozenNode {
    /// How long the node has served.
    served: Duration,
    throttle: FrozenThrottle,
    /// What modules keep for all sessions, by their names.
    modules: BTreeMap<String, Value>,
    /// Sessions that wait to be resumed.
    waiting: Vec<FrozenWaiting>,
}

/// What has to move and belongs to no connection.
///
/// # Errors
/// When a session manager does not answer, or sessions that ended still have messages.
pub async fn freeze(env: &Arc<Env>) -> Result<FrozenNode, FreezeError> {
    let hooks = env.hooks();
    let modules = hooks.freeze.iter().map(|row| (row.module.to_owned(), (row.run)()));
    Ok(FrozenNode {
        served: env.uptime(),
        throttle: env.throttle.freeze(),
        modules: modules.collect(),
        waiting: sessions::freeze(env).await?,
    })
}

/// Another process has everything and goes on with it: this one forgets its sessions. Connections
/// that are still here would tell their clients that they were ended.
pub fn let_go(env: &Env) {
    sessions::let_go(env);
}

/// A process that goes on where another stopped. Dropped when everything is thawed.
#[derive(Debug)]
pub struct Thaw<'a> {
    env: &'a Arc<Env>,
    shares: Shares,
}

impl<'a> Thaw<'a> {
    /// Puts back what belongs to no connection. The session managers must be running.
    pub async fn begin(env: &'a Arc<Env>, node: FrozenNode) -> Self {
        env.went_on(node.served);
        env.throttle.thaw(node.throttle);
        for row in &env.hooks().thaw {
            if let Some(value) = node.modules.get(row.module) {
                (row.run)(value);
            }
        }
        let mut shares = Shares::default();
        for frozen in node.waiting {
            let (resource, left) = Resource::thaw_waiting(frozen, env.thawing(), &mut shares);
            sessions::adopt_waiting(env, resource, left).await;
        }
        Self { env, shares }
    }

    /// Goes on with one connection's session.
    pub async fn driver(&mut self, frozen: FrozenTurn) -> Driver {
        let (turn, resource) = Turn::thaw(frozen, self.env, &mut self.shares);
        if let Some(resource) = resource {
            sessions::adopt(self.env, &resource).await;
        }
        Driver::of(turn, self.env)
    }
}
