//! How far a connection has come, and how one that only sits there makes room for those who come.

use crate::metrics::Metrics;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};
use supervision::{Cx, Event, Exit, Local, Pid};
use tokio::time::Instant;

/// How long whoever makes room may take to be gone.
const FAREWELL: Duration = Duration::from_millis(200);

/// Ends a connection for another, and waits until its place is free. `false`: it has settled since it
/// was chosen, and keeps its place.
pub async fn evict(pid: &Local, progress: &Progress, metrics: &Metrics) -> bool {
    if progress.get() == Stage::Settled {
        return false;
    }
    pid.exit(Exit::shutdown("another client needs the place"));
    let gone = tokio::time::timeout(FAREWELL, pid.wait()).await.is_ok();
    // a client that logged on before it heard of it stays
    let room = gone || progress.get() != Stage::Settled;
    if room {
        metrics.evicted_connections();
    }
    room
}

/// What a connection has shown so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Half a request or half a handshake, or nothing at all: it can make room for another.
    #[default]
    Waiting,
    /// Its stream is open.
    Begun,
    /// It has logged on, or a request is worked on: it keeps its place.
    Settled,
}

/// The stage of a connection; the connection says so.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU8>);

impl Progress {
    /// From here on.
    pub fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    /// At the moment.
    pub fn get(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Waiting,
            1 => Stage::Begun,
            _ => Stage::Settled,
        }
    }

    /// Whether an exit signal ends the connection: its parent's does, and [`evict`]'s unless it has settled
    /// meanwhile.
    pub fn ends<M: Send + 'static>(&self, from: &Pid, cx: &Cx<M>) -> bool {
        cx.is_parent(from) || from == cx.pid() && self.get() != Stage::Settled
    }

    /// Resolves when the connection is to end, as [`Cx::stopped`] does for processes that make room for nobody.
    pub async fn ended(&self, cx: &mut Cx<Infallible>) -> Exit {
        loop {
            if let Event::Exit { from, reason } = cx.next().await
                && self.ends(&from, cx)
            {
                return reason;
            }
        }
    }
}

/// How long a client whose stream is open can take to log on while others need its place.
pub const GRACE: Duration = Duration::from_secs(5);
/// So many of the oldest are looked at for one that has not even opened its stream.
const EXAMINED: usize = 1_000;

/// A client that has not logged on.
#[derive(Debug)]
struct Newcomer {
    pid: Local,
    progress: Progress,
    since: Instant,
}

impl Newcomer {
    fn is_one(&self) -> bool {
        self.pid.is_alive() && self.progress.get() != Stage::Settled
    }
}

/// Clients that have not logged on, the oldest first: when there is no room, one of them makes some.
/// (Half a TLS handshake or half a PROXY header costs whoever sends it nothing.)
#[derive(Debug, Default)]
pub struct Newcomers(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    newcomers: VecDeque<Newcomer>,
    /// Those who are none any more are looked for when there are more than that.
    most: usize,
}

impl Newcomers {
    /// Another one.
    pub fn add(&self, pid: Local, progress: Progress) {
        let Queue { newcomers, most } = &mut *self.0.lock();
        if newcomers.len() > *most {
            newcomers.retain(Newcomer::is_one);
            // at most as many again
            *most = 2 * newcomers.len() + 64;
            newcomers.shrink_to(*most);
        }
        newcomers.push_back(Newcomer { pid, progress, since: Instant::now() });
    }

    /// Takes the oldest, or the oldest that has not opened its stream; `None`: there is none that has
    /// had its time.
    pub fn take(&self) -> Option<(Local, Progress)> {
        let queue = &mut self.0.lock().newcomers;
        while queue.front().is_some_and(|newcomer| !newcomer.is_one()) {
            queue.pop_front();
        }
        let late = |n: &Newcomer| n.since.elapsed() >= GRACE || n.progress.get() == Stage::Waiting;
        let found = queue.iter().take(EXAMINED).position(|n| n.is_one() && late(n))?;
        queue.remove(found).map(|newcomer| (newcomer.pid, newcomer.progress))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use supervision::{InitError, Process, testkit};

    /// A connection that does nothing by itself.
    pub(crate) struct Sitting(Progress);

    impl Process for Sitting {
        type Args = Progress;
        type Msg = Infallible;
        const NAME: &'static str = "sitting";

        async fn init(progress: Progress, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
            cx.trap_exit(true);
            Ok(Self(progress))
        }

        async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
            self.0.ended(cx).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_its_parent_or_for_another_and_for_nobody_else() {
        for settled in [false, true] {
            let progress = Progress::default();
            let mine = progress.clone();
            let kit = testkit::process::<Sitting>("sitting", move || mine.clone()).await;
            let pid = kit.me.pid();
            let foreign = kit.system.spawn::<Sitting>("/other", progress.clone()).await.unwrap();
            foreign.pid().link(pid);
            foreign.pid().kill();
            foreign.pid().wait().await;
            assert!(pid.is_alive());
            if settled {
                // chosen before, and settled before it hears of it
                let stale = Progress::default();
                progress.set(Stage::Settled);
                evict(pid, &stale, &Metrics::default()).await;
                assert!(pid.is_alive());
                kit.root.stop().await;
                assert!(matches!(pid.exit_reason(), Some(Exit::Shutdown)));
            } else {
                assert!(evict(pid, &progress, &Metrics::default()).await);
                assert!(matches!(pid.exit_reason(), Some(Exit::ShutdownWith(_))));
                kit.root.stop().await;
            }
        }
    }
}
