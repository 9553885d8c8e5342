//! Who waits for what, without threads.

use super::{Busy, Figures, Password, PoolLimits};
use crate::formats::Stored;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot::{self, Receiver, Sender};

/// The MAC of user, stored password and password.
pub(super) type Id = [u8; 32];

/// A verification.
struct Work {
    user: Arc<str>,
    /// What it needs; gone when it runs.
    needs: Option<(Stored, Password)>,
    micros: u64,
    waiting: Vec<Sender<bool>>,
}

/// All of them.
pub(super) struct State {
    limits: PoolLimits,
    works: HashMap<Id, Work>,
    /// Of each user in their order: the first is ready or runs.
    users: HashMap<Arc<str>, VecDeque<Id>>,
    /// What a thread may take, the oldest first: at most one of a user.
    ready: VecDeque<Id>,
    /// What is estimated of all that waits.
    micros: u64,
    /// What threads have been told of `ready`.
    tokens: usize,
    figures: Figures,
}

impl State {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            limits,
            works: HashMap::new(),
            users: HashMap::new(),
            ready: VecDeque::new(),
            micros: 0,
            tokens: 0,
            figures: Figures::default(),
        }
    }

    pub(super) fn figures(&self) -> Figures {
        Figures { queued: self.works.len() - self.figures.running, ..self.figures }
    }

    /// Asks for a verification: another waits for one that is there, or it is a new one.
    pub(super) fn ask(
        &mut self,
        id: Id,
        user: &str,
        stored: &Stored,
        password: &str,
    ) -> Result<Receiver<bool>, Busy> {
        let (sender, result) = oneshot::channel();
        if let Some(work) = self.works.get_mut(&id) {
            if work.waiting.len() >= self.limits.shared {
                self.figures.refused += 1;
                return Err(Busy::User);
            }
            work.waiting.push(sender);
            self.figures.shared += 1;
            return Ok(result);
        }
        if let Err(busy) = self.room(user) {
            self.figures.refused += 1;
            return Err(busy);
        }
        let micros = stored.cost().micros;
        let user: Arc<str> = user.into();
        let own = self.users.entry(Arc::clone(&user)).or_default();
        own.push_back(id);
        if own.len() == 1 {
            self.ready.push_back(id);
        }
        self.micros += micros;
        let needs = Some((stored.clone(), Password::new(password.to_owned())));
        self.works.insert(id, Work { user, needs, micros, waiting: vec![sender] });
        Ok(result)
    }

    fn room(&self, user: &str) -> Result<(), Busy> {
        if self.users.get(user).is_some_and(|own| own.len() >= self.limits.per_user) {
            return Err(Busy::User);
        }
        let wait = Duration::from_micros(self.micros)
            / u32::try_from(self.limits.threads).unwrap_or(u32::MAX).max(1);
        if self.works.len() >= self.limits.queue || wait > self.limits.patience {
            return Err(Busy::Full);
        }
        Ok(())
    }

    /// How many more threads must hear that there is something; they are told by who asks.
    pub(super) fn lacking(&mut self) -> usize {
        let lacking = self.ready.len().saturating_sub(self.tokens);
        self.tokens += lacking;
        lacking
    }

    /// Somebody was told in vain.
    pub(super) fn lose_token(&mut self) {
        self.tokens = self.tokens.saturating_sub(1);
    }

    /// A thread takes what is next, if it has not been taken out meanwhile.
    pub(super) fn begin(&mut self) -> Option<(Id, Stored, Password)> {
        self.lose_token();
        let id = self.ready.pop_front()?;
        let work = self.works.get_mut(&id)?;
        let (stored, password) = work.needs.take()?;
        self.micros = self.micros.saturating_sub(work.micros);
        self.figures.running += 1;
        Some((id, stored, password))
    }

    /// It is done, or has failed: who waits for it.
    pub(super) fn end(
        &mut self,
        id: &Id,
        right: Option<bool>,
        took: Duration,
    ) -> Vec<Sender<bool>> {
        self.figures.running -= 1;
        self.figures.took += took;
        match right {
            Some(_) => self.figures.done += 1,
            None => self.figures.failed += 1,
        }
        self.remove(id).map(|work| work.waiting).unwrap_or_default()
    }

    /// Somebody does not wait any more. What runs goes on.
    pub(super) fn leave(&mut self, id: &Id) {
        let Some(work) = self.works.get_mut(id) else { return };
        work.waiting.retain(|answer| !answer.is_closed());
        if work.waiting.is_empty() && work.needs.is_some() {
            self.micros = self.micros.saturating_sub(work.micros);
            self.ready.retain(|ready| ready != id);
            self.remove(id);
        }
    }

    /// Takes it out; the user's next gets ready if it was the first.
    fn remove(&mut self, id: &Id) -> Option<Work> {
        let work = self.works.remove(id)?;
        if let Some(own) = self.users.get_mut(&work.user) {
            let first = own.front() == Some(id);
            own.retain(|other| other != id);
            match own.front() {
                Some(next) if first => self.ready.push_back(*next),
                Some(_) => {}
                None => drop(self.users.remove(&work.user)),
            }
        }
        Some(work)
    }

    /// No thread will be told of what has no token: takes it out, and says who waits for it.
    pub(super) fn give_up(&mut self) -> Vec<Sender<bool>> {
        let mut gone = Vec::new();
        while self.ready.len() > self.tokens {
            let Some(id) = self.ready.pop_back() else { break };
            let Some(work) = self.remove(&id) else { continue };
            self.micros = self.micros.saturating_sub(work.micros);
            gone.extend(work.waiting);
        }
        gone
    }
}
