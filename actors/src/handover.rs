//! What one process of a node hands to the next, which goes on with all its sessions: a live
//! upgrade's data, without the sockets.
//!
//! The old process stops reading, finishes the jobs that are out and freezes every connection's turn
//! ([`Turn::freeze`]), all while nothing else acts; then [`freeze`] takes what belongs to no connection.
//! Its tree can be stopped then: no session ends with it, and what modules write when they stop is
//! in the stores. The new process starts its tree, calls [`Thaw::begin`] and [`Thaw::turn`] for each
//! connection. What does not move is named in ARCHITECTURE.md: metrics, and how much of its allowance
//! a client or an address has used up (traffic shaping).

use crate::{
    env::Env,
    resource::{FrozenWaiting, Resource, Shares},
    routing::manager,
    session::turn::{FrozenTurn, Turn},
    throttle::FrozenThrottle,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use supervision::CallError;

/// What a process holds for its node besides the sessions of its connections.
#[derive(Debug, Serialize, Deserialize)]
pub struct FrozenNode {
    /// Since when the node serves, in milliseconds of the epoch.
    since: u64,
    throttle: FrozenThrottle,
    /// What modules keep for all sessions, by their names.
    modules: BTreeMap<String, Value>,
    /// Sessions that wait to be resumed.
    waiting: Vec<FrozenWaiting>,
}

/// Takes what has to move and belongs to no connection. The process has no sessions any more after
/// it: those of connections must have been frozen before.
///
/// # Errors
/// When a session manager does not answer. Nothing can be handed over then.
pub async fn freeze(env: &Arc<Env>) -> Result<FrozenNode, CallError> {
    let modules = env.hooks();
    let modules = modules.freeze.iter().map(|row| (row.module.to_owned(), (row.run)()));
    Ok(FrozenNode {
        since: env.since(),
        throttle: env.throttle.freeze(),
        modules: modules.collect(),
        waiting: manager::hand_over(env).await?,
    })
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
        env.went_on(node.since);
        env.throttle.thaw(node.throttle);
        for row in &env.hooks().thaw {
            if let Some(value) = node.modules.get(row.module) {
                (row.run)(value);
            }
        }
        let mut shares = Shares::default();
        for frozen in node.waiting {
            let (resource, left) = Resource::thaw_waiting(frozen, env, &mut shares);
            manager::adopt_waiting(env, resource, left).await;
        }
        Self { env, shares }
    }

    /// Goes on with one connection's session. What the connection has to know of it, its resource
    /// and its timers, is in [`Turn::todo`].
    pub async fn turn(&mut self, frozen: FrozenTurn) -> Turn {
        let (turn, resource) = Turn::thaw(frozen, self.env, &mut self.shares);
        if let Some(resource) = resource {
            manager::adopt(self.env, &resource).await;
        }
        turn
    }
}
