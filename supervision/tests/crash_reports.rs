//! What a crash report holds, and where it goes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;
#[path = "common/sum.rs"]
mod sum;

use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{borrow::Cow, sync::Arc};
use sum::{Machine, SECOND, Say, Sum, word};
use supervision::{
    ChildSpec, CrashLog, CrashReport, Cx, Exit, InitError, Next, Ref, Server, SupervisorSpec,
    System,
    crash::{CrashLogLimits, Did},
    testkit::{self, Kit, ended, restarted},
};

async fn each() -> [Kit<Say>; 3] {
    [
        testkit::process::<Sum>("sum", || ()).await,
        common::server::<Sum>("sum", || ()).await,
        testkit::state_machine_on::<Machine>(common::engine(), "sum", || ()).await,
    ]
}

/// Crashes it with what is said last; the report.
async fn crash(kit: &Kit<Say>, what: Vec<Say>) -> Arc<CrashReport> {
    what.into_iter().for_each(|say| kit.me.cast(say).unwrap());
    ended(kit.me.pid()).await;
    let found = kit.system.crashes().list();
    Arc::clone(found.iter().find(|report| !report.reason.starts_with("no word")).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_report_says_which_message_it_was_at_and_which_waited() {
    for kit in each().await {
        let what = vec![Say::Add(2), Say::Boom, Say::Password("secret"), Say::Add(7)];
        let report = crash(&kit, what).await;
        assert_eq!((report.message.as_deref(), &*report.reason), (Some("boom"), "oh no"));
        assert_eq!(
            (report.queued, &*report.waiting),
            (2, &["password", "add 7"].map(str::to_owned)[..])
        );
        assert_eq!(report.state, Some(json!(2)));
        assert!(report.inputs.is_empty() && !format!("{report:?}").contains("secret"));
        kit.root.stop().await;
    }
    // nothing had been taken, and an end that is no panic
    for kit in each().await {
        kit.me.pid().exit(Exit::error("away"));
        ended(kit.me.pid()).await;
        assert_eq!(kit.system.crashes().list()[0].message, None);
        kit.root.stop().await;
    }
    for kit in each().await {
        let report = crash(&kit, vec![Say::Add(1), Say::Fail, Say::Hang]).await;
        assert_eq!((report.message.as_deref(), &*report.reason), (Some("fail"), "failed"));
        assert_eq!((&*report.waiting, &report.state), (&["hang".to_owned()][..], &Some(json!(1))));
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_stays_where_it_is_and_urgent_messages_are_told_first() {
    for kit in each().await {
        kit.me.cast(Say::Boom).unwrap();
        (0..20).for_each(|n| kit.me.cast(Say::Add(n)).unwrap());
        kit.me.cast_urgent(Say::Hang).unwrap();
        kit.me.cast_urgent(Say::Password("secret")).unwrap();
        // it is at the first urgent one
        tokio::task::yield_now().await;
        kit.me.pid().exit(Exit::error("away"));
        ended(kit.me.pid()).await;
        let report = kit.system.crashes().list().remove(0);
        assert_eq!(report.message.as_deref(), Some("hang"));
        let first: Vec<String> = (0..6).map(|n| format!("add {n}")).collect();
        assert_eq!(report.waiting[..2], ["password", "boom"]);
        assert_eq!(report.waiting[2..], first[..]);
        assert_eq!(report.queued, 22);
        assert_eq!(kit.system.unhandled(), 22, "they were looked at, not taken");
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_behaviour_whose_words_panic_is_asked_no_more_and_goes_on() {
    for kit in each().await {
        for _ in 0..3 {
            kit.me.cast(Say::Wordless).unwrap();
        }
        let report = crash(&kit, vec![Say::Boom, Say::Wordless]).await;
        let reports = kit.system.crashes().list();
        let reasons: Vec<_> = reports.iter().map(|r| &*r.reason).collect();
        assert_eq!(reasons, ["oh no", "no word"]);
        assert!(reports[1].inputs[0].starts_with("describe: "), "{:?}", reports[1].inputs);
        let message = report.message.as_deref().unwrap();
        assert!(message.ends_with("::Say"), "{message}");
        assert_eq!(report.waiting, [message]);
        kit.root.stop().await;
    }
    // of one that waits
    for kit in each().await {
        let report = crash(&kit, vec![Say::Boom, Say::Wordless, Say::Add(1)]).await;
        assert_eq!(report.waiting, ["without a word: no word", "add 1"]);
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_names_links_names_groups_and_the_programs_version() {
    for kit in each().await {
        let (system, pid) = (&kit.system, kit.me.pid());
        assert!(system.set_version("7.8.9"));
        let other = kit.root.start_child(ChildSpec::process::<Sum>("other", || ())).await;
        other.unwrap();
        pid.link(system.find("/other").unwrap());
        system.register("adder", &kit.me).unwrap();
        system.register("summer", &kit.me).unwrap();
        system.join("all", pid);
        let report = crash(&kit, vec![Say::Boom]).await;
        assert_eq!(report.links, ["/other"]);
        assert_eq!(
            (&*report.names, &*report.groups),
            (&["adder", "summer"].map(str::to_owned)[..], &["all".to_owned()][..])
        );
        assert_eq!(report.build, "7.8.9");
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_has_a_size_whatever_is_in_it() {
    for kit in each().await {
        let long = || vec![b'x'; 1 << 20];
        for n in 0..100 {
            kit.system.register(&format!("{n}{}", "n".repeat(5000)), &kit.me).unwrap();
            kit.system.join(&format!("{n}{}", "g".repeat(5000)), kit.me.pid());
        }
        let mut what = vec![Say::Shout(long()), Say::Fail];
        what.extend((0..50).map(|_| Say::Shout(long())));
        what.swap(0, 1);
        let report = crash(&kit, what).await;
        let bytes = serde_json::to_vec(&*report).unwrap().len();
        assert!(bytes < 100 << 10, "{bytes}");
        assert_eq!((report.names.len(), report.groups.len(), report.waiting.len()), (32, 32, 8));
        kit.root.stop().await;
    }
    // the message itself, its state, and its reason
    struct Large;
    impl Server for Large {
        type Args = ();
        type Msg = Say;
        const NAME: &'static str = "large";
        async fn init((): (), _: &mut Cx<Say>) -> Result<Self, InitError> {
            Ok(Self)
        }
        async fn handle(&mut self, _: Say, cx: &mut Cx<Say>) -> Next {
            cx.publish(&"s".repeat(1 << 20));
            panic!("{}", "r".repeat(1 << 20));
        }
        fn describe(say: &Say) -> Cow<'static, str> {
            word(say)
        }
        fn state(&self) -> Option<Value> {
            Some(json!("t".repeat(1 << 20)))
        }
    }
    let kit = common::server::<Large>("large", || ()).await;
    let report = crash(&kit, vec![Say::Shout("ä".repeat(1 << 19).into_bytes())]).await;
    assert!(serde_json::to_vec(&report.resolved()).unwrap().len() < 200 << 10);
    assert!(report.message.as_ref().unwrap().ends_with("ä ..."));
    assert_eq!(report.state, Some(json!(format!("left out: {} bytes", (1 << 20) + 2))));
    kit.root.stop().await;
}

/// Its state is nested so deeply.
struct Deep(usize);

impl Server for Deep {
    type Args = usize;
    type Msg = ();
    const NAME: &'static str = "deep";
    async fn init(depth: usize, _: &mut Cx<()>) -> Result<Self, InitError> {
        Ok(Self(depth))
    }
    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Next {
        panic!("deep")
    }
    fn state(&self) -> Option<Value> {
        Some((1..self.0).fold(json!(vec![1; 20_000]), |state, _| json!([state])))
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_nested_deeply_makes_no_large_file_and_is_read_again() {
    for depth in [100, 101, 200] {
        let dir = tempfile::tempdir().unwrap();
        let (limits, path) = (CrashLogLimits::default(), Some(dir.path().to_owned()));
        let system = System::with_crash_log("test", limits.clone(), path.clone());
        let deep = ChildSpec::server::<Deep>("deep", move || depth);
        let root = system.start(SupervisorSpec::one_for_one().child(deep)).await.unwrap();
        let pid = system.find("/deep").unwrap();
        Ref::of(&pid).unwrap().cast(()).unwrap();
        restarted(&pid).await;
        system.crashes().flush();
        let file = dir.path().read_dir().unwrap().next().unwrap().unwrap();
        let bytes = file.metadata().unwrap().len();
        assert!(bytes < 350 << 10, "{bytes}");
        let again = CrashLog::new(limits, path).list().remove(0);
        let state = again.state.as_ref().unwrap();
        assert_eq!(state.is_array(), depth == 100, "what was left out says so");
        root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn reports_go_elsewhere_too_with_what_the_supervisor_did() {
    let dir = tempfile::tempdir().unwrap();
    for dir in [None, Some(dir.path().to_owned())] {
        let system = System::with_crash_log("test", CrashLogLimits::default(), dir);
        let got: Arc<Mutex<Vec<CrashReport>>> = Arc::default();
        let sink = Arc::clone(&got);
        assert!(system.crashes().send_to(move |report| sink.lock().push(report.clone())));
        assert!(!system.crashes().send_to(|_| {}));
        let child = ChildSpec::server::<Sum>("sum", || ());
        let root = system.start(SupervisorSpec::one_for_one().child(child)).await.unwrap();
        let pid = system.find("/sum").unwrap();
        pid.exit(Exit::error("away"));
        restarted(&pid).await;
        system.crashes().flush();
        let last = got.lock().last().unwrap().clone();
        assert_eq!((&*last.path, &*last.reason), ("/sum", "away"));
        assert_eq!(last.supervisor.as_ref().unwrap().did, Did::Restarted);
        assert!(last.backtrace.is_some(), "its stack is resolved");
        root.stop().await;
    }
    let files = std::fs::read_dir(dir.path()).unwrap();
    let written: Vec<CrashReport> = files
        .map(|file| serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap())
        .collect();
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].supervisor.as_ref().unwrap().did, Did::Restarted);
}

#[tokio::test(start_paused = true)]
async fn what_a_supervisor_says_late_is_written_and_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let system = System::with_crash_log("test", CrashLogLimits::default(), Some(dir.path().into()));
    let got: Arc<Mutex<Vec<Option<Did>>>> = Arc::default();
    let sink = Arc::clone(&got);
    system.crashes().send_to(move |r| sink.lock().push(r.supervisor.as_ref().map(|s| s.did)));
    let child = ChildSpec::server::<Sum>("sum", || ());
    let root = system.start(SupervisorSpec::one_for_one().child(child)).await.unwrap();
    let pid = system.find("/sum").unwrap();
    // it does not look at its signals meanwhile
    let other = ChildSpec::new("other", |_| async {
        tokio::time::sleep(SECOND * 5).await;
        Ok(supervision::Started::Ignored)
    });
    let starting = tokio::join!(root.start_child(other), async {
        tokio::time::sleep(SECOND).await;
        pid.exit(Exit::error("away"));
        ended(&pid).await;
        system.crashes().flush();
    });
    starting.0.unwrap();
    restarted(&pid).await;
    system.crashes().flush();
    assert_eq!(*got.lock(), [None, Some(Did::Restarted)]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_is_reported_and_gets_no_more() {
    let calls = Arc::new(Mutex::new(0));
    let kit = common::server::<Sum>("sum", || ()).await;
    let count = Arc::clone(&calls);
    kit.system.set_version("1.2.3");
    kit.system.crashes().send_to(move |report| {
        *count.lock() += 1;
        panic!("no room for {}", report.reason);
    });
    crash(&kit, vec![Say::Boom]).await;
    kit.system.crashes().flush();
    let pid = kit.system.find("/sum").unwrap();
    pid.exit(Exit::error("away"));
    ended(&pid).await;
    kit.system.crashes().flush();
    assert_eq!(*calls.lock(), 1);
    let mut reports = kit.system.crashes().list();
    reports.sort_by_key(|report| report.id);
    let of: Vec<_> = reports.iter().map(|r| (&*r.process, &*r.reason)).collect();
    assert_eq!(of, [("sum", "oh no"), ("crash log", "no room for oh no"), ("sum", "away")]);
    assert_eq!(reports[1].build, "1.2.3");
    kit.root.stop().await;
}

/// What it does there it waits for itself for.
#[tokio::test]
async fn a_sink_may_look_at_the_log_it_is_of() {
    let kit = common::server::<Sum>("sum", || ()).await;
    let (seen, got) = (kit.system.clone(), Arc::new(Mutex::new(Vec::new())));
    let keep = Arc::clone(&got);
    kit.system.crashes().send_to(move |report| {
        seen.crashes().flush();
        keep.lock().push((report.reason.clone(), seen.crashes().list().len()));
    });
    crash(&kit, vec![Say::Boom]).await;
    kit.system.crashes().flush();
    assert_eq!(got.lock().first(), Some(&("oh no".to_owned(), 1)));
    kit.root.stop().await;
}
