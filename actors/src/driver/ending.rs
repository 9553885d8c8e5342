//! How it ends: what the client was promised is done, its session is ended or left to be resumed, and there are last
//! words for it.

use super::{Driver, noted};
use crate::{
    resource::{Ended, Owner, Resource},
    routing,
    session::turn::Turn,
    sessions::{end, finish, lost},
};
use std::{future::pending, sync::Arc, time::Duration};
use xmpp::error::{StanzaError, StreamError, StreamErrorCondition as Condition};

/// How long jobs may take to finish after the end.
pub const LAST_JOBS: Duration = Duration::from_secs(5);

impl Driver {
    /// Runs the jobs that are left, until `patience` is over: what the client was promised is kept. Whether all are
    /// done.
    pub async fn finish_jobs(&mut self, patience: impl Future<Output = ()>) -> bool {
        let jobs = async {
            loop {
                if self.job.is_none() {
                    self.job = self.turn.job();
                }
                let Some(job) = &mut self.job else { return };
                let then = job.await;
                self.done(then);
            }
        };
        tokio::select! {
            biased;
            () = jobs => true,
            () = patience => false,
        }
    }

    /// Resolves when the store knows of what is to be written.
    pub async fn tell_store(&mut self) {
        if self.notes() {
            noted(&mut self.noting).await;
            self.noting = None;
        }
    }

    /// The last that is written to the client has been, if nothing of it is left: without acknowledgements it has that.
    pub fn said_all(&mut self) {
        if self.turn.out().is_empty()
            && let Some(serving) = &self.serving
        {
            serving.resource().takes_more();
        }
    }

    /// Ends the stream with an error.
    pub fn end(&mut self, error: StreamError) {
        self.turn.end(error, &self.env);
    }

    /// A handler panicked: the stanza it was working on is answered and never executed again.
    pub async fn crashed(&mut self) {
        self.job = None;
        if let Some(poison) = self.turn.crashed(&self.env)
            && let Some(later) =
                routing::bounce(&self.env, &poison, &StanzaError::internal_server_error())
        {
            later.await;
        }
    }

    /// The client is gone, or is to go: ends the session, or leaves it to be resumed. Does nothing the second time. When
    /// `patience` is over before the client's jobs are done, that is for a task to do once this is dropped.
    pub async fn leave(&mut self, patience: impl Future<Output = ()>) {
        self.turn.stop_reading();
        if !self.finish_jobs(patience).await && self.can_be_handed_on() {
            tracing::warn!(peer = %self.peer(), "a client's last requests take long");
            return;
        }
        let Some((resource, resumable)) = self.turn.detach() else { return };
        if resumable {
            lost(&self.env, resource);
            self.serving = None;
        } else {
            end(&self.env, &resource, Ended::Closed).await;
            // one whose leftovers are still here is for its manager, when this is dropped
            self.serving.take_if(|r| r.leaving().is_none());
        }
    }

    /// The session went elsewhere or was ended: its client is told why.
    pub(super) fn evict(&mut self) {
        let resource = self.serving.take();
        let cluster = self.env.cluster.as_ref();
        let away = cluster.and_then(|cluster| cluster.sends_away());
        self.turn.forget();
        let ended = resource.as_ref().and_then(|resource| resource.ended());
        if away.is_some() && resource.is_some() && ended.is_none() {
            // it waits for its client at another node, which is to resume it and hears nothing that ends it
            self.closing = true;
            return;
        }
        let error = match (&resource, away) {
            (Some(_), Some(away)) if ended == Some(Ended::Drained) => away,
            (Some(resource), _) => evicted(resource),
            (None, _) => StreamError::new(Condition::UndefinedCondition),
        };
        let no_memory = resource.and_then(|r| r.ended()) == Some(Ended::NoMemory);
        let much = self.turn.out().len() > super::OUT;
        self.end(error);
        if no_memory && much {
            // a client that does not read: the end of the connection tells it enough
            drop(self.turn.out().take());
        }
    }
}

impl Driver {
    fn can_be_handed_on(&self) -> bool {
        !self.handed_on && self.session().attached.is_some() && self.turn.pending()
    }

    /// All of it, to go on elsewhere.
    fn hand_on(&mut self) -> Self {
        let nobody = Turn::new(self.session().stream.conn.clone(), &self.env);
        let turn = std::mem::replace(&mut self.turn, nobody);
        let mut rest = Self::of(turn, &self.env);
        (rest.job, rest.serving) = (self.job.take(), self.serving.take());
        rest.handed_on = true;
        rest
    }
}

impl Drop for Driver {
    /// If whoever drives it was killed, nobody has told the session manager yet, or the end is not finished. What the
    /// client's stanza has begun is finished, though: it counts as handled then (XEP-0198), and is not sent again.
    fn drop(&mut self) {
        if self.can_be_handed_on()
            && let Some(user) = self.session().user().cloned()
        {
            let mut rest = self.hand_on();
            let leave = async move { rest.leave(pending()).await };
            return finish(&self.env, &user, Box::pin(leave));
        }
        let detached = self.turn.detach().map(|(resource, _)| resource);
        let serving = self.serving.take();
        let resource = serving.as_ref().map(|serving| Arc::clone(serving.resource()));
        let unfinished = || resource.filter(|r| r.leaving().is_some());
        if let Some(resource) = detached.or_else(unfinished) {
            lost(&self.env, resource);
        }
    }
}

/// What the client is told when its session went elsewhere.
fn evicted(resource: &Resource) -> StreamError {
    let (condition, text) = match (resource.owner(), resource.ended()) {
        // perhaps of another node, which has it by now
        (Owner::Attached(_), _) | (_, None) => {
            (Condition::Conflict, "resumed on another connection")
        }
        (_, Some(Ended::Conflict)) => (Condition::Conflict, "replaced by a new connection"),
        (_, Some(Ended::Kicked)) => (Condition::PolicyViolation, "ended by an operator"),
        (_, Some(Ended::Removed)) => (Condition::NotAuthorized, "the account was removed"),
        (_, Some(Ended::Revoked)) => (Condition::NotAuthorized, "the account was changed"),
        // RFC 6120 section 4.9.3.17
        (_, Some(Ended::NoMemory)) => (Condition::ResourceConstraint, "too much waits for you"),
        _ => (Condition::SystemShutdown, "the session was ended"),
    };
    StreamError::new(condition).with_text(text)
}
