//! Passwords are verified by few threads, so that hashing leaves room for everything else, and memory for the hashes has a bound:
//! threads times [`crate::formats::limits::MEMORY`].
//!
//! - One user has one verification at a time, and a few that wait: who tries many passwords of one holds up nobody else.
//! - The same user with the same stored password and the same password is one verification, however many ask.
//! - Whoever stops waiting takes what nobody else waits for out of the queue.
//! - What does not fit is refused at once ([`Busy`]): the client may try again later.
//!
//! A thread is a supervised process's. A panic is its crash: who waited for that verification hears [`Busy::Failed`], the others
//! wait for the thread that is started again.

mod state;
#[cfg(test)]
mod tests;

use crate::formats::Stored;
use parking_lot::Mutex;
use ring::hmac;
use state::{Id, State};
use std::{
    fmt,
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};
use supervision::{ChildSpec, Exit, InitError, Queue, SupervisorSpec, Thread};
use thiserror::Error;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// How much of it there may be.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// Threads.
    pub threads: usize,
    /// Verifications that wait or run, of all users.
    pub queue: usize,
    /// For how long one would have to wait, as [`Stored::cost`] estimates what is before it.
    pub patience: Duration,
    /// Verifications of one user that wait or run.
    pub per_user: usize,
    /// Who may wait for one verification.
    pub shared: usize,
}

impl Default for PoolLimits {
    /// One thread less than there are processors, one at least.
    fn default() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self {
            threads: cores.saturating_sub(1).max(1),
            queue: 512,
            patience: Duration::from_secs(10),
            per_user: 4,
            shared: 16,
        }
    }
}

/// Why a password was not verified: a failure that passes (`temporary-auth-failure`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Busy {
    /// Too many wait.
    #[error("too many passwords wait to be verified")]
    Full,
    /// This user has too many.
    #[error("too many passwords of this user wait to be verified")]
    User,
    /// No thread takes any more.
    #[error("passwords are not verified any more")]
    Stopped,
    /// It crashed.
    #[error("verifying the password failed")]
    Failed,
}

/// What it does and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Verifications that wait.
    pub queued: usize,
    /// That run.
    pub running: usize,
    /// That were done, from the start on.
    pub done: u64,
    /// How long they took, together.
    pub took: Duration,
    /// That crashed.
    pub failed: u64,
    /// Who had the result of one that was asked for before.
    pub shared: u64,
    /// Who was refused.
    pub refused: u64,
}

/// The threads and what waits for them.
#[derive(Clone)]
pub struct HashPool(Arc<Shared>);

impl fmt::Debug for HashPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashPool({:?})", self.figures())
    }
}

struct Shared {
    state: Mutex<State>,
    /// A token for each verification that a thread may take.
    queue: Arc<Queue<Token>>,
    /// Passwords are told apart by their MAC, under a key that nobody has.
    key: hmac::Key,
    limits: PoolLimits,
}

impl HashPool {
    /// One without threads yet: [`HashPool::tree`] has them.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new(limits: PoolLimits) -> Result<Self, ring::error::Unspecified> {
        let random = ring::rand::SystemRandom::new();
        Ok(Self(Arc::new(Shared {
            state: Mutex::new(State::new(limits)),
            queue: Arc::new(Queue::new(limits.queue, usize::MAX)),
            key: hmac::Key::generate(hmac::HMAC_SHA256, &random)?,
            limits,
        })))
    }

    /// The supervisor of the threads.
    pub fn tree(&self, id: &str) -> ChildSpec {
        let mut spec = SupervisorSpec::one_for_one().intensity(20, Duration::from_secs(10));
        for number in 0..self.0.limits.threads.max(1) {
            let hasher = Arc::new(Hasher(Arc::clone(&self.0)));
            spec = spec.child(ChildSpec::thread(&number.to_string(), &hasher));
        }
        ChildSpec::supervisor(id, spec)
    }

    /// Whether it is the password of `user`, of whom `stored` is what is stored.
    ///
    /// # Errors
    /// When it cannot be verified now.
    pub async fn verify(&self, user: &str, stored: &Stored, password: &str) -> Result<bool, Busy> {
        let shared = &self.0;
        let id = shared.id(user, stored, password);
        let result = shared.state.lock().ask(id, user, stored, password)?;
        let mut waits = Waits { shared, id, result };
        shared.provide()?;
        (&mut waits.result).await.map_err(|_| Busy::Failed)
    }

    /// What it does and has done.
    pub fn figures(&self) -> Figures {
        self.0.state.lock().figures()
    }
}

impl Shared {
    fn id(&self, user: &str, stored: &Stored, password: &str) -> Id {
        let mut mac = hmac::Context::with_key(&self.key);
        for part in [user.as_bytes(), stored.fingerprint(), password.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut id = [0; 32];
        id.copy_from_slice(mac.sign().as_ref());
        id
    }

    /// Puts in a token for each verification that has none.
    fn provide(self: &Arc<Self>) -> Result<(), Busy> {
        let lacking = self.state.lock().lacking();
        let mut provided = Ok(());
        for _ in 0..lacking {
            let token = Token { shared: Arc::clone(self), used: false };
            // one that comes back is dropped, and counts no more
            if self.queue.push(token, 0).is_err() {
                provided = Err(Busy::Stopped);
            }
        }
        provided
    }
}

/// Somebody waits; dropped, one less.
struct Waits<'a> {
    shared: &'a Shared,
    id: Id,
    result: oneshot::Receiver<bool>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.result.close();
        self.shared.state.lock().leave(&self.id);
    }
}

/// A thread may take a verification for it: the one whose turn it is then. So what is taken out of the queue leaves no hole.
struct Token {
    shared: Arc<Shared>,
    used: bool,
}

impl Token {
    fn work(mut self) {
        self.used = true;
        let begun = self.shared.state.lock().begin();
        let Some((id, stored, password)) = begun else { return };
        let mut running = Running { shared: &self.shared, id, began: Instant::now(), right: None };
        running.right = Some(stored.verify(&password));
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if !self.used {
            self.shared.state.lock().lose_token();
        }
    }
}

/// Dropped, also by a panic, it answers and makes room for the user's next.
struct Running<'a> {
    shared: &'a Arc<Shared>,
    id: Id,
    began: Instant,
    right: Option<bool>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let waiting = self.shared.state.lock().end(&self.id, self.right, self.began.elapsed());
        for answer in waiting {
            if let Some(right) = self.right {
                // who asked may be gone
                let _ = answer.send(right);
            }
        }
        // refused: it is stopped, and `ended` tells who waits
        let _ = self.shared.provide();
    }
}

/// What a thread does.
struct Hasher(Arc<Shared>);

impl Thread for Hasher {
    type Job = Token;
    type State<'a> = ();
    const NAME: &'static str = "password_hasher";

    fn queue(&self) -> &Arc<Queue<Token>> {
        &self.0.queue
    }

    /// What waited while there was no thread goes on.
    fn open(&self) -> Result<(), InitError> {
        // refused: it is stopped already
        let _ = self.0.provide();
        Ok(())
    }

    fn work(&self, (): &mut (), tokens: &mut Vec<Token>) {
        tokens.drain(..).for_each(Token::work);
    }

    fn ended(&self, why: &Exit) {
        if !why.is_abnormal() {
            drop(self.0.state.lock().give_up());
        }
    }
}

type Password = Zeroizing<String>;
