//! How a connection ends: what it was promised is done, its session is ended or left to be resumed, and the client
//! gets the last words.

use super::Connection;
use crate::{
    resource::{Ended, Owner, Resource},
    routing,
    sessions::{self, end},
};
use std::{future::poll_fn, sync::Arc, time::Duration};
use xmpp::error::{StanzaError, StreamError, StreamErrorCondition as Condition};

/// How long the end of a stream waits for the client's end of the connection.
pub(super) const LINGER: Duration = Duration::from_secs(2);
/// How long jobs may take to finish after the end.
const LAST_JOBS: Duration = Duration::from_secs(5);

impl Connection {
    /// Runs the jobs that are left: what the client was promised is kept.
    pub(super) async fn finish_jobs(&mut self) {
        let env = Arc::clone(&self.port.env);
        let jobs = async {
            loop {
                if self.job.is_none() {
                    self.job = self.turn.job();
                }
                let Some(job) = &mut self.job else { return };
                let then = job.await;
                self.job = None;
                self.turn.done(then, &env);
            }
        };
        if tokio::time::timeout(LAST_JOBS, jobs).await.is_err() {
            tracing::warn!(peer = %self.peer, "a client's last requests took too long");
        }
    }

    /// Ends the session, or leaves it to be resumed. Does nothing the second time.
    pub(super) async fn leave(&mut self) {
        self.turn.stop_reading();
        self.finish_jobs().await;
        let Some((resource, resumable)) = self.turn.detach() else { return };
        let env = &self.port.env;
        if resumable {
            sessions::lost(env, resource);
            self.resource = None;
        } else {
            end(env, &resource, Ended::Closed).await;
            // one whose leftovers are still here is for its manager, when this is dropped
            self.resource.take_if(|r| r.leaving().is_none());
        }
    }

    /// A handler panicked: the stanza it was working on is answered and never executed again.
    pub(super) async fn crashed(&mut self) {
        let env = Arc::clone(&self.port.env);
        self.job = None;
        if let Some(poison) = self.turn.crashed(&env)
            && let Some(later) =
                routing::bounce(&env, &poison, &StanzaError::internal_server_error())
        {
            later.await;
        }
    }

    /// Writes what is left, for a moment.
    pub(super) async fn say_goodbye(&mut self) {
        let write = async {
            while self.transport.write(self.turn.out()).is_ok_and(|more| more) {
                self.transport.writable().await;
            }
            self.transport.shut_down().await;
        };
        drop(tokio::time::timeout(Duration::from_secs(1), write).await);
    }

    /// Closes our side and waits for the client's, so that what was written last arrives.
    pub(super) async fn linger(&mut self) {
        self.say_goodbye().await;
        let read = async {
            while poll_fn(|task| self.transport.poll_read(task, |_| ())).await.is_ok_and(|n| n > 0)
            {
            }
        };
        drop(tokio::time::timeout(LINGER, read).await);
    }
}

/// What the client is told when its session went elsewhere.
pub(crate) fn evicted(resource: &Resource) -> StreamError {
    let (condition, text) = match (resource.owner(), resource.ended()) {
        (Owner::Attached(_), _) => (Condition::Conflict, "resumed on another connection"),
        (_, Some(Ended::Conflict)) => (Condition::Conflict, "replaced by a new connection"),
        (_, Some(Ended::Kicked)) => (Condition::PolicyViolation, "ended by an operator"),
        (_, Some(Ended::Removed)) => (Condition::NotAuthorized, "the account was removed"),
        // RFC 6120 section 4.9.3.17
        (_, Some(Ended::NoMemory)) => (Condition::ResourceConstraint, "too much waits for you"),
        _ => (Condition::SystemShutdown, "the session was ended"),
    };
    StreamError::new(condition).with_text(text)
}
