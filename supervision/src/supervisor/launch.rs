//! A child is started, and stopped; a start that panics or takes too long leaves nothing.

use crate::{
    caught::{caught, cut},
    crash::Panic,
    cx::Cx,
    exit::Exit,
    pid::{At, Local},
    spec::{ChildSpec, Place, Started},
    start_error::StartError,
    stop::Stop,
    supervisor_ref::Msg,
};
use std::pin::pin;
use tokio::time::timeout;

/// Calls the start function of a child and waits for what it brings.
pub(super) async fn launch(spec: &ChildSpec, at: At, cx: &Cx<Msg>) -> Result<Started, StartError> {
    let (system, parent) = (cx.system().clone(), cx.pid());
    let since = system.next_number();
    let engine = spec.engine.unwrap_or(system.engine());
    let place = Place { system, parent: parent.clone(), at: at.clone(), engine };
    // the function is the child's, and so is a panic in it
    let mut starting = pin!(Some(async move { (spec.start)(place).await }));
    let badly = |panic| drop(not_started(parent, panic, &at));
    let caught = caught(parent, starting.as_mut(), badly);
    let started = match spec.ready_within {
        None => Ok(caught.await),
        Some(limit) => timeout(limit, caught).await.map_err(|_| StartError::Timeout(limit)),
    };
    // the `init` of an actor is polled by nobody else: it ends with its start
    cut(parent, starting, badly);
    let not_up = match started {
        Ok(Ok(Ok(Started::Up(pid)))) => return Ok(Started::Up(pid)),
        Ok(Ok(not_up)) => not_up,
        Ok(Err(panic)) => Err(not_started(parent, panic, &at)),
        Err(error) => Err(error),
    };
    abandon(parent, &at, since).await;
    not_up
}

/// Ends what a start had begun: it is linked, but nobody's child. `since`: no process before has that number.
async fn abandon(parent: &Local, at: &At, since: u64) {
    for pid in parent.linked_at(at, since) {
        parent.parts_from(&pid);
        pid.dismiss();
        pid.kill();
        pid.wait().await;
    }
}

/// A start function panicked: a start that failed, like any other.
fn not_started(parent: &Local, panic: Panic, at: &At) -> StartError {
    let what = format!("start of {}", at.path(Some(parent.name())));
    StartError::Exited(Exit::Crash(parent.report_beside(panic, Some(&what))))
}

/// Stops children of one specification.
pub(super) async fn stop(supervisor: &Local, spec: &ChildSpec, pids: &[Local]) {
    let (child, shutdown, restart) = (&*spec.id, spec.shutdown, spec.restart);
    Stop { supervisor, child, shutdown, restart }.all(pids).await;
}
