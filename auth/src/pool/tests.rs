//! The order of everything is held by gates: what a thread verifies begins and ends when the test says so.

use super::*;
use std::{
    pin::{Pin, pin},
    sync::mpsc::{SyncSender, sync_channel},
    task::Poll,
};
use supervision::{SupervisorRef, System};
use tokio::sync::mpsc::{self, Receiver};

const LIMITS: PoolLimits =
    PoolLimits { threads: 1, queue: 4, patience: Duration::from_secs(10), per_user: 2, shared: 2 };

async fn start(limits: PoolLimits) -> (HashPool, System, SupervisorRef) {
    let pool = HashPool::new(limits).unwrap();
    let system = System::new("test");
    let root = SupervisorSpec::one_for_one().child(pool.tree("passwords"));
    let root = system.start(root).await.unwrap();
    (pool, system, root)
}

/// A stored password that fits `pencil`. It says which password is tried, and waits for the gate if that is `slow`; at `crash` it
/// does.
fn gated(micros: u64) -> (Stored, Receiver<String>, SyncSender<()>) {
    let (began, begins) = mpsc::channel(99);
    let (gate, wait) = sync_channel::<()>(99);
    let wait = Mutex::new(wait);
    let stored = Stored::fitting("gated", micros, move |password| {
        began.blocking_send(password.to_owned()).unwrap();
        match password {
            "crash" => panic!("in the thread"),
            "slow" => wait.lock().recv().unwrap(),
            _ => {}
        }
        password == "pencil"
    });
    (stored, begins, gate)
}

/// What it answers at once, if anything.
async fn now<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

macro_rules! ask {
    ($name:ident = $pool:ident, $user:literal, $stored:expr, $password:literal) => {
        let mut $name = Box::pin($pool.verify($user, $stored, $password));
        assert_eq!(now($name.as_mut()).await, None);
    };
}

#[tokio::test]
async fn passwords_are_verified_and_counted() {
    let (pool, system, root) = start(PoolLimits::default()).await;
    let stored = Stored::parse("{SSHA}35wiB9gaXlxv/Gv6ARg+n5iwdLyGcA7h").unwrap();
    assert_eq!(pool.verify("romeo", &stored, "pencil").await, Ok(true));
    assert_eq!(pool.verify("romeo", &stored, "Pencil").await, Ok(false));
    assert_eq!(pool.verify("romeo", &stored.decoy(), "pencil").await, Ok(false));
    let figures = pool.figures();
    assert_eq!((figures.done, figures.failed, figures.queued, figures.running), (3, 0, 0, 0));
    root.stop().await;
    assert_eq!(system.alive(), 0);
}

#[tokio::test]
async fn the_same_question_is_worked_on_once() {
    let (pool, _system, root) = start(LIMITS).await;
    let (stored, mut begins, gate) = gated(1);
    ask!(first = pool, "romeo", &stored, "slow");
    assert_eq!(begins.recv().await.unwrap(), "slow");
    ask!(second = pool, "romeo", &stored, "slow");
    assert_eq!((pool.figures().shared, pool.figures().running), (1, 1));
    assert_eq!(pool.verify("romeo", &stored, "slow").await, Err(Busy::User), "two may share");
    gate.send(()).unwrap();
    assert_eq!((first.await, second.await), (Ok(false), Ok(false)));
    // what is done is done: it is asked again
    gate.send(()).unwrap();
    assert_eq!(pool.verify("romeo", &stored, "slow").await, Ok(false));
    assert_eq!((pool.figures().done, pool.figures().refused), (2, 1));
    root.stop().await;
}

#[tokio::test]
async fn another_user_password_or_stored_password_is_another_question() {
    let (pool, _system, root) = start(PoolLimits { per_user: 4, ..LIMITS }).await;
    let (stored, mut begins, gate) = gated(1);
    ask!(slow = pool, "romeo", &stored, "slow");
    begins.recv().await.unwrap();
    let other = Stored::fitting("other", 1, |_| true);
    ask!(password = pool, "romeo", &stored, "pencil");
    ask!(changed = pool, "romeo", &other, "slow");
    ask!(user = pool, "juliet", &other, "slow");
    assert_eq!((pool.figures().shared, pool.figures().queued), (0, 3));
    gate.send(()).unwrap();
    let answers = (slow.await, password.await, changed.await, user.await);
    assert_eq!(answers, (Ok(false), Ok(true), Ok(true), Ok(true)));
    root.stop().await;
}

#[tokio::test]
async fn one_user_holds_up_nobody_else() {
    let (pool, _system, root) = start(PoolLimits { threads: 2, ..LIMITS }).await;
    let (stored, mut begins, gate) = gated(1);
    ask!(slow = pool, "romeo", &stored, "slow");
    begins.recv().await.unwrap();
    ask!(next = pool, "romeo", &stored, "pencil");
    assert_eq!(pool.verify("romeo", &stored, "third").await, Err(Busy::User));
    // the other thread is free, and not for romeo
    assert_eq!(pool.verify("juliet", &stored, "pencil").await, Ok(true));
    assert_eq!(begins.try_recv().unwrap(), "pencil");
    assert_eq!(now(next.as_mut()).await, None);
    assert!(begins.try_recv().is_err());
    gate.send(()).unwrap();
    assert_eq!((slow.await, next.await), (Ok(false), Ok(true)));
    root.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_at_once() {
    let (pool, _system, root) = start(LIMITS).await;
    let (stored, mut begins, gate) = gated(1);
    ask!(slow = pool, "a", &stored, "slow");
    begins.recv().await.unwrap();
    ask!(b = pool, "b", &stored, "pencil");
    ask!(c = pool, "c", &stored, "pencil");
    ask!(d = pool, "d", &stored, "pencil");
    assert_eq!(pool.verify("e", &stored, "pencil").await, Err(Busy::Full));
    gate.send(()).unwrap();
    assert_eq!((slow.await, b.await, c.await, d.await), (Ok(false), Ok(true), Ok(true), Ok(true)));
    assert_eq!(pool.verify("e", &stored, "pencil").await, Ok(true));
    root.stop().await;
}

#[tokio::test]
async fn nobody_waits_longer_than_is_patient() {
    let (pool, _system, root) = start(PoolLimits { queue: 99, ..LIMITS }).await;
    // each takes six seconds, as is estimated
    let (stored, mut begins, gate) = gated(6_000_000);
    ask!(slow = pool, "a", &stored, "slow");
    begins.recv().await.unwrap();
    ask!(b = pool, "b", &stored, "pencil");
    ask!(c = pool, "c", &stored, "pencil");
    assert_eq!(pool.verify("d", &stored, "pencil").await, Err(Busy::Full));
    drop(c);
    ask!(d = pool, "d", &stored, "pencil");
    gate.send(()).unwrap();
    assert_eq!((slow.await, b.await, d.await), (Ok(false), Ok(true), Ok(true)));
    root.stop().await;
}

#[tokio::test]
async fn who_goes_takes_the_work_along() {
    let (pool, _system, root) = start(LIMITS).await;
    let (stored, mut begins, gate) = gated(1);
    ask!(slow = pool, "a", &stored, "slow");
    begins.recv().await.unwrap();
    for _ in 0..99 {
        ask!(gone = pool, "b", &stored, "gone");
        ask!(stays = pool, "b", &stored, "gone");
        assert_eq!(pool.figures().queued, 1);
        drop(gone);
        assert_eq!(pool.figures().queued, 1, "somebody waits for it");
        drop(stays);
        assert_eq!(pool.figures().queued, 0);
    }
    ask!(first = pool, "b", &stored, "gone");
    ask!(next = pool, "b", &stored, "pencil");
    ask!(c = pool, "c", &stored, "pencil");
    drop(first);
    // what runs cannot be stopped; nobody hears of it
    drop(slow);
    gate.send(()).unwrap();
    assert_eq!((next.await, c.await), (Ok(true), Ok(true)));
    assert_eq!(
        (begins.recv().await.unwrap(), begins.recv().await.unwrap()),
        ("pencil".to_owned(), "pencil".to_owned())
    );
    let figures = pool.figures();
    assert_eq!((figures.done, figures.queued, figures.running), (3, 0, 0));
    root.stop().await;
}

#[tokio::test]
async fn a_crash_is_one_of_its_process_and_the_others_go_on() {
    let (pool, system, root) = start(LIMITS).await;
    let (stored, mut begins, gate) = gated(1);
    ask!(slow = pool, "a", &stored, "slow");
    begins.recv().await.unwrap();
    ask!(crash = pool, "b", &stored, "crash");
    ask!(crash_too = pool, "b", &stored, "crash");
    ask!(next = pool, "b", &stored, "pencil");
    ask!(c = pool, "c", &stored, "pencil");
    gate.send(()).unwrap();
    assert_eq!(slow.await, Ok(false));
    assert_eq!((crash.await, crash_too.await), (Err(Busy::Failed), Err(Busy::Failed)));
    assert_eq!((next.await, c.await), (Ok(true), Ok(true)));
    let reports = system.crashes().list();
    assert_eq!((&*reports[0].path, &*reports[0].reason), ("/passwords/0", "in the thread"));
    let figures = pool.figures();
    assert_eq!((figures.done, figures.failed, figures.queued, figures.running), (3, 1, 0, 0));
    root.stop().await;
}

#[tokio::test]
async fn stopped_it_answers_who_waits_and_refuses_the_rest() {
    let (pool, system, root) = start(PoolLimits { queue: 1_000_000, ..LIMITS }).await;
    let (stored, mut begins, gate) = gated(1);
    ask!(slow = pool, "a", &stored, "slow");
    begins.recv().await.unwrap();
    ask!(after = pool, "a", &stored, "pencil");
    ask!(b = pool, "b", &stored, "pencil");
    // until the queue is closed; what a thread takes of these is for a pool that has nothing
    let other = HashPool::new(LIMITS).unwrap();
    let token = || Token { shared: Arc::clone(&other.0), used: true };
    let mut stop = pin!(root.stop());
    while pool.0.queue.push(token(), 0).is_ok() {
        assert!(now(stop.as_mut()).await.is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.verify("c", &stored, "pencil").await, Err(Busy::Stopped));
    gate.send(()).unwrap();
    stop.await;
    assert_eq!((slow.await, b.await), (Ok(false), Ok(true)));
    assert_eq!(after.await, Err(Busy::Failed), "there is no turn for a user's next");
    assert_eq!(pool.verify("a", &stored, "pencil").await, Err(Busy::Stopped));
    let figures = pool.figures();
    assert_eq!((figures.queued, figures.running, system.alive()), (0, 0, 0));
}
