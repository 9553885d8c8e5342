//! What a supervisor says of restarts: in the report of a crash, in the tree and in `sys`.
#![expect(dead_code, reason = "of what is in `sum` it uses some")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;
#[path = "common/sum.rs"]
mod sum;

use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use sum::{SECOND, Say, Sum};
use supervision::{
    ChildSpec, Cx, Event, Exit, InitError, Process, Restart, Strategy, SupervisorRef,
    SupervisorSpec, System,
    crash::Did,
    sys,
    testkit::{ended, restarted},
};

/// A tree of one child under a supervisor.
async fn under(spec: SupervisorSpec, child: ChildSpec) -> (System, SupervisorRef) {
    let system = common::system("test");
    let below = ChildSpec::supervisor("below", spec.child(child));
    let root = system.start(SupervisorSpec::one_for_one().child(below)).await.unwrap();
    (system, root)
}

fn supervisor_of(system: &System) -> supervision::SupervisorReport {
    system.crashes().list().remove(0).supervisor.clone().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_report_has_the_supervisors_view_of_it() {
    let child = || ChildSpec::server::<Sum>("sum", || ());
    for exit in [Exit::error("away"), Exit::Killed] {
        let (system, root) =
            under(SupervisorSpec::rest_for_one().intensity(2, SECOND * 9), child()).await;
        let mut seen = Vec::new();
        for _ in 0..3 {
            let pid = system.find("/below/sum").unwrap();
            if let Exit::Killed = exit {
                pid.kill();
            } else {
                pid.exit(exit.clone());
            }
            ended(&pid).await;
            tokio::time::sleep(SECOND).await;
            let view = supervisor_of(&system);
            assert_eq!((&*view.supervisor, &*view.child), ("/below", "sum"));
            assert_eq!((view.restart, view.strategy), (Restart::Permanent, Strategy::RestForOne));
            assert_eq!((view.intensity.restarts, view.intensity.period), (2, SECOND * 9));
            seen.push((view.restarts, view.did));
        }
        assert_eq!(seen, [(1, Did::Restarted), (2, Did::Restarted), (3, Did::GaveUp)]);
        root.stop().await;
    }
    for (child, did) in [
        (child().restart(Restart::Temporary), Did::LeftIt),
        (child().restart(Restart::Transient), Did::Restarted),
        (child().backoff(SECOND * 4, SECOND * 60), Did::Waits(SECOND * 4)),
    ] {
        let (system, root) = under(SupervisorSpec::one_for_one(), child).await;
        let pid = system.find("/below/sum").unwrap();
        pid.exit(Exit::error("away"));
        ended(&pid).await;
        tokio::time::sleep(SECOND).await;
        assert_eq!(supervisor_of(&system).did, did);
        root.stop().await;
    }
    // who has no supervisor
    let system = common::system("test");
    let alone = system.spawn::<Sum>("/alone", ()).await.unwrap();
    alone.cast(Say::Boom).unwrap();
    ended(alone.pid()).await;
    assert_eq!(system.crashes().list()[0].supervisor, None);
}

/// Crashes in `init` so often, from the second start on.
struct Slow;

impl Process for Slow {
    type Args = Arc<Mutex<u32>>;
    type Msg = ();
    const NAME: &'static str = "slow";

    async fn init(starts: Self::Args, _: &mut Cx<()>) -> Result<Self, InitError> {
        let mut starts = starts.lock();
        *starts += 1;
        assert!(*starts == 1 || *starts > 3, "not yet: {starts}");
        Ok(Self)
    }
    async fn run(&mut self, cx: &mut Cx<()>) -> Exit {
        loop {
            if let Event::Exit { reason, .. } = cx.next().await {
                return reason;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_crashes_has_the_supervisors_view_too_and_the_history_says_why() {
    let starts: Arc<Mutex<u32>> = Arc::default();
    let child = ChildSpec::process::<Slow>("slow", move || Arc::clone(&starts));
    let (system, root) = under(SupervisorSpec::one_for_one().intensity(9, SECOND * 9), child).await;
    let pid = system.find("/below/slow").unwrap();
    pid.exit(Exit::error("away"));
    ended(&pid).await;
    tokio::time::sleep(SECOND).await;
    assert!(system.find("/below/slow").is_some());
    let did: Vec<_> =
        system.crashes().list().iter().map(|r| r.supervisor.clone().unwrap().did).collect();
    assert_eq!(did, [Did::TriesAgain, Did::TriesAgain, Did::Restarted]);
    let seen = sys::status(&system.find("/below").unwrap()).supervision.unwrap();
    let why: Vec<_> = seen.children[0].history.iter().map(|r| &*r.reason).collect();
    assert_eq!(
        why,
        ["away", "ended while starting: not yet: 2", "ended while starting: not yet: 3"]
    );
    assert_eq!((seen.children[0].restarts, seen.restarts, seen.left), (3, 3, 6));
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_the_intensity_comes_back_with_time() {
    let child = ChildSpec::server::<Sum>("sum", || ());
    let (system, root) =
        under(SupervisorSpec::one_for_one().intensity(12, SECOND * 30), child).await;
    let below = system.find("/below").unwrap();
    let seen = || sys::status(&below).supervision.unwrap();
    assert_eq!((seen().left, seen().restarts, seen().children.len()), (12, 0, 0));
    for n in 0..10 {
        let pid = system.find("/below/sum").unwrap();
        pid.exit(Exit::error(&format!("{n}{}", "x".repeat(10_000))));
        restarted(&pid).await;
        tokio::time::sleep(SECOND).await;
    }
    let now = seen();
    assert_eq!((now.left, now.restarts), (2, 10));
    let child = &now.children[0];
    assert_eq!((&*child.id, child.restarts, child.failures, child.waits), ("sum", 10, 0, None));
    // the last of them, the latest last, and bounded
    let first = |r: &supervision::restarts::Restarted| r.reason.chars().next().unwrap().to_string();
    let of: Vec<_> = child.history.iter().map(|r| (r.ago.as_secs(), first(r))).collect();
    let expected: Vec<_> = (2..10).map(|n| (10 - n, n.to_string())).collect();
    assert_eq!(of, expected);
    assert!(child.history.iter().all(|r| r.reason.len() < 300));
    // the tree shows the same, and so does what is written of it
    let tree = system.tree();
    assert_eq!(tree[0].children[0].process.supervision.as_ref(), Some(&now));
    assert_eq!(tree[0].children[0].children[0].process.supervision, None);
    let written: Value = serde_json::to_value(&tree[0].children[0].process).unwrap();
    assert_eq!(
        (&written["supervision"]["left"], &written["supervision"]["strategy"]),
        (&json!(2), &json!("one_for_one"))
    );
    tokio::time::sleep(SECOND * 24).await;
    // a restart exactly one period ago still counts: those of the seconds 4 to 9
    assert_eq!((seen().left, seen().children[0].restarts), (6, 10));
    tokio::time::sleep(SECOND * 40).await;
    assert_eq!((seen().left, seen().restarts), (12, 0));
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_child_that_backs_off_shows_for_how_long_and_one_that_is_gone_shows_nothing() {
    let child = ChildSpec::server::<Sum>("sum", || ()).backoff(SECOND * 10, SECOND * 60);
    let (system, root) = under(SupervisorSpec::one_for_one(), child).await;
    let below = system.find("/below").unwrap();
    let child = || below.supervision().unwrap().children.remove(0);
    let crash = async || {
        let pid = system.find("/below/sum").unwrap();
        pid.exit(Exit::error("no paper"));
        ended(&pid).await;
        tokio::time::sleep(SECOND * 4).await;
    };
    crash().await;
    let waits = child();
    assert_eq!((waits.failures, waits.waits, waits.restarts), (1, Some(SECOND * 6), 0));
    tokio::time::sleep(SECOND * 7).await;
    let up = child();
    assert_eq!(
        (up.failures, up.waits, up.restarts, &*up.history[0].reason),
        (1, None, 1, "no paper")
    );
    crash().await;
    assert_eq!((child().failures, child().waits), (2, Some(SECOND * 16)));
    // such restarts do not count
    assert_eq!(below.supervision().unwrap().restarts, 0);
    // nothing is kept of children that are gone
    let sum = || ChildSpec::server::<Sum>("gone", || ());
    root.start_child(sum()).await.unwrap();
    let pid = system.find("/gone").unwrap();
    pid.exit(Exit::error("away"));
    restarted(&pid).await;
    assert_eq!(root.pid().supervision().unwrap().children.len(), 1);
    root.terminate_child("gone").await.unwrap();
    root.delete_child("gone").await.unwrap();
    assert_eq!(root.pid().supervision().unwrap().children.len(), 0);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_is_restarted_with_another_says_with_whom_and_instances_have_numbers() {
    let system = common::system("test");
    let spec = ["a", "b", "c"].iter().fold(SupervisorSpec::rest_for_one(), |spec, id| {
        spec.child(ChildSpec::server::<Sum>(id, || ()))
    });
    let root = system.start(spec).await.unwrap();
    let b = system.find("/b").unwrap();
    b.exit(Exit::error("away"));
    restarted(&b).await;
    tokio::time::sleep(SECOND).await;
    let seen = root.pid().supervision().unwrap();
    let of: Vec<_> = seen.children.iter().map(|c| (&*c.id, &*c.history[0].reason)).collect();
    assert_eq!(of, [("b", "away"), ("c", "with b: away")]);
    root.stop().await;

    let template = ChildSpec::server::<Sum>("one", || ());
    let root = system.start(SupervisorSpec::simple_one_for_one(template)).await.unwrap();
    for _ in 0..2 {
        root.start_instance().await.unwrap();
    }
    let second = system.find("/one#2").unwrap();
    second.exit(Exit::error("away"));
    restarted(&second).await;
    let seen = root.pid().supervision().unwrap();
    assert_eq!((seen.children.len(), &*seen.children[0].id), (1, "one#2"));
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_has_words_for_what_it_is_asked() {
    let system = common::system("test");
    let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
    sys::log(root.pid(), 10);
    root.start_child(ChildSpec::server::<Sum>("sum", || ())).await.unwrap();
    root.which_children().await.unwrap();
    let said: Vec<_> = sys::last_events(root.pid()).into_iter().map(|event| event.what).collect();
    assert_eq!(said, ["message: start_child", "message: which_children"]);
    root.stop().await;
}
