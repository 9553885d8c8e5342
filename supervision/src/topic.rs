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
    send: Arc<Send_<E>>,
}

impl<E> Clone for Subscriber<E> {
    fn clone(&self) -> Self {
        Self { pid: self.pid.clone(), send: Arc::clone(&self.send) }
    }
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
    /// Who publishes has them as they were then: what it calls may subscribe, and leave.
    subscribers: Arc<RwLock<Arc<[Subscriber<E>]>>>,
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
        Self { subscribers: Arc::new(RwLock::new(Arc::new([]))), limit }
    }

    /// `who` gets every event from now on, made into one of its messages. It leaves with its end. A panic in `message` is reported as
    /// one of `who`, which gets no more from there.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub fn subscribe<M: Send + 'static>(
        &self,
        who: &Ref<M>,
        message: impl Fn(E) -> M + Send + Sync + 'static,
    ) -> Result<(), TooMany> {
        let to = who.clone();
        let send = move |event| match to.cast(message(event)) {
            Ok(()) => Ok(()),
            Err(CastError::Full(_)) => Err(Missed::Full),
            Err(_) => Err(Missed::Gone),
        };
        let new = Subscriber { pid: who.pid().clone(), send: Arc::new(send) };
        let mut subscribers = self.subscribers.write();
        let alive = || subscribers.iter().filter(|s| s.pid.is_alive());
        if alive().count() >= self.limit {
            return Err(TooMany);
        }
        let all = alive().cloned().chain([new]).collect();
        let before = std::mem::replace(&mut *subscribers, all);
        // not under the lock: those that are dropped may look at the topic
        drop(subscribers);
        drop(before);
        Ok(())
    }

    /// `who` gets no more.
    pub fn unsubscribe(&self, who: &Local) {
        self.retain(|s| s.pid != *who);
    }

    fn retain(&self, stays: impl Fn(&Subscriber<E>) -> bool) {
        let mut subscribers = self.subscribers.write();
        let all = subscribers.iter().filter(|s| stays(s)).cloned().collect();
        let before = std::mem::replace(&mut *subscribers, all);
        drop(subscribers);
        drop(before);
    }

    /// Tells everybody, in the order of their subscriptions. Nobody is waited for.
    pub fn publish(&self, event: &E) -> Published {
        let mut published = Published::default();
        let mut gone = false;
        let subscribers = Arc::clone(&self.subscribers.read());
        for subscriber in &*subscribers {
            let event = event.clone();
            match subscriber.pid.catch(|| (subscriber.send)(event)) {
                Ok(Ok(())) => published.told += 1,
                Ok(Err(Missed::Full)) => published.full += 1,
                Ok(Err(Missed::Gone)) => gone = true,
                Err(panic) => {
                    let what = "the message of a topic's event: there are no more of it";
                    subscriber.pid.report_beside(panic, Some(what));
                    self.retain(|s| !Arc::ptr_eq(&s.send, &subscriber.send));
                }
            }
        }
        if gone {
            self.retain(|s| s.pid.is_alive());
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
