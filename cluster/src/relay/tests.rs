//! Two relays in one program over wires that lose what is on them, stall, and are cut.

use super::*;
use std::sync::{
    Weak,
    atomic::{AtomicBool, Ordering},
};
use supervision::{SupervisorRef, SupervisorSpec};

fn start(name: &str, incarnation: u64) -> Start {
    Start { node: Node::new(name).unwrap(), incarnation }
}

/// What goes in one direction.
#[derive(Default)]
struct Line {
    to: Mutex<Option<Weak<Shared>>>,
    from: Mutex<Option<Node>>,
    cut: AtomicBool,
    full: AtomicBool,
    /// Takes it, and loses it.
    loses: AtomicBool,
}

impl Wire for Line {
    fn send(&self, _: Node, share: usize, parcel: Parcel) -> Result<(), NotSent> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(NotSent::NoConnection);
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(NotSent::Full);
        }
        let to = self.to.lock().as_ref().and_then(Weak::upgrade);
        if !self.loses.load(Ordering::SeqCst)
            && let (Some(to), Some(from)) = (to, *self.from.lock())
        {
            Relay(to).received(from, share, parcel);
        }
        Ok(())
    }
}

struct Seen {
    taken: Mutex<Vec<(Lane, Bytes)>>,
    back: Mutex<Vec<Bytes>>,
    /// What begins with `slow` waits for it.
    gate: tokio::sync::Semaphore,
}

impl Default for Seen {
    fn default() -> Self {
        let (taken, back) = Default::default();
        Self { taken, back, gate: tokio::sync::Semaphore::new(0) }
    }
}

struct Handles(Arc<Seen>);

impl Handler for Handles {
    fn take(&self, _: Start, lane: Lane, item: Bytes) -> Option<BoxFuture<'static, ()>> {
        let seen = Arc::clone(&self.0);
        assert_ne!(&item[..], b"poison");
        if !item.starts_with(b"slow") {
            seen.taken.lock().push((lane, item));
            return None;
        }
        Some(Box::pin(async move {
            drop(seen.gate.acquire().await);
            seen.taken.lock().push((lane, item));
        }))
    }

    fn returned(&self, _: Start, _: Way, item: Bytes) -> Option<BoxFuture<'static, ()>> {
        let seen = Arc::clone(&self.0);
        Some(Box::pin(async move {
            tokio::task::yield_now().await;
            seen.back.lock().push(item);
        }))
    }
}

struct Side {
    relay: Relay,
    line: Arc<Line>,
    seen: Arc<Seen>,
    root: SupervisorRef,
}

async fn side(me: Start, limit: usize) -> Side {
    let (line, seen): (Arc<Line>, Arc<Seen>) = Default::default();
    let wire: Arc<dyn Wire> = Arc::<Line>::clone(&line);
    let relay =
        Relay::new(Arc::new(View::new(me)), wire, Arc::new(Handles(Arc::clone(&seen))), limit);
    let system = System::new("relay");
    let spec = SupervisorSpec::one_for_one().intensity(9, Duration::from_secs(9));
    let spec = relay.children().into_iter().fold(spec, SupervisorSpec::child);
    let root = system.start(spec).await.unwrap();
    Side { relay, line, seen, root }
}

async fn pair(limit: usize) -> (Side, Side) {
    let (a, b) = (side(start("a", 1), limit).await, side(start("b", 2), limit).await);
    for (from, to) in [(&a, &b), (&b, &a)] {
        *from.line.to.lock() = Some(Arc::downgrade(&to.relay.0));
        *from.line.from.lock() = Some(from.relay.0.me.me().node);
    }
    (a, b)
}

fn way(lane: Lane) -> Way {
    Way { lane, pair: lane + 1, hops: 0 }
}

fn item(n: usize) -> Bytes {
    Bytes::from(n.to_string())
}

impl Side {
    fn send(&self, to: &Self, lane: Lane, item: Bytes) {
        self.relay.send(to.relay.0.me.me(), way(lane), item, Handing::default()).unwrap();
    }

    async fn send_and_wait(&self, to: &Self, lane: Lane, item: Bytes) {
        let (tell, told) = oneshot::channel();
        let how = Handing { receipt: Some(tell), ..Handing::default() };
        self.relay.send(to.relay.0.me.me(), way(lane), item, how).unwrap();
        drop(told.await);
    }

    fn of(&self, lane: Lane) -> Vec<Bytes> {
        let taken = self.seen.taken.lock();
        taken.iter().filter(|(of, _)| *of == lane).map(|(_, item)| item.clone()).collect()
    }

    async fn stop(self) {
        self.root.stop().await;
    }
}

const LIMIT: usize = 1 << 20;

#[tokio::test]
async fn what_a_connection_loses_comes_over_the_next_one_once_and_in_order() {
    let (a, b) = pair(LIMIT).await;
    let lanes: Lane = 6;
    let mut all = Vec::new();
    for round in 0..20 {
        a.line.loses.store(round % 3 == 1, Ordering::SeqCst);
        b.line.loses.store(round % 5 == 2, Ordering::SeqCst);
        a.line.cut.store(round % 7 == 3, Ordering::SeqCst);
        for n in 0..30 {
            all.push(item(30 * round + n));
            (0..lanes).for_each(|lane| a.send(&b, lane, item(30 * round + n)));
            tokio::task::yield_now().await;
        }
        if round % 4 == 3 {
            for side in [&a, &b] {
                side.line.loses.store(false, Ordering::SeqCst);
                side.line.cut.store(false, Ordering::SeqCst);
            }
            a.relay.connected(b.relay.0.me.me().node);
        }
    }
    for lane in 0..lanes {
        a.relay.settled(way(lane), None).await;
        assert_eq!(b.of(lane), all, "lane {lane}");
    }
    let waiting = a.relay.waiting().remove(&b.relay.0.me.me()).unwrap();
    assert_eq!(waiting, Waiting::default());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_lane_waits_for_its_first_and_no_other_does() {
    let (a, b) = pair(LIMIT).await;
    a.send(&b, 1, Bytes::from_static(b"slow"));
    a.send(&b, 1, item(1));
    // the same process
    a.send_and_wait(&b, 1 + SHARES as Lane, item(2)).await;
    assert_eq!((b.of(1), b.of(1 + SHARES as Lane)), (vec![], vec![item(2)]));
    assert!(a.relay.is_on_way(way(1), None) && !a.relay.is_on_way(way(1), Some(b.relay.0.me.me())));
    b.seen.gate.add_permits(1);
    a.relay.settled(way(1), None).await;
    assert_eq!(b.of(1), [Bytes::from_static(b"slow"), item(1)]);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn beyond_the_limit_it_is_refused_and_without_credit_it_waits() {
    let (a, b) = pair(SHARES * 2 * (1 + outbox::OVERHEAD)).await;
    a.line.full.store(true, Ordering::SeqCst);
    a.send(&b, 0, item(1));
    a.send(&b, 0, item(2));
    let third = a.relay.send(b.relay.0.me.me(), way(0), item(3), Handing::default());
    assert_eq!(third, Err(Refused(item(3))));
    assert_eq!(a.relay.waiting()[&b.relay.0.me.me()].unsent, 2);
    a.line.full.store(false, Ordering::SeqCst);
    // nobody says that there is credit
    a.relay.settled(way(0), None).await;
    assert_eq!(b.of(0), [item(1), item(2)]);
    a.send_and_wait(&b, 0, item(4)).await;
    assert_eq!(b.of(0).len(), 3);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn of_a_dead_node_all_that_it_did_not_deal_with_comes_back_in_order() {
    let (a, b) = pair(LIMIT).await;
    a.send_and_wait(&b, 1, item(0)).await;
    a.send(&b, 1, Bytes::from_static(b"slow"));
    a.line.cut.store(true, Ordering::SeqCst);
    let (tell, told) = oneshot::channel();
    let how = Handing { receipt: Some(tell), ..Handing::default() };
    a.relay.send(b.relay.0.me.me(), way(1), item(1), how).unwrap();
    a.relay.dead(b.relay.0.me.me());
    assert!(a.relay.is_on_way(way(1), Some(b.relay.0.me.me())), "it has not been dealt with");
    drop(told.await);
    a.relay.settled(way(1), None).await;
    assert_eq!(*a.seen.back.lock(), [Bytes::from_static(b"slow"), item(1)]);
    assert!(a.relay.waiting().is_empty());
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_was_for_the_start_before_is_not_taken_by_the_next() {
    let (a, b) = pair(LIMIT).await;
    let before = Start { incarnation: 1, ..b.relay.0.me.me() };
    a.relay.send(before, way(3), item(1), Handing::default()).unwrap();
    a.send_and_wait(&b, 3, item(2)).await;
    assert_eq!(b.of(3), [item(2)]);
    assert!(a.relay.is_on_way(way(3), Some(b.relay.0.me.me())));
    assert!(!a.relay.is_on_way(way(3), Some(before)));
    a.relay.dead(before);
    a.relay.settled(way(3), None).await;
    assert_eq!(*a.seen.back.lock(), [item(1)]);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_crashes_its_process_is_not_tried_again_and_all_else_is() {
    let (a, b) = pair(LIMIT).await;
    a.send(&b, 1, Bytes::from_static(b"slow"));
    a.send(&b, 5, item(1));
    a.send_and_wait(&b, 9, Bytes::from_static(b"poison")).await;
    a.send_and_wait(&b, 9, item(2)).await;
    b.seen.gate.add_permits(9);
    a.relay.settled(way(1), None).await;
    assert_eq!((b.of(1).len(), b.of(5), b.of(9)), (1, vec![item(1)], vec![item(2)]));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn one_that_was_declared_dead_sends_what_it_has_as_from_its_next_start() {
    let (a, b) = pair(LIMIT).await;
    a.send_and_wait(&b, 1, item(0)).await;
    // b forgets what came of a, and what a sent meanwhile is for nobody
    a.line.loses.store(true, Ordering::SeqCst);
    a.send(&b, 1, item(1));
    a.send(&b, 1, item(2));
    a.line.loses.store(false, Ordering::SeqCst);
    b.relay.dead(a.relay.0.me.me());
    a.relay.0.me.begins_anew(7);
    a.relay.begins_anew();
    a.relay.settled(way(1), None).await;
    assert_eq!(b.of(1), [item(0), item(1), item(2)]);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_a_start_had_begun_is_not_said_to_be_done_by_the_next() {
    let (a, b) = pair(LIMIT).await;
    a.send_and_wait(&b, 1, item(0)).await;
    // the second from a
    a.send(&b, 1, Bytes::from_static(b"slow"));
    let before = b.relay.0.me.me();
    // so that it has been begun
    b.send_and_wait(&a, 1, item(9)).await;
    b.relay.0.me.begins_anew(7);
    b.relay.begins_anew();
    a.relay.dead(before);
    a.send_and_wait(&b, 5, item(1)).await;
    a.line.full.store(true, Ordering::SeqCst);
    // the second from a to this start
    a.send(&b, 5, item(2));
    b.seen.gate.add_permits(1);
    while b.of(1).len() < 2 {
        tokio::task::yield_now().await;
    }
    // it has said what it has to say
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    a.line.full.store(false, Ordering::SeqCst);
    a.relay.settled(way(5), None).await;
    assert_eq!(b.of(5), [item(1), item(2)]);
    a.stop().await;
    b.stop().await;
}
