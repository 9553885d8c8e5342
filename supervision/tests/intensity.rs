//! Restart intensity over time, at the edges of its window, with a supervisor that runs.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Plan, Puppet, SECOND};
use std::time::Duration;
use supervision::{
    ChildSpec, Exit, SupervisorRef, SupervisorSpec,
    testkit::{ended, restarted},
};

/// Crashes the child at these milliseconds, two restarts in five seconds allowed; whether the
/// supervisor survives all of them, and if not, which was too much.
async fn crash_at(times: &[u64]) -> Result<(), usize> {
    let system = common::system("test");
    let child = ChildSpec::process::<Puppet>("child", Plan::default);
    let root = SupervisorSpec::one_for_one().intensity(2, SECOND * 5).child(child);
    let root: SupervisorRef = system.start(root).await.unwrap();
    // the first crash is the beginning of time
    let begin = tokio::time::Instant::now();
    for (n, time) in times.iter().enumerate() {
        tokio::time::sleep_until(begin + Duration::from_millis(*time)).await;
        let child = system.find("/child").unwrap();
        child.exit(Exit::error("crash"));
        ended(&child).await;
        // no time passes: the supervisor decides at once
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        if !root.pid().is_alive() {
            assert!(matches!(root.pid().exit_reason(), Some(Exit::Shutdown)));
            assert_eq!(system.alive(), 0);
            return Err(n);
        }
    }
    root.stop().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_window_is_closed_at_both_ends() {
    assert_eq!(crash_at(&[0, 1]).await, Ok(()));
    assert_eq!(crash_at(&[0, 0, 0]).await, Err(2), "three at once");
    assert_eq!(crash_at(&[0, 1, 4_999]).await, Err(2));
    assert_eq!(crash_at(&[0, 1, 5_000]).await, Err(2), "exactly one period ago still counts");
    assert_eq!(crash_at(&[0, 1, 5_001]).await, Ok(()), "now it does not");
    assert_eq!(crash_at(&[0, 1, 5_001, 5_002]).await, Ok(()), "nor does the second");
    assert_eq!(crash_at(&[0, 1, 5_001, 5_001]).await, Err(3), "the second still does");
    assert_eq!(crash_at(&[0, 2_501, 5_002, 7_503, 10_004]).await, Ok(()), "for ever");
}

#[tokio::test(start_paused = true)]
async fn no_restart_at_all_and_one_too_many_above() {
    let system = common::system("test");
    let child = ChildSpec::process::<Puppet>("child", Plan::default);
    let inner = SupervisorSpec::one_for_one().intensity(0, SECOND).child(child);
    let inner = ChildSpec::supervisor("inner", inner);
    let root = SupervisorSpec::one_for_one().intensity(1, SECOND).child(inner);
    let root = system.start(root).await.unwrap();
    // the inner one gives up at once, and is restarted by the one above: once
    let first = system.find("/inner").unwrap();
    system.find("/inner/child").unwrap().exit(Exit::error("crash"));
    assert!(matches!(ended(&first).await, Exit::Shutdown));
    let second = restarted(&first).await;
    system.find("/inner/child").unwrap().exit(Exit::error("crash"));
    ended(&second).await;
    assert!(matches!(ended(root.pid()).await, Exit::Shutdown));
    assert_eq!(system.alive(), 0);
}
