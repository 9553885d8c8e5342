//! A request from any node: finds who has the key, and asks again where nothing was done, until the deadline.

use super::{
    message::{HostMsg, LEFT, No, Refused, SeatMsg},
    placed::Placed,
    rank,
    shared::Shared,
};
use crate::Standing;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use supervision::{CallError, CastError, Exit, Far, Node};
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

/// The most bytes of a key.
pub const KEY: usize = 1023;

/// How soon it is asked again: after twice as long each time, up to the second.
const AGAIN: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(500)];
/// How long a node may take to say where a key is.
const FIND: Duration = Duration::from_secs(2);

/// Why a request has no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlaceError {
    /// A key has 1 to [`KEY`] bytes. Nothing was done.
    #[error("a key has 1 to {KEY} bytes")]
    Key,
    /// Nobody had the key until the deadline; what was said last. Nothing was done.
    #[error("nobody has the key: {0}")]
    NoOwner(Refused),
    /// The owner has as many keys, or its process as many requests, as it may have; or too many of this node wait, or the connection has no credit.
    /// Nothing was done.
    #[error("there is too much to do")]
    Full,
    /// The process did not start. Nothing was done.
    #[error("it did not start: {0}")]
    Start(Arc<str>),
    /// The request, or its answer, is longer than a frame may be, or the owner does not know it.
    #[error("it cannot be sent: {0}")]
    Unsendable(Arc<str>),
    /// The process has ended before it answered. It may have been done.
    #[error("the process has ended: {0}")]
    Ended(Exit),
    /// No answer within the deadline, or the connection to the owner was lost, or the owner's lease. It may have been done.
    #[error("there is no answer")]
    Unsure,
}

/// One try.
enum Tried {
    /// Nothing was done.
    Again(Refused),
    Over(PlaceError),
}

/// One of those that wait.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// What is asked.
enum Request<P: Placed> {
    Call(P::Ask),
    /// Until it is sent.
    Cast(Option<SeatMsg<P>>),
}

impl<P: Placed> Request<P> {
    /// One try. A cast has no answer.
    async fn sent(
        &mut self,
        process: &Far<SeatMsg<P>>,
        left: Duration,
    ) -> Result<Option<P::Answer>, Tried> {
        match self {
            Self::Call(ask) => {
                match process.call(|reply| SeatMsg::Call(ask.clone(), reply), left).await {
                    Ok(Ok(answer)) => Ok(Some(answer)),
                    Ok(Err(no)) => Err(no.into()),
                    Err(error) => Err(error.into()),
                }
            }
            Self::Cast(waits) => match waits.take().map(|msg| process.cast(msg)) {
                None | Some(Ok(())) => Ok(None),
                Some(Err(CastError::Gone(msg, _))) => {
                    *waits = Some(msg);
                    Err(Tried::Again(Refused::Leaving))
                }
                Some(Err(CastError::Full(_))) => Err(CallError::Full.into()),
                Some(Err(CastError::Unsendable(_, why))) => Err(CallError::Unsendable(why).into()),
                Some(Err(CastError::WrongType(_))) => Err(CallError::WrongType.into()),
            },
        }
    }
}

impl<P: Placed> Shared<P> {
    pub(super) async fn call(
        &self,
        key: &str,
        ask: P::Ask,
        deadline: Duration,
    ) -> Result<P::Answer, PlaceError> {
        let answer = self.tries(key, Request::Call(ask), deadline).await?;
        answer.ok_or(PlaceError::Unsure)
    }

    pub(super) async fn cast(
        &self,
        key: &str,
        ask: P::Ask,
        deadline: Duration,
    ) -> Result<(), PlaceError> {
        let request = Request::Cast(Some(SeatMsg::Cast(ask)));
        self.tries(key, request, deadline).await.map(drop)
    }

    /// Until it is done, or may be, or the time is over.
    async fn tries(
        &self,
        key: &str,
        mut request: Request<P>,
        deadline: Duration,
    ) -> Result<Option<P::Answer>, PlaceError> {
        if key.is_empty() || key.len() > KEY {
            return Err(PlaceError::Key);
        }
        let deadline = Instant::now() + deadline;
        let [mut pause, longest] = AGAIN;
        let mut waits = None;
        loop {
            let left = || deadline.saturating_duration_since(Instant::now());
            let tried = match self.locate(key, left()).await {
                Ok(process) => request.sent(&process, left()).await,
                Err(refused) => Err(Tried::Again(refused)),
            };
            let refused = match tried {
                Ok(done) => return Ok(done),
                Err(Tried::Over(error)) => {
                    self.addresses.remove(key);
                    return Err(error);
                }
                Err(Tried::Again(Refused::Full)) => return Err(PlaceError::Full),
                Err(Tried::Again(refused)) => refused,
            };
            self.addresses.remove(key);
            if waits.is_none() {
                let count = self.waiting.fetch_add(1, Relaxed);
                waits = Some(Waits(&self.waiting));
                if count >= self.spec.waiting {
                    return Err(PlaceError::Full);
                }
            }
            let next = Instant::now() + pause;
            pause = longest.min(2 * pause);
            if next >= deadline {
                return Err(PlaceError::NoOwner(refused));
            }
            sleep_until(next).await;
        }
    }

    /// The owner by this node's view.
    fn owner(&self, key: &str) -> Option<Node> {
        let others = self.view.others();
        let up = |standing| standing == Standing::Up;
        let nodes = others.iter().filter(|(_, other)| up(other.member.standing));
        let me = up(self.view.standing()).then_some(self.system.node());
        rank::owner(key, nodes.map(|(node, _)| *node).chain(me))
    }

    /// The process of a key, which is started if there is none.
    async fn locate(&self, key: &str, left: Duration) -> Result<Far<SeatMsg<P>>, Refused> {
        if let Some(known) = self.addresses.get(key)
            && self.is_there(&known)
        {
            return Ok(known);
        }
        let owner = self.owner(key).ok_or(Refused::Nobody)?;
        let found = match self.ask(owner, key, left).await {
            // its view is another: that node may know better
            Err(Refused::Elsewhere(node)) if node != owner => self.ask(node, key, left).await,
            found => found,
        }?;
        self.addresses.insert(key.into(), found.clone());
        Ok(found)
    }

    async fn ask(&self, node: Node, key: &str, left: Duration) -> Result<Far<SeatMsg<P>>, Refused> {
        let host = self.system.far_named::<HostMsg>(node, &Self::host());
        let found = host.call(|reply| HostMsg::Find(key.to_owned(), reply), left.min(FIND)).await;
        let id = found.map_err(|_| Refused::NotReached(node))??;
        let process = self.system.far(self.system.pid(id));
        // what is asked without a connection was not done: known before it is asked
        if self.is_there(&process) { Ok(process) } else { Err(Refused::NotReached(node)) }
    }

    fn is_there(&self, process: &Far<SeatMsg<P>>) -> bool {
        match process.pid().and_then(|pid| pid.local()) {
            Some(here) => here.is_alive(),
            None => self.system.nodes().contains(&process.node()),
        }
    }
}

impl From<No> for Tried {
    fn from(no: No) -> Self {
        match no {
            No::Leaving => Self::Again(Refused::Leaving),
            No::Start(why) => Self::Over(PlaceError::Start(why)),
            No::Ended(exit) => Self::Over(PlaceError::Ended(exit)),
            No::Lease => Self::Over(PlaceError::Unsure),
        }
    }
}

impl From<CallError> for Tried {
    fn from(error: CallError) -> Self {
        Self::Over(match error {
            CallError::Gone(Some(Exit::NoProc)) => return Self::Again(Refused::Leaving),
            CallError::Gone(Some(Exit::ShutdownWith(why))) if *why == *LEFT => {
                return Self::Again(Refused::Leaving);
            }
            CallError::Full => PlaceError::Full,
            CallError::Gone(None | Some(Exit::NoConnection)) | CallError::Timeout => {
                PlaceError::Unsure
            }
            CallError::Gone(Some(exit)) => PlaceError::Ended(exit),
            error => PlaceError::Unsendable(error.to_string().into()),
        })
    }
}
