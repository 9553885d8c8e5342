//! Whose turn it is: the operations of one user follow one another, in the order in which they were asked for.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::OwnedMutexGuard;
use xmpp::jid::BareJid;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// The users of whom somebody does something.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    users: Mutex<HashMap<BareJid, Lock>>,
    waiting: AtomicUsize,
}

/// A place among those who do something for a user. As long as it is there, the user's lock is.
#[derive(Debug)]
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
    user: BareJid,
    lock: Option<Lock>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for one's turn: in the order of arrival.
    pub(crate) async fn wait(&self, user: &BareJid) -> Turn<'_> {
        let lock = Arc::clone(self.users.lock().entry(user.clone()).or_default());
        let mut turn =
            Turn { turns: self, user: user.clone(), lock: Some(Arc::clone(&lock)), guard: None };
        turn.guard = match Arc::clone(&lock).try_lock_owned() {
            Ok(guard) => Some(guard),
            Err(_) => {
                let _counted = Counted::one_of(&self.waiting);
                Some(lock.lock_owned().await)
            }
        };
        turn
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(crate) fn users(&self) -> usize {
        self.users.lock().len()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut users = self.turns.users.lock();
        drop(self.lock.take());
        // nobody else has it, and nobody can come while the map is locked
        if users.get(&self.user).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            users.remove(&self.user);
        }
    }
}

struct Counted<'c>(&'c AtomicUsize);

impl<'c> Counted<'c> {
    fn one_of(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::all::all;
    use std::{pin::pin, task::Poll};

    async fn is_pending(future: impl Future) -> bool {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }

    #[tokio::test]
    async fn one_user_has_one_turn_and_none_is_remembered() {
        let turns = Turns::default();
        let (one, other): (BareJid, BareJid) =
            ("one@x".parse().unwrap(), "other@x".parse().unwrap());
        let first = turns.wait(&one).await;
        let of_other = turns.wait(&other).await;
        assert!(is_pending(turns.wait(&one)).await);
        assert_eq!((turns.waiting(), turns.users()), (0, 2), "who gave up does not wait");
        drop(first);
        drop(turns.wait(&one).await);
        drop(of_other);
        assert_eq!(turns.users(), 0);
    }

    #[tokio::test]
    async fn a_user_s_turns_come_in_order_others_at_once_and_nothing_is_left() {
        let (turns, order) = (Turns::default(), Mutex::new(Vec::new()));
        let user = |name: &str| -> BareJid { name.parse().unwrap() };
        let first = turns.wait(&user("a@x")).await;
        let wait = |n: usize, name: &'static str| {
            let (turns, order) = (&turns, &order);
            let future = async move {
                let _turn = turns.wait(&user(name)).await;
                order.lock().push(n);
                tokio::task::yield_now().await;
                order.lock().push(n);
            };
            Box::pin(future) as crate::BoxFuture<'_, ()>
        };
        // one that does not wait any longer holds nobody up
        let mut gone = wait(9, "a@x");
        let polled = std::future::poll_fn(|cx| Poll::Ready(gone.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        drop(gone);
        let release = Box::pin(async move {
            tokio::task::yield_now().await;
            drop(first);
        });
        all([wait(1, "a@x"), wait(2, "b@x"), release, wait(3, "a@x")]).await;
        assert_eq!(*order.lock(), [2, 2, 1, 1, 3, 3]);
        assert_eq!(turns.users(), 0);
    }
}
