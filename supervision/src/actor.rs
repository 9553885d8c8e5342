//! The engine that is ractor: it starts the actor, and polls the life of a process as what the actor does after its start.

use crate::{
    exit::Exit,
    inbox::Ref,
    life::Life,
    pid::{At, Local},
    process::Process,
    start_error::StartError,
    system::System,
};
use ractor::{Actor, ActorProcessingErr, ActorRef, SpawnErr};
use std::{marker::PhantomData, pin::pin};
use thiserror::Error;
use tokio::task::JoinHandle;

/// Its ractor mailbox gets no message: the loop is that of the process, on the inbox that has a bound.
pub(crate) enum Nothing {}

// without ractor's cluster feature every Send + 'static type is a message
#[cfg(feature = "cluster")]
impl ractor::Message for Nothing {}

/// How an actor ends without going on to its mailbox. Nobody is told: it has no ractor supervisor.
#[derive(Debug, Error)]
#[error("ended")]
struct Ended;

struct Acting<P>(PhantomData<fn() -> P>);

impl<P: Process> Actor for Acting<P> {
    type Msg = Nothing;
    type State = Life<P>;
    type Arguments = Life<P>;

    async fn pre_start(
        &self,
        _: ActorRef<Nothing>,
        mut life: Life<P>,
    ) -> Result<Life<P>, ActorProcessingErr> {
        life.begin().await?;
        Ok(life)
    }

    async fn post_start(
        &self,
        _: ActorRef<Nothing>,
        life: &mut Life<P>,
    ) -> Result<(), ActorProcessingErr> {
        let pid = life.me().pid.clone();
        pid.paced(pin!(life.run())).await;
        Err(Ended.into())
    }
}

/// What comes of the start of an actor.
pub(crate) type Spawned = Result<(ActorRef<Nothing>, JoinHandle<()>), SpawnErr>;

/// Begins to start a process as an actor, under `parent`. Not in an `async fn`: a life that was lent there is in its future twice.
pub(crate) fn spawn<P: Process>(
    system: &System,
    parent: Option<Local>,
    at: At,
    args: P::Args,
) -> (Ref<P::Msg>, impl Future<Output = Spawned> + use<P>) {
    let life = Life::<P>::new(system, parent, at, args, None);
    (life.me().clone(), Actor::spawn(None, Acting(PhantomData), life))
}

/// What its `init` has said.
pub(crate) async fn begun<M: Send + 'static>(
    me: Ref<M>,
    spawned: Spawned,
) -> Result<Ref<M>, StartError> {
    let error = match spawned {
        Ok(_) => return Ok(me),
        Err(error) => error,
    };
    if let SpawnErr::StartupFailed(error) = error
        && let Ok(error) = error.downcast::<StartError>()
    {
        return Err(*error);
    }
    Err(StartError::Exited(me.pid.wait().await))
}

/// A task that ends with who waits for it.
struct Apart<T>(JoinHandle<T>);

impl<T> Drop for Apart<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Awaits a start in a task of its own. That of an actor is polled where it is awaited: the starts of a deep tree would all be on
/// one stack.
pub(crate) async fn apart<T: Send + 'static>(
    start: impl Future<Output = Result<T, StartError>> + Send + 'static,
) -> Result<T, StartError> {
    #[expect(clippy::disallowed_methods, reason = "it is awaited here, and ends with that")]
    let mut task = Apart(tokio::spawn(start));
    // an error: the runtime ends
    (&mut task.0).await.unwrap_or(Err(StartError::Exited(Exit::Killed)))
}
