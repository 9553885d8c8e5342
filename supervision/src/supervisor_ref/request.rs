//! What a supervisor is asked, and what it answers: data only.

use crate::{
    inbox::{CallError, Reply},
    pid::Local,
    policy::{Backoff, Engine, Kind, Restart, Shutdown},
    spec::{ChildSpec, Started},
    start_error::StartError,
};
use serde::{Deserialize, Serialize};
use std::{any::Any, sync::Arc, time::Duration};
use thiserror::Error;

/// Where a child is.
///
/// Example: [`crate::SupervisorRef`].
#[derive(Clone, Debug)]
pub enum ChildState {
    /// Alive.
    Up(Local),
    /// Not running: stopped, ignored or ended.
    Undefined,
    /// Its restart failed and is tried again.
    Restarting,
}

impl ChildState {
    pub(crate) fn pid(&self) -> Option<&Local> {
        match self {
            Self::Up(pid) => Some(pid),
            _ => None,
        }
    }
}

/// One row of `which_children`.
///
/// Example: [`crate::SupervisorRef`].
#[derive(Clone, Debug)]
pub struct ChildInfo {
    /// The id; `None` for an instance of a template.
    pub id: Option<Arc<str>>,
    /// Where it is.
    pub state: ChildState,
    /// Worker or supervisor.
    pub kind: Kind,
}

/// `count_children`.
///
/// Example: [`crate::SupervisorRef`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Child specifications.
    pub specs: usize,
    /// Live children.
    pub active: usize,
    /// Children that are supervisors, alive or not.
    pub supervisors: usize,
    /// Children that are workers, alive or not.
    pub workers: usize,
}

/// What can be said of a child's specification: all but its start function (`get_childspec`).
///
/// Example: [`crate::SupervisorRef`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildSpecInfo {
    /// Its name under its supervisor.
    pub id: Arc<str>,
    /// When it is restarted.
    pub restart: Restart,
    /// How it is stopped.
    pub shutdown: Shutdown,
    /// Worker or supervisor.
    pub kind: Kind,
    /// Whether its end may be that of its supervisor.
    pub significant: bool,
    /// How long a restart waits, if it does.
    pub backoff: Option<Backoff>,
    /// How long its start may take, if that has a limit.
    pub ready_within: Option<Duration>,
    /// On what it runs, if it says.
    pub engine: Option<Engine>,
    /// Whether it is a template whose instances get arguments.
    pub takes_args: bool,
}

impl From<&ChildSpec> for ChildSpecInfo {
    fn from(spec: &ChildSpec) -> Self {
        Self {
            id: Arc::clone(&spec.id),
            restart: spec.restart,
            shutdown: spec.shutdown,
            kind: spec.kind,
            significant: spec.significant,
            backoff: spec.backoff,
            ready_within: spec.ready_within,
            engine: spec.engine,
            takes_args: spec.with.is_some(),
        }
    }
}

/// Why a supervisor did not do what it was asked.
///
/// Example: [`crate::SupervisorRef`].
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum ChildError {
    /// There is a child of that id, and it is alive.
    #[error("already started")]
    AlreadyStarted(Local),
    /// There is a child of that id, and it is not running.
    #[error("already present")]
    AlreadyPresent,
    /// It is alive.
    #[error("running")]
    Running,
    /// It is being restarted.
    #[error("restarting")]
    Restarting,
    /// There is no such child.
    #[error("not found")]
    NotFound,
    /// Not for instances of a template.
    #[error("not for a simple_one_for_one supervisor")]
    SimpleOneForOne,
    /// The template's instances take arguments of another type, or none.
    #[error("the template takes other arguments")]
    WrongArgs,
    /// The specification makes no sense.
    #[error("invalid specification: {0}")]
    InvalidSpec(Arc<str>),
    /// The child's start failed.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The supervisor is gone.
    #[error("the supervisor does not answer: {0}")]
    Call(CallError),
}

/// Which child is meant.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Id(Arc<str>),
    Instance(Local),
}

pub(crate) type ChildReply<T> = Reply<Result<T, ChildError>>;

/// The messages of a supervisor.
#[doc(hidden)]
pub struct Msg(pub(crate) Request);

pub(crate) enum Request {
    Start(Option<Arc<ChildSpec>>, ChildReply<Started>),
    /// Another instance of the template, with arguments.
    Instance(Box<dyn Any + Send>, ChildReply<Started>),
    Restart(Target, ChildReply<Started>),
    Terminate(Target, ChildReply<()>),
    Delete(Target, ChildReply<()>),
    /// What its specification says.
    Spec(Target, ChildReply<ChildSpecInfo>),
    Update(Arc<ChildSpec>, ChildReply<()>),
    Which(Reply<Vec<ChildInfo>>),
    Count(Reply<Counts>),
    /// A restart failed: try it again.
    TryAgain(u64),
}

impl Msg {
    /// What a trace or a report calls it.
    pub(crate) fn word(&self) -> &'static str {
        match self.0 {
            Request::Start(..) | Request::Instance(..) => "start_child",
            Request::Restart(..) => "restart_child",
            Request::Terminate(..) => "terminate_child",
            Request::Delete(..) => "delete_child",
            Request::Spec(..) => "get_childspec",
            Request::Update(..) => "update_childspec",
            Request::Which(_) => "which_children",
            Request::Count(_) => "count_children",
            Request::TryAgain(_) => "try again",
        }
    }
}
