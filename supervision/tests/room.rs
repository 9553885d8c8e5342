//! Who waits for room in an inbox gets it, in the order of waiting, or hears that nobody will give it.

mod common;

use common::{BOTH, Do, Plan, SECOND, Serving, world};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};
use supervision::{CallError, CastError, ChildSpec, Exit, Restart, testkit::Probe};
use tokio::task::JoinSet;

/// Lets a future come so far as it can.
async fn begun<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match future.as_mut().poll(cx) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn who_waits_is_next_when_there_is_room() {
    let world = world().await;
    let mut probe: Probe<usize> = Probe::start(&world.system).await;
    supervision::sys::suspend(probe.pid());
    let me = probe.me().clone();
    let mut sent = 0;
    while me.cast(sent).is_ok() {
        sent += 1;
    }
    let waiting: Vec<_> = (0..3).map(|n| Box::pin(me.send(sent + n))).collect();
    let mut waiting = waiting.into_iter();
    let (mut first, mut second, mut third) =
        (waiting.next().unwrap(), waiting.next().unwrap(), waiting.next().unwrap());
    for send in [&mut first, &mut second, &mut third] {
        assert!(begun(send.as_mut()).await.is_none());
    }
    // one that gives up sends nothing, and holds up nobody
    drop(second);
    supervision::sys::resume(probe.pid());
    assert_eq!((first.await, third.await), (Ok(()), Ok(())));
    let mut all = Vec::new();
    for _ in 0..sent + 2 {
        all.push(probe.message().await);
    }
    let expected: Vec<usize> = (0..=sent).chain([sent + 2]).collect();
    assert_eq!(all, expected);
    assert!(probe.pending().is_none());
    world.stop().await;
}

#[tokio::test]
async fn who_waits_hears_of_the_end() {
    for what in BOTH {
        let world = world().await;
        let me = world.puppet(what, "me", Plan::default()).await;
        me.cast(Do::Hang).unwrap();
        while me.cast(Do::Record("full")).is_ok() {
            tokio::task::yield_now().await;
        }
        let mut send = pin!(me.send(Do::Record("waits")));
        let mut ask = pin!(me.ask(|reply| Do::Echo(1, reply)));
        assert!(begun(send.as_mut()).await.is_none() && begun(ask.as_mut()).await.is_none());
        me.pid().kill();
        assert!(matches!(
            send.await,
            Err(CastError::Gone(Do::Record("waits"), Some(Exit::Killed)))
        ));
        assert_eq!(ask.await, Err(CallError::Gone(Some(Exit::Killed))));
        world.stop().await;
    }
}

#[tokio::test]
async fn a_supervisor_refuses_nobody_however_many_ask_at_once() {
    const MANY: usize = 3_000;
    let (world, mut asking) = (world().await, JoinSet::new());
    let root = Arc::new(world.root.clone());
    for n in 0..MANY {
        let root = Arc::clone(&root);
        asking.spawn(async move {
            let child = ChildSpec::server::<Serving>(&format!("{n}"), Plan::default);
            root.start_child(child.restart(Restart::Temporary)).await.is_ok()
        });
    }
    while let Some(started) = asking.join_next().await {
        assert!(started.unwrap());
    }
    assert_eq!(world.root.count_children().await.unwrap().active, MANY);
    tokio::time::timeout(SECOND * 60, world.stop()).await.unwrap();
}
