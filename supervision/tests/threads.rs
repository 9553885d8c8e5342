//! Processes that own a thread: its panic is theirs, a stop finishes what waits, a start can fail.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc::{Receiver, SyncSender, sync_channel},
};
use supervision::{
    ChildSpec, Exit, InitError, Queue, StartError, SupervisorRef, SupervisorSpec, System, Thread,
    testkit::restarted,
};
use tokio::sync::oneshot;

enum Job {
    Panic,
    Echo(u32, oneshot::Sender<u32>),
    /// Waits for this.
    Wait(Receiver<()>),
}

struct Worker {
    queue: Arc<Queue<Job>>,
    /// How often it was opened, and closed.
    opened: AtomicUsize,
    closed: AtomicUsize,
    /// Which of its starts fails.
    fails: usize,
    ended: SyncSender<String>,
}

impl Thread for Worker {
    type Job = Job;
    type State<'a> = &'a str;
    const NAME: &'static str = "worker";

    fn queue(&self) -> &Arc<Queue<Job>> {
        &self.queue
    }

    fn open(&self) -> Result<&str, InitError> {
        match self.opened.fetch_add(1, Ordering::SeqCst) {
            n if n == self.fails => Err(InitError::failed("no file")),
            _ => Ok("open"),
        }
    }

    fn work(&self, state: &mut &str, jobs: &mut Vec<Job>) {
        assert_eq!((*state, jobs.len()), ("open", 1));
        for job in jobs.drain(..) {
            match job {
                Job::Panic => panic!("in the thread"),
                Job::Echo(n, reply) => reply.send(n).unwrap(),
                Job::Wait(go) => go.recv().unwrap(),
            }
        }
    }

    fn status(&self) -> String {
        "works".to_owned()
    }

    fn close(&self, _: &str) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }

    fn ended(&self, why: &Exit) {
        self.ended.send(why.to_string()).unwrap();
    }
}

fn worker(fails: usize) -> (Arc<Worker>, Receiver<String>) {
    let (ended, ends) = sync_channel(9);
    let queue = Arc::new(Queue::new(9, 99));
    let (opened, closed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    (Arc::new(Worker { queue, opened, closed, fails, ended }), ends)
}

async fn start(worker: &Arc<Worker>) -> (System, Result<SupervisorRef, StartError>) {
    let system = System::new("test");
    let spec = SupervisorSpec::one_for_one().child(ChildSpec::thread("one", worker));
    let root = system.start(spec).await;
    (system, root)
}

fn echo(worker: &Worker, n: u32) -> oneshot::Receiver<u32> {
    let (reply, answer) = oneshot::channel();
    assert!(worker.queue.push(Job::Echo(n, reply), 1).is_ok());
    answer
}

#[tokio::test]
async fn a_panic_of_the_thread_is_the_crash_of_its_process_and_another_goes_on() {
    let (worker, ends) = worker(usize::MAX);
    let (system, root) = start(&worker).await;
    let root = root.unwrap();
    let one = system.find("/one").unwrap();
    let (go, wait) = sync_channel(0);
    assert!(worker.queue.push(Job::Wait(wait), 1).is_ok());
    assert!(worker.queue.push(Job::Panic, 1).is_ok());
    go.send(()).unwrap();
    restarted(&one).await;
    assert_eq!(echo(&worker, 7).await, Ok(7));
    let reports = system.crashes().list();
    assert_eq!((&*reports[0].path, &*reports[0].reason), ("/one", "in the thread"));
    root.stop().await;
    assert!(ends.recv().unwrap().contains("in the thread"));
    assert_eq!(ends.recv().unwrap(), Exit::Shutdown.to_string());
    let opened = worker.opened.load(Ordering::SeqCst);
    assert_eq!((opened, worker.closed.load(Ordering::SeqCst), system.alive()), (2, 1, 0));
}

#[tokio::test]
async fn stopped_in_order_it_finishes_what_waits_and_takes_no_more() {
    let (worker, ends) = worker(usize::MAX);
    let (_system, root) = start(&worker).await;
    let (go, wait) = sync_channel(0);
    assert!(worker.queue.push(Job::Wait(wait), 1).is_ok());
    let answers: Vec<_> = (0..5).map(|n| echo(&worker, n)).collect();
    let root = root.unwrap();
    let mut stop = Box::pin(root.stop());
    tokio::select! {
        biased;
        _ = &mut stop => panic!("it has not finished"),
        () = tokio::task::yield_now() => {}
    }
    go.send(()).unwrap();
    stop.await;
    for (n, answer) in (0..5).zip(answers) {
        assert_eq!(answer.await, Ok(n));
    }
    assert!(worker.queue.push(Job::Panic, 1).is_err());
    assert_eq!(ends.recv().unwrap(), Exit::Shutdown.to_string());
    assert_eq!(worker.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_cannot_be_opened_is_a_start_that_failed_and_says_why() {
    let (worker, ends) = worker(0);
    let (system, root) = start(&worker).await;
    let error = root.unwrap_err().to_string();
    assert!(error.contains("no file"), "{error}");
    assert!(worker.queue.push(Job::Panic, 1).is_err(), "nobody takes from it");
    let (again, root) = start(&worker).await;
    let root = root.unwrap();
    assert_eq!(again.find("/one").unwrap().status().as_deref(), Some("works"));
    assert_eq!(echo(&worker, 1).await, Ok(1));
    root.stop().await;
    assert_eq!((ends.try_iter().count(), system.alive()), (1, 0));
}
