//! What is in the journal goes into the database: for each user in order, for several users at once.

use super::{
    Journaled, count,
    file::{Done, Found},
    op::{Op, Replay},
};
use crate::{BoxFuture, StoreError, all::all, error::LATER, turns::Turn};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use supervision::{Cx, Exit, InitError, Process};
use xmpp::jid::BareJid;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Round {
    /// Nothing is left of what there was.
    Whole,
    /// Of some users, whose operations fail.
    Part,
    /// The database is away.
    Away,
}

/// The process that does it.
pub(super) struct Drainer<R>(Arc<Journaled<R>>);

impl<R: Replay> Process for Drainer<R> {
    type Args = Arc<Journaled<R>>;
    type Msg = Infallible;
    const NAME: &'static str = "drainer";
    const INBOX: usize = 0;

    async fn init(journaled: Self::Args, _: &mut Cx<Infallible>) -> Result<Self, InitError> {
        Ok(Self(journaled))
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        tokio::select! {
            biased;
            why = cx.stopped() => why,
            () = self.0.drain() => Exit::Normal,
        }
    }
}

impl<R: Replay> Journaled<R> {
    /// Drains whenever there is something, until it is dropped.
    async fn drain(&self) {
        loop {
            while self.log.rows.lock().len() == 0 {
                self.log.filled.notified().await;
            }
            if self.round().await != Round::Whole {
                tokio::select! {
                    () = tokio::time::sleep(self.options.retry) => {}
                    () = self.back.notified() => {}
                }
            }
        }
    }

    /// Goes once to all users that have something.
    pub(super) async fn round(&self) -> Round {
        let mut users = self.log.rows.lock().users();
        // of one user alone nothing may be answered: that is found out by asking for another
        let turn = self.vain.load(Ordering::Relaxed).checked_rem(users.len());
        users.rotate_left(turn.unwrap_or_default());
        let Some(first) = users.front() else { return Round::Whole };
        // while the database is away it is asked for one thing, not for all
        let turn = self.turns.wait(first).await;
        if self.settle(first, 1).await.is_err_and(|error| error.is_away()) {
            self.vain.fetch_add(1, Ordering::Relaxed);
            return Round::Away;
        }
        drop(turn);
        let (users, worst) = (Mutex::new(users), Mutex::new(Round::Whole));
        let answers = AtomicBool::new(true);
        let lanes = (0..self.options.at_once.max(1))
            .map(|_| -> BoxFuture<'_, ()> { Box::pin(self.lane(&users, &worst, &answers)) });
        all(lanes).await;
        worst.into_inner()
    }

    /// Drains one user after the other. `answers`: the database did since it last did not.
    async fn lane(
        &self,
        users: &Mutex<VecDeque<BareJid>>,
        worst: &Mutex<Round>,
        answers: &AtomicBool,
    ) {
        let next = || users.lock().pop_front();
        while let Some(user) = next() {
            let _turn = self.turns.wait(&user).await;
            let Err(error) = self.settle(&user, usize::MAX).await else {
                answers.store(true, Ordering::Relaxed);
                continue;
            };
            let how = if error.is_away() && !answers.swap(false, Ordering::Relaxed) {
                self.vain.fetch_add(1, Ordering::Relaxed);
                users.lock().clear();
                Round::Away
            } else {
                tracing::error!(%user, %error, "what is journaled cannot be made, and is tried again");
                Round::Part
            };
            let mut worst = worst.lock();
            *worst = how.max(*worst);
        }
    }

    /// A user's turn, when nothing of theirs is in the journal.
    pub(super) async fn settled(&self, user: &BareJid) -> Result<Turn<'_>, StoreError> {
        let turn = self.turns.wait(user).await;
        if self.log.rows.lock().has(user) {
            self.settle(user, usize::MAX).await.map_err(|_| LATER)?;
        }
        Ok(turn)
    }

    /// Makes what waits for a user, in order, but no more than so much. Whoever calls has the user's turn.
    async fn settle(&self, user: &BareJid, most: usize) -> Result<(), StoreError> {
        let mut last = None;
        for made in 0.. {
            let next = self.log.rows.lock().first(user, last).filter(|_| made < most);
            let done = match (last, next) {
                (None, None) => return Ok(()),
                (Some(id), _) => Some(Done::Away(id)),
                (None, Some(_)) => None,
            };
            // the row of an operation goes before the next one is made: the database knows only the last again
            let found = self.log.step(done, next).await?;
            let Some(id) = next else { return Ok(()) };
            last = match found {
                Found::Op(name, op) => {
                    let made = self.apply(&op, name, None).await;
                    self.judge(&op, made)?;
                    Some(id)
                }
                Found::Damaged => {
                    count(&self.totals.dropped);
                    tracing::error!(%user, id, "journaled, and cannot be read: see the table damaged");
                    self.log.step(Some(Done::Aside(id)), None).await?;
                    None
                }
                // somebody took it out of the file
                Found::Nothing => {
                    self.log.rows.lock().remove(id);
                    None
                }
            };
        }
        Ok(())
    }

    /// Whether an operation is done with.
    fn judge(&self, op: &Op, made: Result<Vec<u64>, StoreError>) -> Result<(), StoreError> {
        match (made, op) {
            (Ok(_), _) => count(&self.totals.drained),
            // a later one is kept
            (Err(StoreError::Conflict { .. }), Op::Put(_)) => count(&self.totals.drained),
            (
                Err(
                    error @ (StoreError::NoAccount(_)
                    | StoreError::Corrupt(_)
                    | StoreError::Full { .. }
                    | StoreError::Conflict { .. }),
                ),
                op,
            ) => {
                count(&self.totals.dropped);
                let (user, ids) = (op.user(), op.ids());
                tracing::error!(%user, ?ids, %error, "journaled, and can never be made: it is dropped");
            }
            (Err(error), _) => return Err(error),
        }
        Ok(())
    }
}
