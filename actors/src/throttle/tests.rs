//! Waits, orders, evictions, and another process.

use super::*;
use tokio::time::advance;

fn throttle(entries: usize) -> Arc<Throttle> {
    let window = Duration::from_secs(10);
    Arc::new(Throttle::new(ThrottleLimits { per_pair: 2, per_address: 3, window, entries }))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A try from beginning to end.
fn fail(t: &Arc<Throttle>, user: &str, from: &str) -> Result<(), Duration> {
    t.begin(user, ip(from))?.prove().map(drop)
}

fn wait(t: &Arc<Throttle>, user: &str, from: &str) -> Option<Duration> {
    t.begin(user, ip(from)).err()
}

#[tokio::test(start_paused = true)]
async fn a_pair_waits_until_its_window_is_over_and_others_do_not() {
    let t = throttle(100);
    fail(&t, "a", "10.0.0.1").unwrap();
    advance(Duration::from_secs(1)).await;
    assert_eq!(wait(&t, "a", "10.0.0.1"), None);
    fail(&t, "a", "10.0.0.1").unwrap();
    advance(Duration::from_secs(1)).await;
    assert_eq!(wait(&t, "a", "10.0.0.1"), Some(Duration::from_secs(8)));
    assert_eq!(wait(&t, "b", "10.0.0.1"), None);
    assert_eq!(wait(&t, "a", "10.0.0.2"), None, "the owner elsewhere is not locked out");
    advance(Duration::from_secs(8)).await;
    fail(&t, "a", "10.0.0.1").unwrap();
    assert_eq!(wait(&t, "a", "10.0.0.1"), None, "counting began anew");
}

#[tokio::test(start_paused = true)]
async fn an_address_waits_whatever_the_account() {
    let t = throttle(100);
    for user in ["a", "b", "c"] {
        fail(&t, user, "2001:db8::1").unwrap();
    }
    assert!(wait(&t, "d", "2001:db8::2").is_some(), "the same /64");
    let mut own = t.begin("d", ip("2001:db8:0:1::2")).unwrap();
    own.prove().unwrap().right();
    assert!(wait(&t, "d", "2001:db8::2").is_some(), "not forgiven");
}

#[tokio::test(start_paused = true)]
async fn a_success_forgives_the_pair_and_itself() {
    let t = throttle(100);
    fail(&t, "a", "::ffff:10.0.0.1").unwrap();
    for _ in 0..10 {
        t.begin("a", ip("10.0.0.1")).unwrap().prove().unwrap().right();
    }
    fail(&t, "a", "10.0.0.1").unwrap();
    assert_eq!(wait(&t, "a", "10.0.0.1"), None);
    fail(&t, "b", "10.0.0.1").unwrap();
    assert!(wait(&t, "c", "10.0.0.1").is_some(), "the address has failed three times in all");
}

#[tokio::test(start_paused = true)]
async fn a_try_counts_when_it_begins_and_is_given_back_when_it_is_given_up() {
    let t = throttle(100);
    let (one, two) = (t.begin("a", ip("10.0.0.1")), t.begin("a", ip("10.0.0.1")));
    assert!(one.is_ok() && two.is_ok() && wait(&t, "a", "10.0.0.1").is_some());
    drop(one);
    assert_eq!(wait(&t, "a", "10.0.0.1"), None);
    drop(two);
    assert_eq!(t.entries(), 0, "nothing of it is left");
    // whoever gives up again and again may go on; many at one address may try at once
    for _ in 0..1_000 {
        drop(t.begin("a", ip("10.0.0.1")).unwrap());
    }
    let all: Vec<_> = (0..100).map(|n| t.begin(&n.to_string(), ip("10.0.0.1"))).collect();
    assert!(all.iter().all(Result::is_ok));
    // over the end of the window it is still one
    let mut open = t.begin("a", ip("10.0.0.1")).unwrap();
    advance(Duration::from_secs(11)).await;
    fail(&t, "a", "10.0.0.1").unwrap();
    assert!(wait(&t, "a", "10.0.0.1").is_some());
    open.prove().unwrap().right();
}

/// Four clients try side by side, each begins and then proves, in every order there is.
#[tokio::test(start_paused = true)]
async fn in_no_order_are_more_proofs_checked_than_may_fail() {
    fn orders(left: [u8; 4], so_far: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if left == [0; 4] {
            all.push(so_far.clone());
        }
        for n in (0..4).filter(|n| left[*n] > 0) {
            let mut rest = left;
            rest[n] -= 1;
            so_far.push(n);
            orders(rest, so_far, all);
            so_far.pop();
        }
    }
    let mut all = Vec::new();
    orders([2; 4], &mut Vec::new(), &mut all);
    assert_eq!(all.len(), 2_520);
    for same_account in [true, false] {
        for order in &all {
            let t = throttle(100);
            let mut open: [Option<Result<Attempt, Duration>>; 4] = Default::default();
            let mut checked = 0;
            for n in order {
                let user = if same_account { "a".to_owned() } else { n.to_string() };
                match open[*n].take() {
                    None => open[*n] = Some(t.begin(&user, ip("10.0.0.1"))),
                    Some(Ok(mut attempt)) => checked += usize::from(attempt.prove().is_ok()),
                    Some(Err(_)) => {}
                }
            }
            assert_eq!(checked, if same_account { 2 } else { 3 }, "{order:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_holds_in_another_process_too() {
    let t = throttle(100);
    fail(&t, "a", "10.0.0.1").unwrap();
    fail(&t, "a", "10.0.0.1").unwrap();
    let open = t.begin("b", ip("10.0.0.2")).unwrap();
    advance(Duration::from_secs(1)).await;
    let bytes = serde_json::to_vec(&(t.freeze(), &open)).unwrap();
    advance(Duration::from_secs(1_000)).await;
    let other = throttle(100);
    let (seen, mut moved): (FrozenThrottle, Attempt) = serde_json::from_slice(&bytes).unwrap();
    other.thaw(seen);
    moved.thaw(&other);
    assert_eq!(wait(&other, "a", "10.0.0.1"), Some(Duration::from_secs(9)));
    fail(&other, "b", "10.0.0.2").unwrap();
    assert!(wait(&other, "b", "10.0.0.2").is_some(), "with the open one there are two");
    drop(moved);
    assert_eq!(wait(&other, "b", "10.0.0.2"), None);
}

#[tokio::test(start_paused = true)]
async fn a_full_table_goes_on_counting() {
    let t = throttle(4);
    fail(&t, "victim", "10.0.0.1").unwrap();
    fail(&t, "victim", "10.0.0.1").unwrap();
    for n in 0..200_u8 {
        let from = format!("10.0.1.{n}");
        advance(Duration::from_millis(1)).await;
        fail(&t, "a", &from).unwrap();
        fail(&t, "a", &from).unwrap();
        assert!(wait(&t, "a", &from).is_some(), "the newest is counted");
        assert!(t.entries() <= 8);
    }
    // whose count was pushed out while a try was open is looked at again when the proof comes
    let mut late: Vec<_> = (0..2).map(|_| t.begin("b", ip("10.0.0.2")).unwrap()).collect();
    for n in 0..200_u8 {
        let from = format!("10.0.2.{n}");
        advance(Duration::from_millis(1)).await;
        fail(&t, "a", &from).unwrap();
        fail(&t, "a", &from).unwrap();
    }
    fail(&t, "b", "10.0.0.2").unwrap();
    fail(&t, "b", "10.0.0.2").unwrap();
    assert!(late.iter_mut().all(|attempt| attempt.prove().is_err()));
}
