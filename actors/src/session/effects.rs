//! What a session wants done, as values. Its turn and its driver do it.

use super::out::Out;
use crate::{cx::SessionCx, future::BoxFuture, resource::Resource};
use serde::{Deserialize, Serialize};
use std::{future::Future, sync::Arc, time::Duration};
use xmpp::{error::StreamError, stanza::Stanza};

/// What is done with a job's result, back in the session.
pub type Then = Box<dyn FnOnce(&mut crate::session::Session, &mut Scope<'_>) + Send>;

/// Work that needs a store or another process. While jobs are pending, nothing more is read from
/// this client; deliveries to it go on. Jobs of one session run one after the other, in order.
pub type Job = BoxFuture<Then>;

/// What a session may use while it handles an input.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The node's shared parts.
    pub env: &'a Arc<crate::env::Env>,
    /// What is to be done.
    pub fx: &'a mut Effects,
}

/// Names a session's timers: setting one again replaces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TimerKey<Name = &'static str> {
    /// The stream must be bound by then (handshake and authentication deadline).
    Negotiation,
    /// What waits for the client's acknowledgements has waited too long by then (XEP-0198).
    Acks,
    /// A module's timer.
    Module(Name),
}

impl<Name> TimerKey<Name> {
    /// The key with the module's name as `f` has it.
    pub(super) fn try_map<T>(self, f: impl FnOnce(Name) -> Option<T>) -> Option<TimerKey<T>> {
        Some(match self {
            Self::Negotiation => TimerKey::Negotiation,
            Self::Acks => TimerKey::Acks,
            Self::Module(name) => TimerKey::Module(f(name)?),
        })
    }
}

/// Everything but what the client is sent.
pub enum Action {
    /// Begin the TLS handshake after the bytes so far are written.
    StartTls,
    /// The next bytes begin a new stream (after TLS or SASL): reset the framer.
    Restart,
    /// Authentication succeeded: the pre-authentication limits of the framer are lifted.
    Authenticated,
    /// From now on this resource's queue is served, by whoever attached with that epoch.
    Attach(Arc<Resource>, u64),
    /// Send the stanza on its way.
    Route(Stanza),
    /// Call the session back after that time.
    Timer(TimerKey, Duration),
    /// Forget a timer.
    Cancel(TimerKey),
    /// Run this before reading on.
    Job(Job),
    /// The stream is over: write what there is, then close the connection.
    Close,
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::StartTls => f.write_str("StartTls"),
            Self::Restart => f.write_str("Restart"),
            Self::Authenticated => f.write_str("Authenticated"),
            Self::Attach(r, epoch) => write!(f, "Attach({}, {epoch})", r.jid()),
            Self::Route(s) => write!(f, "Route({s:?})"),
            Self::Timer(k, d) => write!(f, "Timer({k:?}, {d:?})"),
            Self::Cancel(k) => write!(f, "Cancel({k:?})"),
            Self::Job(_) => f.write_str("Job"),
            Self::Close => f.write_str("Close"),
        }
    }
}

/// What one turn wants done: elements for the client and actions, each in order.
#[derive(Debug)]
pub struct Effects {
    /// What the client is sent.
    pub out: Out,
    /// The rest. Drained after every input.
    pub actions: Vec<Action>,
}

impl Effects {
    /// Adds an action.
    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Runs `future`, then `then` in the session.
    pub fn job<T: Send + 'static>(
        &mut self,
        future: impl Future<Output = T> + Send + 'static,
        then: impl FnOnce(&mut crate::session::Session, &mut Scope<'_>, T) + Send + 'static,
    ) {
        self.push(Action::Job(Box::pin(async move {
            let value = future.await;
            Box::new(move |s: &mut _, scope: &mut Scope<'_>| then(s, scope, value)) as Then
        })));
    }

    /// Runs `future`; if the session is still bound then, `then` gets its result.
    pub fn job_bound<T: Send + 'static>(
        &mut self,
        future: impl Future<Output = T> + Send + 'static,
        then: impl FnOnce(&mut SessionCx<'_>, T) + Send + 'static,
    ) {
        self.job(future, move |session, scope, value| {
            if let Some(mut cx) = session.cx(scope) {
                then(&mut cx, value);
            }
        });
    }

    /// Ends the stream (RFC 6120 section 4.4), with an error if there is one (section 4.9).
    pub fn end(&mut self, error: Option<&StreamError>) {
        if let Some(error) = error {
            self.out.error(error);
        }
        self.out.close();
        self.push(Action::Close);
    }
}
