//! How a connection ends: the client gets its session's last words.

use super::Connection;
use crate::driver::{LAST_JOBS, LINGER, Written};
use std::{future::poll_fn, time::Duration};
use tokio::time::{sleep, timeout};

impl Connection {
    pub(super) async fn finish_jobs(&mut self) -> bool {
        self.driver.finish_jobs(sleep(LAST_JOBS)).await
    }

    pub(super) async fn leave(&mut self) {
        self.driver.leave(sleep(LAST_JOBS)).await;
    }

    /// Writes what is left, for a moment.
    pub(super) async fn say_goodbye(&mut self) {
        let write = async {
            self.driver.tell_store().await;
            while self
                .transport
                .write(self.driver.out())
                .is_ok_and(|written| written != Written::All)
            {
                self.transport.writable().await;
            }
            self.driver.said_all();
            self.transport.shut_down().await;
        };
        drop(timeout(Duration::from_secs(1), write).await);
    }

    /// Closes our side and waits for the client's, so that what was written last arrives.
    pub(super) async fn linger(&mut self) {
        self.say_goodbye().await;
        let read = async {
            while poll_fn(|task| self.transport.poll_read(task, |_| ())).await.is_ok_and(|n| n > 0)
            {
            }
        };
        drop(timeout(LINGER, read).await);
    }
}
