//! Of links that have ended nothing is left. A program of its own: it counts what there is in all of it.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::{Ask, Authority, LONG, Running, SECOND, start, until};
use std::fs::read_dir;
use tokio::{runtime::Handle, time::sleep};

/// What there is of a kind that should not grow.
fn there_are(nodes: &[&Running]) -> [usize; 4] {
    let files = read_dir("/proc/self/fd").unwrap().count();
    let actors = ractor::registry::get_all_pids().len();
    let processes = nodes.iter().map(|node| node.system.alive()).sum();
    [Handle::current().metrics().num_alive_tasks(), files, actors, processes]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_hundred_links_that_have_ended_nothing_is_left() {
    let authority = Authority::new();
    let a = start("a@ends", authority.options("a@ends")).await;
    let b = start("b@ends", authority.options("b@ends")).await;
    b.answerer().await;
    a.links.set_peers(vec![b.peer()]);
    let mut first = None;
    for n in 1..=100 {
        until("the next", || a.links.info().first().is_some_and(|info| info.ups >= n)).await;
        a.linked(1).await;
        let far = a.far(b.node());
        assert_eq!(far.call(|reply| Ask::Double(1, reply), LONG).await, Ok(2));
        if n == 10 {
            first = Some(there_are(&[&a, &b]));
        }
        if n == 100 {
            break;
        }
        let one = if n % 2 == 0 { &a } else { &b };
        let link = one.system.pids().into_iter().find(|pid| pid.kind() == "link").unwrap();
        link.kill();
        until("it has ended", || !link.is_alive()).await;
    }
    let first = first.unwrap();
    let mut last = [0; 4];
    // of the last that has ended something may be about to
    for _ in 0..100 {
        last = there_are(&[&a, &b]);
        if (0..4).all(|n| last[n] <= first[n]) {
            break;
        }
        sleep(SECOND / 20).await;
    }
    assert!((0..4).all(|n| last[n] <= first[n] + 2), "first {first:?}, last {last:?}");
    a.root.stop().await;
    b.root.stop().await;
}
