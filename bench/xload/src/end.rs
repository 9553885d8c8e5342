//! An end that many wait for.

use std::cell::Cell;

use tokio::sync::Notify;

/// Rung once; whoever waits for it later, because it was busy with a stanza at that moment, hears it too. (A bare
/// `Notify::notify_waiters` wakes only those who wait already.)
#[derive(Default)]
pub struct End {
    come: Cell<bool>,
    bell: Notify,
}

impl End {
    pub fn ring(&self) {
        self.come.set(true);
        self.bell.notify_waiters();
    }

    pub fn has_come(&self) -> bool {
        self.come.get()
    }

    /// Resolves when it has been rung. Safe to cancel.
    pub async fn rung(&self) {
        // one thread: nothing rings between the look and the wait
        if !self.come.get() {
            self.bell.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;
    use tokio::task::{LocalSet, spawn_local, yield_now};

    #[test]
    fn who_is_busy_when_it_rings_hears_it_later() {
        let run = tokio::runtime::Builder::new_current_thread().build().unwrap();
        LocalSet::new().block_on(&run, async {
            let end = Rc::new(End::default());
            let (waits, comes_late) = (Rc::clone(&end), Rc::clone(&end));
            let waiter = spawn_local(async move { waits.rung().await });
            yield_now().await;
            assert!(!waiter.is_finished() && !end.has_come());
            end.ring();
            waiter.await.unwrap();
            let late = spawn_local(async move { comes_late.rung().await });
            yield_now().await;
            assert!(late.is_finished(), "it was rung before anybody waited");
        });
    }
}
