//! One-off work as a supervised process (Elixir's `Task`): started, awaited, gone.
//!
//! ```
//! use std::time::Duration;
//! use supervision::{ChildSpec, PoolSpec, SupervisorSpec, System, Task, TaskError, Tasks};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let system = System::new("demo");
//! let tasks = ChildSpec::tasks("tasks", "tasks", PoolSpec::default());
//! let root = system.start(SupervisorSpec::one_for_one().child(tasks)).await.unwrap();
//! let tasks = Tasks::find(&system, "tasks").unwrap();
//! let sum: Task<u8> = tasks.start(async { 40 + 2 }).await.unwrap();
//! assert_eq!(sum.join(Duration::from_secs(1)).await.unwrap(), 42);
//! let product = tasks.spawn(async { 6 * 7 }).unwrap();
//! assert_eq!(product.join(Duration::from_secs(1)).await.unwrap(), 42);
//! let hangs = tasks.start(std::future::pending::<()>()).await.unwrap();
//! assert!(hangs.pid().is_alive() && !tasks.is_empty());
//! assert!(matches!(hangs.join(Duration::from_millis(1)).await, Err(TaskError::Timeout)));
//! # root.stop().await;
//! # });
//! ```

use crate::{
    cx::Cx,
    exit::Exit,
    pid::{At, Local},
    pool::{PoolRef, PoolSpec},
    process::{self, Process},
    spec::ChildSpec,
    start_error::{InitError, StartError},
    system::System,
};
use parking_lot::Mutex;
use std::{convert::Infallible, pin::Pin, time::Duration};
use thiserror::Error;
use tokio::sync::oneshot;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The process of a task.
#[doc(hidden)]
pub struct Job(
    /// In a lock that is never taken: futures need not be shareable, processes are.
    Mutex<Work>,
);

impl Process for Job {
    type Args = Work;
    type Msg = Infallible;
    const NAME: &'static str = "task";
    const INBOX: usize = 0;

    async fn init(work: Work, _: &mut Cx<Infallible>) -> Result<Self, InitError> {
        Ok(Self(Mutex::new(work)))
    }

    async fn run(&mut self, _: &mut Cx<Infallible>) -> Exit {
        self.0.get_mut().await;
        Exit::Normal
    }
}

/// Why a task has no result.
///
/// Example: [`crate::task`].
#[derive(Debug, Error)]
pub enum TaskError {
    /// It ended without one: it panicked, or it was stopped.
    #[error("the task has ended: {0}")]
    Ended(Exit),
    /// It took longer, and was killed.
    #[error("the task took too long")]
    Timeout,
}

/// Where tasks are started: a pool of them.
///
/// Example: [`crate::task`].
#[derive(Clone, Debug)]
pub struct Tasks(PoolRef<Job>);

impl Tasks {
    /// The tasks of that name.
    pub fn find(system: &System, name: &str) -> Option<Self> {
        PoolRef::find(system, name).map(Self)
    }

    /// How many run.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Starts a task. It runs whether somebody waits for it or not.
    ///
    /// # Errors
    /// When there are as many as there may be, or their pool is gone.
    pub async fn start<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<Task<T>, StartError> {
        let (work, result) = job(work);
        let process = self.0.start(work).await?;
        Ok(Task { pid: process.pid().clone(), result })
    }

    /// Starts a task and goes on.
    ///
    /// # Errors
    /// As [`Tasks::start`].
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<Task<T>, StartError> {
        let (work, result) = job(work);
        let process = self.0.spawn(work)?;
        Ok(Task { pid: process.pid().clone(), result })
    }
}

fn job<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> (Work, oneshot::Receiver<T>) {
    let (give, result) = oneshot::channel();
    (Box::pin(async move { drop(give.send(work.await)) }), result)
}

/// A task that was started.
///
/// Example: [`crate::task`].
#[derive(Debug)]
pub struct Task<T> {
    pid: Local,
    result: oneshot::Receiver<T>,
}

impl<T: Send + 'static> Task<T> {
    /// A task without a supervisor: for tools and tests. What a test does beside its processes, several clients say, are tasks
    /// when they are to run in the order of a [`crate::schedule`].
    ///
    /// Example: [`crate::schedule`].
    pub fn alone(
        system: &System,
        path: &str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Self {
        let (work, result) = job(work);
        let (process, _) = process::spawn::<Job>(system, None, At::Path(path.into()), work, None);
        Self { pid: process.pid().clone(), result }
    }
}

impl<T> Task<T> {
    /// Its process.
    pub fn pid(&self) -> &Local {
        &self.pid
    }

    /// Waits for its result. One that takes longer than `deadline` is killed.
    ///
    /// # Errors
    /// When it panics, is stopped, or takes too long.
    pub async fn join(self, deadline: Duration) -> Result<T, TaskError> {
        match tokio::time::timeout(deadline, self.result).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(TaskError::Ended(self.pid.wait().await)),
            Err(_) => {
                self.pid.kill();
                Err(TaskError::Timeout)
            }
        }
    }
}

impl ChildSpec {
    /// A place for tasks, named `name` in the system.
    pub fn tasks(id: &str, name: &str, spec: PoolSpec) -> Self {
        Self::pool::<Job>(id, name, spec)
    }
}
