//! Whether a node runs: it can be stopped and continued, as by signals, and killed.

use parking_lot::Mutex;
use std::pin::pin;
use tokio::sync::Notify;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    #[default]
    Running,
    /// As by SIGSTOP.
    Stopped,
    Over,
}

#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    goes_on: Notify,
}

impl Gate {
    pub fn state(&self) -> State {
        *self.state.lock()
    }

    /// `false`: it is over.
    pub fn is(&self, to: State) -> bool {
        let mut state = self.state.lock();
        let lives = *state != State::Over;
        if lives {
            *state = to;
        }
        lives
    }

    /// Those that wait go on.
    pub fn opens(&self) {
        self.goes_on.notify_waiters();
    }

    /// Waits while it is stopped; for ever, when it is over.
    pub async fn runs(&self) {
        loop {
            let mut goes_on = pin!(self.goes_on.notified());
            goes_on.as_mut().enable();
            if self.state() == State::Running {
                return;
            }
            goes_on.await;
        }
    }
}
