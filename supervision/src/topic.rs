//! A typed broadcast: what `gen_event` is used for.
//!
//! OTP's event manager runs the handlers of others in its own process: one that is slow holds up all,
//! one that crashes is silently removed. Here each subscriber is a process with an inbox of its own,
//! and gets the event as a message of its own type; the publisher does the sending.
//!
//! ```
//! use supervision::{System, Topic, testkit::Probe};
//! use supervision::topic::{Published, TooMany};
//!
//! #[derive(Clone, Debug, PartialEq)]
//! struct LoggedOn(String);
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let topic: Topic<LoggedOn> = Topic::new(1);
//! let system = System::new("demo");
//! let mut probe: Probe<String> = Probe::start(&system).await;
//! topic.subscribe(probe.me(), |LoggedOn(who)| who).unwrap();
//! let published = topic.publish(&LoggedOn("anna".to_owned()));
//! assert_eq!(published, Published { told: 1, full: 0 });
//! assert_eq!(probe.message().await, "anna");
//! assert_eq!(topic.subscribe(probe.me(), |LoggedOn(who)| who), Err(TooMany));
//! topic.unsubscribe(probe.pid());
//! assert!(topic.is_empty());
//! # });
//! ```

use crate::inbox::{CastError, Ref};
use crate::pid::Local;
use parking_lot::RwLock;
use std::{fmt, sync::Arc};
use thiserror::Error;

type Send_<E> = dyn Fn(E) -> Result<(), Missed> + Send + Sync;

enum Missed {
    Full,
    Gone,
}

struct Subscriber<E> {
    pid: Local,
    send: Box<Send_<E>>,
}

/// There are as many subscribers as there may be.
///
/// Example: [`crate::topic`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("too many subscribers")]
pub struct TooMany;

/// What became of an event.
///
/// Example: [`crate::topic`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Subscribers that have it.
    pub told: usize,
    /// Those whose inbox was full: they miss it.
    pub full: usize,
}

/// A topic; clones are the same one.
///
/// Example: [`crate::topic`].
pub struct Topic<E> {
    subscribers: Arc<RwLock<Vec<Subscriber<E>>>>,
    limit: usize,
}

impl<E> Clone for Topic<E> {
    fn clone(&self) -> Self {
        Self { subscribers: Arc::clone(&self.subscribers), limit: self.limit }
    }
}

impl<E> fmt::Debug for Topic<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic of {} subscribers", self.subscribers.read().len())
    }
}

impl<E: Clone + 'static> Topic<E> {
    /// A topic for at most `limit` subscribers.
    pub fn new(limit: usize) -> Self {
        Self { subscribers: Arc::default(), limit }
    }

    /// `who` gets every event from now on, made into one of its messages. It leaves with its end.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub fn subscribe<M: Send + 'static>(
        &self,
        who: &Ref<M>,
        message: impl Fn(E) -> M + Send + Sync + 'static,
    ) -> Result<(), TooMany> {
        let mut subscribers = self.subscribers.write();
        subscribers.retain(|s| s.pid.is_alive());
        if subscribers.len() >= self.limit {
            return Err(TooMany);
        }
        let to = who.clone();
        let send = Box::new(move |event| match to.cast(message(event)) {
            Ok(()) => Ok(()),
            Err(CastError::Full(_)) => Err(Missed::Full),
            Err(CastError::Gone(..) | CastError::WrongType(_)) => Err(Missed::Gone),
        });
        subscribers.push(Subscriber { pid: who.pid().clone(), send });
        Ok(())
    }

    /// `who` gets no more.
    pub fn unsubscribe(&self, who: &Local) {
        self.subscribers.write().retain(|s| s.pid != *who);
    }

    /// Tells everybody, in the order of their subscriptions. Nobody is waited for.
    pub fn publish(&self, event: &E) -> Published {
        let mut published = Published::default();
        let mut gone = false;
        for subscriber in self.subscribers.read().iter() {
            match (subscriber.send)(event.clone()) {
                Ok(()) => published.told += 1,
                Err(Missed::Full) => published.full += 1,
                Err(Missed::Gone) => gone = true,
            }
        }
        if gone {
            self.subscribers.write().retain(|s| s.pid.is_alive());
        }
        published
    }

    /// How many subscribers are alive.
    pub fn len(&self) -> usize {
        self.subscribers.read().iter().filter(|s| s.pid.is_alive()).count()
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
