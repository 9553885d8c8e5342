//! One call of the store: let in or refused, with a deadline, and what its error means.

use super::{MongoStore, failure::Failure, room::Seat};
use crate::{StoreError, error::LATER, shown::Asked, turns::Turn};
use std::{
    future::Future,
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    time::Instant,
};
use xmpp::jid::BareJid;

/// What a call that changes something of nobody in particular holds: addresses, keys.
pub(super) const SMALL: usize = 8 << 10;

/// How far a call has come: it waits for its turn, asks the database, or has told it to change something.
const WAITS: u8 = 0;
const ASKS: u8 = 1;
const SENT: u8 = 2;

/// One call.
#[derive(Debug)]
pub(super) struct Call<'s> {
    pub(super) store: &'s MongoStore,
    asked: Asked,
    bytes: usize,
    stage: AtomicU8,
    /// The database has answered that others are in the way.
    refused: AtomicBool,
}

impl MongoStore {
    /// A call that reads.
    pub(super) fn reads(&self) -> Call<'_> {
        self.call(Asked::Read, SMALL, ASKS)
    }

    /// A call that changes something, and holds about as many bytes.
    pub(super) fn writes(&self, bytes: usize) -> Call<'_> {
        self.call(Asked::Write, SMALL + bytes, WAITS)
    }

    fn call(&self, asked: Asked, bytes: usize, stage: u8) -> Call<'_> {
        let (stage, refused) = (AtomicU8::new(stage), AtomicBool::new(false));
        Call { store: self, asked, bytes, stage, refused }
    }

    fn admit(&self, bytes: usize) -> Result<Seat<'_>, StoreError> {
        if self.serves() && !self.breaker.is_open() { self.room.sit(bytes) } else { Err(LATER) }
    }
}

impl<'s> Call<'s> {
    /// Does it, within the deadline.
    pub(super) async fn run<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StoreError> {
        let _seat = self.store.admit(self.bytes)?;
        let since = Instant::now();
        let work = async {
            match self.asked {
                Asked::Read => work.await,
                Asked::Write => self.store.undoing(work).await,
            }
        };
        let outcome = tokio::time::timeout(self.store.options.deadline, work).await;
        let stage = self.stage.load(Ordering::Relaxed);
        let result = match outcome {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(failure)) => {
                match failure.away() {
                    Some(why) => self.store.breaker.failed(why),
                    None => self.store.breaker.worked(),
                }
                Err(failure.tell(stage == SENT))
            }
            Err(_) => {
                // whom a transaction has that nobody goes on with is of no use as long as that is so, and all others are
                if stage != WAITS && !self.refused.load(Ordering::Relaxed) {
                    self.store.breaker.failed("no answer in time".to_owned());
                }
                Err(if stage == SENT { StoreError::Timeout } else { LATER })
            }
        };
        if result.is_ok() {
            self.store.breaker.worked();
        }
        self.store.tell_of(self.asked, since.elapsed());
        result
    }

    /// Waits until nobody else of this process does something for that user.
    pub(super) async fn turn(&self, user: &BareJid) -> Turn<'s> {
        let turn = self.store.turns.wait(user).await;
        self.stage.fetch_max(ASKS, Ordering::Relaxed);
        turn
    }

    /// The same of several users, in an order that is everybody's.
    pub(super) async fn turn_of_all(&self, users: &[BareJid]) -> Vec<Turn<'s>> {
        let mut users: Vec<&BareJid> = users.iter().collect();
        users.sort_unstable();
        users.dedup();
        let mut turns = Vec::with_capacity(users.len());
        for user in users {
            turns.push(self.store.turns.wait(user).await);
        }
        self.stage.fetch_max(ASKS, Ordering::Relaxed);
        turns
    }

    /// From now on the database may have changed something.
    pub(super) fn sent(&self) {
        self.stage.store(SENT, Ordering::Relaxed);
    }

    /// It has certainly changed nothing. Whether the database said so.
    pub(super) fn undone(&self, said: bool) {
        self.refused.store(said, Ordering::Relaxed);
        self.stage.store(ASKS, Ordering::Relaxed);
    }
}
