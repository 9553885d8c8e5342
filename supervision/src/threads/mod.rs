//! A process that owns a thread, for what blocks: files, a database in the process, hashes that take long. Tasks put jobs
//! into a bounded queue, the thread takes them.
//!
//! The thread's panic is the process's crash, and a restart is another thread. Stopped in order, the last thread of a queue
//! finishes what waits; what comes then is refused at once.

mod queue;

pub use queue::Queue;

use crate::{cx::Cx, exit::Exit, process::Process, spec::ChildSpec, start_error::InitError};
use queue::Seat;
use std::{
    convert::Infallible,
    panic::resume_unwind,
    sync::{Arc, atomic::AtomicBool},
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;

/// What the thread of a process does: [`ChildSpec::thread`]. Several may share one queue.
///
/// ```
/// use std::sync::Arc;
/// use supervision::{ChildSpec, Exit, InitError, Queue, SupervisorSpec, System, Thread};
/// use tokio::sync::oneshot;
///
/// type Sum = (u64, oneshot::Sender<u64>);
/// struct Adder(Arc<Queue<Sum>>);
///
/// impl Thread for Adder {
///     type Job = Sum;
///     type State<'a> = u64;
///     const NAME: &'static str = "adder";
///     fn queue(&self) -> &Arc<Queue<Sum>> {
///         &self.0
///     }
///     fn open(&self) -> Result<u64, InitError> {
///         Ok(0)
///     }
///     fn work(&self, sum: &mut u64, jobs: &mut Vec<Sum>) {
///         for (n, reply) in jobs.drain(..) {
///             *sum += n;
///             let _ = reply.send(*sum); // who asked may be gone
///         }
///     }
///     // what may be left out
///     fn most(&self) -> usize {
///         100
///     }
///     fn status(&self) -> String {
///         "adds".to_owned()
///     }
///     fn close(&self, sum: u64) {
///         println!("{sum} in the end");
///     }
///     fn ended(&self, why: &Exit) {
///         println!("its thread is gone: {why}");
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let queue = Arc::new(Queue::new(1_000, 1 << 20));
/// let adder = Arc::new(Adder(Arc::clone(&queue)));
/// let spec = SupervisorSpec::one_for_one().child(ChildSpec::thread("adder", &adder));
/// let root = System::new("demo").start(spec).await.unwrap();
/// let (reply, sum) = oneshot::channel();
/// queue.push((42, reply), 8).unwrap();
/// assert_eq!(sum.await, Ok(42));
/// println!("the oldest has waited for {:?}", queue.age());
/// root.stop().await;
/// assert!(queue.push((1, oneshot::channel().0), 8).is_err());
/// # });
/// ```
pub trait Thread: Send + Sync + 'static {
    /// What it is asked.
    type Job: Send + 'static;
    /// What it works with: made and dropped in the thread.
    type State<'a>
    where
        Self: 'a;
    /// What it is, for the tree and crash reports.
    const NAME: &'static str;

    /// Where its jobs come from.
    fn queue(&self) -> &Arc<Queue<Self::Job>>;

    /// Makes what it works with, in the thread. The process has started when it returns.
    ///
    /// # Errors
    /// When it cannot; the start fails.
    fn open(&self) -> Result<Self::State<'_>, InitError>;

    /// Does these jobs: one at least, [`Thread::most`] at most. One that is left is dropped. A panic is the process's end.
    fn work(&self, state: &mut Self::State<'_>, jobs: &mut Vec<Self::Job>);

    /// How many jobs it takes at a time.
    fn most(&self) -> usize {
        1
    }

    /// A line for the tree.
    fn status(&self) -> String {
        String::new()
    }

    /// It was told to stop, and there is nothing left to do: the last thing in the thread.
    fn close(&self, _state: Self::State<'_>) {}

    /// The thread is gone, and the process ends for that reason; not called when it was killed.
    fn ended(&self, _why: &Exit) {}
}

impl ChildSpec {
    /// A process that owns a thread.
    pub fn thread<T: Thread>(id: &str, thread: &Arc<T>) -> Self {
        let thread = Arc::clone(thread);
        Self::process::<Owner<T>>(id, move || Arc::clone(&thread))
    }
}

/// The process.
struct Owner<T: Thread> {
    thread: Arc<T>,
    seat: Option<Seat<T::Job>>,
    /// With what ends when it does.
    running: Option<(oneshot::Receiver<()>, JoinHandle<()>)>,
}

impl<T: Thread> Process for Owner<T> {
    type Args = Arc<T>;
    type Msg = Infallible;
    const NAME: &'static str = T::NAME;
    const INBOX: usize = 0;

    async fn init(thread: Arc<T>, cx: &mut Cx<Infallible>) -> Result<Self, InitError> {
        let seat = Seat::new(thread.queue());
        let (alive, ended) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let (its, stop) = (Arc::clone(&thread), seat.stop());
        let body = move || {
            let _alive = alive;
            live(&*its, &stop, ready);
        };
        let id = cx.pid().path().rsplit('/').next().unwrap_or_default().to_owned();
        let running = thread::Builder::new().name(format!("{}-{id}", T::NAME)).spawn(body);
        let running = running.map_err(|e| InitError::failed(format!("no thread: {e}")))?;
        let started = is_ready.await;
        cx.publish(&thread.status());
        let mut owner = Self { thread, seat: Some(seat), running: Some((ended, running)) };
        match started {
            Ok(Ok(())) => Ok(owner),
            failed => {
                owner.leave(cx).await;
                Err(match failed {
                    Ok(Err(error)) => error,
                    _ => InitError::failed("its thread ended"),
                })
            }
        }
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let Some((ended, _)) = &mut self.running else { return Exit::error("it has no thread") };
        loop {
            tokio::select! {
                biased;
                _ = &mut *ended => break,
                _ = cx.next() => {}
            }
        }
        match self.running.take().map(|(_, thread)| thread.join()) {
            // so that the crash report is this process's
            Some(Err(panic)) => resume_unwind(panic),
            _ => Exit::error("its thread ended"),
        }
    }

    async fn terminate(&mut self, why: &Exit, cx: &mut Cx<Infallible>) {
        self.leave(cx).await;
        self.thread.ended(why);
    }
}

impl<T: Thread> Owner<T> {
    /// Tells the thread to stop, waits for it, and refuses what nobody will take any more.
    async fn leave(&mut self, cx: &Cx<Infallible>) {
        drop(self.seat.take());
        if let Some((ended, thread)) = self.running.take() {
            // an error: the sender is gone, and so is the thread
            drop(ended.await);
            if thread.join().is_err() {
                tracing::error!(process = %cx.pid().path(), "its thread panicked");
            }
        }
        self.thread.queue().abandon();
    }
}

/// A thread's life.
fn live<T: Thread>(thread: &T, stop: &AtomicBool, ready: oneshot::Sender<Result<(), InitError>>) {
    let mut state = match thread.open() {
        Ok(state) => state,
        Err(error) => return drop(ready.send(Err(error))),
    };
    if ready.send(Ok(())).is_err() {
        // killed meanwhile: what waits is for another
        return;
    }
    let mut jobs = Vec::new();
    while thread.queue().take(stop, thread.most(), &mut jobs) {
        thread.work(&mut state, &mut jobs);
        jobs.clear();
    }
    thread.close(state);
}
