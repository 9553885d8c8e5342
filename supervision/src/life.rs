//! The life of a process, from its `init` until all have been told of its end: the same in both engines.

use crate::{
    caught::{unless_ended, unless_killed},
    crash::{BlackBox, Panic},
    cx::Cx,
    exit::Exit,
    inbox::Ref,
    pid::{At, Local},
    process::Process,
    start_error::StartError,
    system::System,
};
use std::{
    mem::needs_drop,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// A process from its `init` to its end, whoever polls it: a task of ours, or an actor of ractor's. Used in place: what is
/// moved into a future is stored twice.
pub(crate) struct Life<P: Process> {
    args: Option<P::Args>,
    /// From `init` until it is dropped, which is the last that may panic.
    process: Option<P>,
    cx: Cx<P::Msg>,
    /// A pool's count of its children.
    counted: Option<Arc<AtomicUsize>>,
}

impl<P: Process> Life<P> {
    /// Of a new process, which is in the tree from now on. One that is `counted` takes itself off the count when it ends, or
    /// does not start.
    pub(crate) fn new(
        system: &System,
        parent: Option<Local>,
        at: At,
        args: P::Args,
        counted: Option<Arc<AtomicUsize>>,
    ) -> Self {
        let me = Ref::new((system, P::NAME, at, parent), P::INBOX, P::OVERFLOW);
        let mut cx = Cx::new(me, P::describe);
        if P::LAST_MESSAGE {
            cx.black_box = BlackBox::with_words();
        }
        Self { args: Some(args), process: None, cx, counted }
    }

    pub(crate) fn me(&self) -> &Ref<P::Msg> {
        self.cx.me()
    }

    /// `init`. Of one that did not succeed a supervisor is told by the answer, not by a signal too; nor is anybody of one whose name
    /// is taken, which OTP does not even start.
    pub(crate) async fn begin(&mut self) -> Result<(), StartError> {
        let Some(args) = self.args.take() else { return Ok(()) };
        let pid = self.cx.pid().clone();
        let begun = unless_ended(&pid, pin!(Some(P::init(args, &mut self.cx)))).await;
        let error = match begun {
            Ok(Ok(Ok(process))) => {
                self.process = Some(process);
                return Ok(());
            }
            Ok(Ok(Err(error))) => error.into(),
            Ok(Err(panic)) => StartError::Exited(Exit::Crash(self.cx.report(panic, None))),
            Err(reason) => StartError::Exited(reason),
        };
        let answered = matches!(error, StartError::AlreadyStarted { .. });
        if let Some(parent) = pid.parent().filter(|parent| answered || parent.supervises()) {
            parent.parts_from(&pid);
        }
        let exit = error.exit();
        self.cx.account_for(&exit, || None);
        self.end(&exit);
        Err(error)
    }

    /// Its loop, and its end.
    pub(crate) async fn run(&mut self) {
        let pid = self.cx.pid().clone();
        let Some(process) = &mut self.process else { return };
        let outcome = unless_ended(&pid, pin!(Some(process.run(&mut self.cx)))).await;
        pid.interrupted();
        let mut exit = outcome.unwrap_or_else(Ok).unwrap_or_else(|panic| {
            // the state may be torn: asking it must not hide the first panic
            for input in pid.catch(|| process.recent()).unwrap_or_default() {
                self.cx.black_box.record(input);
            }
            let state = pid.catch(|| process.state()).ok().flatten();
            self.cx.had_taken(process.word());
            Exit::Crash(self.cx.report(panic, state))
        });
        if pid.is_killed() {
            exit = Exit::Killed;
        } else {
            pid.ends(&exit);
            let terminated =
                unless_killed(&pid, pin!(Some(process.terminate(&exit, &mut self.cx)))).await;
            exit = match terminated {
                Ok(Ok(())) => exit,
                Ok(Err(panic)) => terminated_badly(&pid, exit, panic),
                Err(killed) => killed,
            };
        }
        self.cx.had_taken(process.word());
        self.cx.account_for(&exit, || process.state());
        self.end(&exit);
    }

    /// The end: drops what it was; nothing comes in any more, who waits for an answer learns it, then all who are
    /// linked or watch. A panic of what is dropped is reported as one in `terminate`.
    fn end(&mut self, exit: &Exit) {
        let Self { args, process, cx, counted } = self;
        let put_off = process.as_mut().map(P::put_off).unwrap_or_default();
        let unhandled = cx.clear() + put_off.len();
        let pid = cx.pid();
        pid.discard(put_off);
        pid.discard(args.take());
        // where it is: a move would copy it
        if needs_drop::<P>()
            && let Err(panic) = pid.catch(|| *process = None)
        {
            pid.report_beside(panic.in_terminate(), None);
        }
        pid.ends(exit);
        let waited = cx.me().close();
        pid.system().count_unhandled(unhandled + waited.len());
        pid.discard(waited);
        pid.tell_unanswered();
        if let Some(count) = counted.take() {
            count.fetch_sub(1, Ordering::AcqRel);
        }
        pid.finish(exit);
    }
}

/// Whatever happens to who polls it (abort included), its end is told.
impl<P: Process> Drop for Life<P> {
    fn drop(&mut self) {
        if self.cx.pid().is_alive() {
            self.end(&Exit::Killed);
        }
    }
}

/// What `terminate` did wrong does not hide why the process ended.
fn terminated_badly(pid: &Local, exit: Exit, panic: Panic) -> Exit {
    let report = pid.report_beside(panic.in_terminate(), None);
    if matches!(exit, Exit::Crash(_)) { exit } else { Exit::Crash(report) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InitError;
    use crate::{
        event::Event,
        policy::Engine,
        server::{self, Next, Server, Serving},
    };

    struct Idle;

    type Four = [u64; 4];

    impl Process for Idle {
        type Args = ();
        type Msg = Four;
        const NAME: &'static str = "idle";

        async fn init((): (), _: &mut Cx<Four>) -> Result<Self, InitError> {
            Ok(Self)
        }

        async fn run(&mut self, cx: &mut Cx<Four>) -> Exit {
            loop {
                if let Event::Exit { reason, .. } = cx.next().await {
                    return reason;
                }
            }
        }
    }

    impl Server for Idle {
        type Args = ();
        type Msg = Four;
        const NAME: &'static str = "idle";

        async fn init((): (), _: &mut Cx<Four>) -> Result<Self, InitError> {
            Ok(Self)
        }

        async fn handle(&mut self, _: Four, _: &mut Cx<Four>) -> Next {
            Next::Continue
        }
    }

    /// What its task has in it, without what is tokio's: 104 bytes, and the sum in steps of 128.
    fn bytes<P: Process<Args = ()>>() -> usize {
        let mut life = Life::<P>::new(&System::new("test"), None, At::Path("/".into()), (), None);
        let begin = size_of_val(&life.begin());
        size_of::<Life<P>>() + begin.max(size_of_val(&life.run()))
    }

    /// A child's start is boxed; up to there the allocator has what was freed last at hand (glibc's `tcache`).
    #[tokio::test]
    async fn the_start_of_a_server_is_small() {
        let (engine, system, at) = (Engine::Ractor, System::new("test"), At::Path("/".into()));
        let start = server::start::<Idle, _>(engine, system, None, at, (), |begun| begun.is_ok());
        assert!(size_of_val(&start) <= 1032 - 100, "{}", size_of_val(&start));
        assert!(start.await);
    }

    #[test]
    fn a_process_and_a_server_are_three_steps_of_memory() {
        assert!(bytes::<Idle>() <= 3 * 128 - 104 - 16, "{}", bytes::<Idle>());
        assert!(bytes::<Serving<Idle>>() <= 3 * 128 - 104 - 16 - 8, "{}", bytes::<Serving<Idle>>());
    }
}
