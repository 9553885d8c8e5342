//! A job: what a thread does with its connection, and the answer to who waits for it.

use crate::cache::Caches;
use crate::{StoreError, error::LATER};
use rusqlite::{Connection, ErrorCode};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};
use tokio::sync::oneshot;

/// A job of any type.
pub(super) type BoxedJob = Box<dyn Job>;

/// Why a job is to be undone.
pub(super) enum Failure {
    /// It said so.
    Error(StoreError),
    /// It panicked.
    Panic(Box<dyn Any + Send>),
}

/// A job.
pub(super) trait Job: Send {
    /// Does the work and keeps the result.
    fn run(&mut self, db: &Connection) -> Result<(), Failure>;

    /// Keeps a failure of what is around the work as the result.
    fn fail(&mut self, error: StoreError) -> Failure;

    /// Tells the caches, then answers: with the result if it was committed. Dropped without it,
    /// a job was not done.
    fn answer(self: Box<Self>, committed: &Result<(), StoreError>);
}

/// The one kind of job.
pub(super) struct Task<T, W, A> {
    pub(super) work: Option<W>,
    /// Tells the caches: the value, or `None` when it is not known what is in the file now.
    pub(super) after: A,
    pub(super) caches: Arc<Caches>,
    pub(super) result: Option<Result<T, StoreError>>,
    pub(super) reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W, A> Job for Task<T, W, A>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T, StoreError> + Send,
    A: FnOnce(&Caches, Option<&T>) + Send,
{
    fn run(&mut self, db: &Connection) -> Result<(), Failure> {
        let Some(work) = self.work.take() else { return Ok(()) };
        match catch_unwind(AssertUnwindSafe(|| work(db))) {
            Ok(Ok(value)) => {
                self.result = Some(Ok(value));
                Ok(())
            }
            Ok(Err(error)) => Err(self.fail(error)),
            Err(panic) => {
                drop(self.fail(StoreError::Failed("it panicked".to_owned())));
                Err(Failure::Panic(panic))
            }
        }
    }

    fn fail(&mut self, error: StoreError) -> Failure {
        self.result = Some(Err(error.clone()));
        Failure::Error(error)
    }

    fn answer(self: Box<Self>, committed: &Result<(), StoreError>) {
        let Self { after, caches, result, reply, .. } = *self;
        let result = match (result, committed) {
            (Some(Ok(value)), Ok(())) => {
                after(&caches, Some(&value));
                Ok(value)
            }
            (Some(Ok(_)), Err(error)) => {
                after(&caches, None);
                Err(error.clone())
            }
            (Some(Err(error)), _) => Err(error),
            (None, Err(error)) => Err(error.clone()),
            (None, Ok(())) => Err(StoreError::Failed("it was not run".to_owned())),
        };
        // the caller may have gone
        drop(reply.send(result));
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => LATER,
            Some(ErrorCode::DiskFull) => Self::NoRoom(error.to_string()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            Some(_) => Self::Failed(error.to_string()),
            None => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => Self::Corrupt(error.to_string()),
                other => Self::Failed(other.to_string()),
            },
        }
    }
}
