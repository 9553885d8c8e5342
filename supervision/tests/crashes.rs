//! Crashes and their reports: whatever panics, wherever, is reported and concerns nobody else.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{BOTH, Do, Plan, Puppet, SECOND, What, world};
use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};
use supervision::{
    ChildError, ChildSpec, CrashLog, CrashReport, Cx, Exit, InitError, Local, Next, Process,
    Server, StartError, SupervisorSpec, System,
    crash::CrashLogLimits,
    testkit::{ended, restarted},
};

async fn crash_of(what: What, plan: Plan, orders: Vec<Do>) -> (Exit, Vec<Arc<CrashReport>>) {
    let world = world().await;
    let a = world.puppet(what, "a", plan).await;
    for order in orders {
        a.cast(order).unwrap();
    }
    let exit = ended(a.pid()).await;
    let reports = world.system.crashes().list();
    world.stop().await;
    (exit, reports)
}

#[tokio::test(start_paused = true)]
async fn a_report_names_path_place_inputs_and_stack() {
    for what in BOTH {
        let orders =
            vec![Do::Record("one"), Do::Record("two"), Do::Panic("boom"), Do::Record("waits")];
        let (exit, reports) = crash_of(what, Plan::default(), orders).await;
        let Exit::Crash(report) = exit else { panic!("{exit}") };
        assert_eq!(reports.len(), 1);
        assert_eq!(report.id, reports[0].id);
        assert_eq!((&*report.path, &*report.reason), ("/a", "boom"));
        assert_eq!(report.ancestors, ["/"]);
        assert!(report.location.contains("tests/common/mod.rs:"), "{}", report.location);
        assert_eq!(report.inputs, ["one", "two"]);
        assert_eq!(report.queued, 1);
        assert!(!report.in_terminate);
        assert!(report.stack().contains("common/mod.rs"));
        assert!(!format!("{report:?}").contains("tokio::runtime"), "a stack takes pages");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_init_terminate_or_drop_is_reported() {
    for what in BOTH {
        let plan = Plan { terminate: Some("last words"), ..Plan::default() };
        let (exit, reports) = crash_of(what, plan, vec![Do::Exit(Exit::Normal)]).await;
        assert_eq!(exit.to_string(), "last words");
        assert!(reports[0].in_terminate);

        // one after the other: the first is why it ended, both are reported
        let plan = Plan { terminate: Some("last words"), ..Plan::default() };
        let (exit, reports) = crash_of(what, plan, vec![Do::Panic("boom")]).await;
        assert_eq!(exit.to_string(), "boom");
        let said: Vec<_> = reports.iter().map(|r| (&*r.reason, r.in_terminate)).collect();
        assert_eq!(said, [("last words", true), ("boom", false)]);

        let plan = Plan { dropped: Some("dropped"), ..Plan::default() };
        let (exit, reports) = crash_of(what, plan, vec![Do::Exit(Exit::shutdown("x"))]).await;
        assert_eq!(exit.to_string(), "{shutdown, x}");
        assert_eq!(&*reports[0].reason, "dropped");

        let world = world().await;
        let plan = Plan { init: Some("not today"), ..Plan::default() };
        assert!(world.start(what, "a", plan).await.is_err());
        assert_eq!(world.system.crashes().list()[0].reason, "not today");
        world.stop().await;
    }
}

/// A handler that is interrupted drops what it holds.
#[tokio::test(start_paused = true)]
async fn a_panic_in_a_handler_that_a_signal_ends_is_reported_and_changes_nothing() {
    type End = fn(&Local);
    let ends: [(End, &str, Option<&str>); 3] = [
        (|pid| pid.exit(Exit::error("out")), "out", Some("out")),
        (|pid| pid.exit(Exit::shutdown("x")), "{shutdown, x}", Some("{shutdown, x}")),
        (Local::kill, "killed", None),
    ];
    for what in BOTH {
        for (end, why, last) in ends {
            let world = world().await;
            let (ended, mut told) = tokio::sync::mpsc::channel(1);
            let plan = Plan { ended: Some(ended), ..Plan::default() };
            let a = world.puppet(what, "a", plan).await;
            a.cast(Do::HangWith("dropped")).unwrap();
            tokio::time::sleep(SECOND).await;
            end(a.pid());
            assert_eq!(a.pid().wait().await.to_string(), why, "{what:?}");
            // `terminate`, as ever
            assert_eq!(told.recv().await.map(|why| why.to_string()).as_deref(), last, "{what:?}");
            let reports = world.system.crashes().list();
            let dropped = reports.iter().find(|report| report.reason == "dropped").unwrap();
            assert!(dropped.in_terminate && &*dropped.path == "/a", "{what:?} {why}");
            world.stop().await;
        }
    }
}

/// Its `init` never ends, and holds something that panics when it is dropped.
struct Stuck;

impl Process for Stuck {
    type Args = ();
    type Msg = ();
    const NAME: &'static str = "stuck";

    async fn init((): (), cx: &mut Cx<()>) -> Result<Self, InitError> {
        <Self as Server>::init((), cx).await
    }

    async fn run(&mut self, _: &mut Cx<()>) -> Exit {
        Exit::Normal
    }
}

impl Server for Stuck {
    type Args = ();
    type Msg = ();
    const NAME: &'static str = "stuck";

    async fn init((): (), _: &mut Cx<()>) -> Result<Self, InitError> {
        let _held = Held;
        std::future::pending::<()>().await;
        Ok(Self)
    }

    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Next {
        Next::Continue
    }
}

struct Held;

impl Drop for Held {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_init_that_is_ended_is_reported_and_changes_nothing() {
    for what in BOTH {
        let stuck = || match what {
            What::Process => ChildSpec::process::<Stuck>("a", || ()),
            What::Server => ChildSpec::server::<Stuck>("a", || ()),
        };
        let world = world().await;
        let late = world.root.start_child(stuck().ready_within(SECOND)).await;
        assert!(matches!(late, Err(ChildError::Start(StartError::Timeout(_)))), "{late:?}");
        assert_eq!((world.system.alive(), world.system.crashes().count()), (1, 1), "{what:?}");
        let root = world.root.clone();
        let (ended, ()) = tokio::join!(root.start_child(stuck()), async {
            tokio::time::sleep(SECOND).await;
            world.system.find("/a").unwrap().exit(Exit::error("out"));
        });
        let Err(ChildError::Start(StartError::Exited(why))) = ended else { panic!("{ended:?}") };
        assert_eq!(why, Exit::error("out"), "{what:?}");
        let reports = world.system.crashes().list();
        let mut reasons: Vec<&str> = reports.iter().map(|report| &*report.reason).collect();
        reasons.sort_unstable();
        assert_eq!((world.system.alive(), reasons), (1, vec!["dropped", "dropped", "out"]));
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_abnormal_end_has_a_report() {
    for what in BOTH {
        // it ends itself
        for (exit, reasons) in [
            (Exit::error("out of paper"), vec!["out of paper"]),
            (Exit::Normal, vec![]),
            (Exit::Shutdown, vec![]),
            (Exit::shutdown("not needed"), vec![]),
        ] {
            let orders = vec![Do::Record("one"), Do::Exit(exit), Do::Record("waits")];
            let (_, reports) = crash_of(what, Plan::default(), orders).await;
            let said: Vec<_> = reports.iter().map(|report| &*report.reason).collect();
            assert_eq!(said, reasons, "{what:?}");
            for report in reports {
                assert_eq!((&*report.path, &*report.location), ("/a", "no panic"));
                assert_eq!(
                    (&*report.inputs, report.queued, report.stack()),
                    (&["one".to_owned()][..], 1, String::new())
                );
            }
        }
        // others end it
        let world = world().await;
        let all = async |id: &str| world.puppet(what, id, Plan::default()).await;
        let (told, killed, linked, stopped) =
            (all("told").await, all("killed").await, all("linked").await, all("stopped").await);
        killed.pid().link(linked.pid());
        told.pid().exit(Exit::error("go"));
        ended(told.pid()).await;
        killed.pid().kill();
        ended(linked.pid()).await;
        world.root.terminate_child("stopped").await.unwrap();
        ended(stopped.pid()).await;
        // in its start
        let refuses = Plan { init: Some("refuse"), ..Plan::default() };
        world.start(what, "refused", refuses).await.unwrap_err();
        let ignores = Plan { init: Some("ignore"), ..Plan::default() };
        drop(world.start(what, "ignored", ignores).await);
        let mut reports: Vec<_> = world.system.crashes().list();
        reports.sort_by(|a, b| a.path.cmp(&b.path));
        let reports: Vec<_> =
            reports.iter().map(|r| (&*r.path, &*r.reason, &*r.location)).collect();
        let expected = [
            ("/killed", "killed", "killed from outside"),
            ("/linked", "killed", "no panic"),
            ("/refused", "refused", "no panic"),
            ("/told", "go", "no panic"),
        ];
        assert_eq!(reports, expected, "{what:?}");
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_supervisor_ends_has_no_report_however_it_ends_it() {
    for what in BOTH {
        let world = world().await;
        let hangs = world.puppet(what, "hangs", Plan { trap: true, ..Plan::default() }).await;
        hangs.cast(Do::Hang).unwrap();
        tokio::task::yield_now().await;
        world.root.terminate_child("hangs").await.unwrap();
        assert_eq!(ended(hangs.pid()).await.word(), "killed");
        assert_eq!(world.system.crashes().count(), 0, "{what:?}");
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_concerns_nobody_else_and_its_child_is_back() {
    for what in BOTH {
        let system = common::system("test");
        let child = |id: &str| match what {
            What::Process => ChildSpec::process::<Puppet>(id, Plan::default),
            What::Server => ChildSpec::server::<common::Serving>(id, Plan::default),
        };
        let root = SupervisorSpec::one_for_one().child(child("a")).child(child("b"));
        let root = system.start(root.intensity(5, SECOND)).await.unwrap();
        let (a, b) = (system.find("/a").unwrap(), system.find("/b").unwrap());
        a.exit(Exit::error("gone"));
        let again = restarted(&a).await;
        assert_ne!(again, a);
        assert!(b.is_alive());
        assert_eq!((system.restarts(), system.alive()), (1, 3));
        root.stop().await;
        assert_eq!(system.alive(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_counted_not_kept() {
    let limits = CrashLogLimits { keep: 6, per_place: 3, ..CrashLogLimits::default() };
    let window = limits.window;
    let system = System::with_crash_log("test", limits, None);
    let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
    let world = common::World { system: system.clone(), root };
    let crash = async || {
        let a = world.puppet(What::Process, "a", Plan::default()).await;
        a.cast(Do::Panic("boom")).unwrap();
        let Exit::Crash(report) = ended(a.pid()).await else { panic!("no crash") };
        report.stack().contains("common/mod.rs")
    };
    for n in 0..50 {
        // three are kept; with the fourth it is known that the rest is not
        assert_eq!(crash().await, n < 4, "no stack is captured of what is only counted: {n}");
    }
    let log = system.crashes();
    assert_eq!((log.list().len(), log.count()), (3, 50));
    tokio::time::advance(window).await;
    assert!(crash().await, "and captured again");
    assert_eq!(log.list()[0].suppressed, 47, "how many there were in between");
    for _ in 0..10 {
        tokio::time::advance(window).await;
        crash().await;
    }
    let ids: Vec<u64> = log.list().iter().map(|r| r.id).collect();
    assert_eq!(ids, [61, 60, 59, 58, 57, 56], "the newest first, not more than the limit");
    assert!(log.get(61).is_some() && log.get(1).is_none());
    world.stop().await;
}

/// A storm of one place does not hide another, nor the same one in another system.
#[tokio::test(start_paused = true)]
async fn a_storm_has_one_place() {
    let limits = CrashLogLimits { per_place: 1, ..CrashLogLimits::default() };
    for _ in 0..2 {
        let system = System::with_crash_log("test", limits.clone(), None);
        let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
        let world = common::World { system: system.clone(), root };
        for what in [What::Process, What::Process, What::Process, What::Server] {
            let a = world.puppet(what, "a", Plan::default()).await;
            a.cast(Do::Panic("boom")).unwrap();
            ended(a.pid()).await;
        }
        let kept = system.crashes().list();
        let kinds: Vec<_> = kept.iter().map(|r| (r.process.as_str(), r.id)).collect();
        assert_eq!(kinds, [("serving", 4), ("puppet", 1)]);
        assert!(kept.iter().all(|r| r.stack().contains("common/mod.rs")));
        world.stop().await;
    }
}

/// What is dropped while a panic unwinds panics too, and catches that.
#[tokio::test(start_paused = true)]
async fn a_panic_caught_while_another_unwinds_hides_nothing() {
    struct Messy;
    impl Drop for Messy {
        fn drop(&mut self) {
            for _ in 0..10 {
                assert!(std::panic::catch_unwind(|| panic!("inner")).is_err());
            }
        }
    }
    struct Nested;
    impl supervision::Process for Nested {
        type Args = ();
        type Msg = ();
        const NAME: &'static str = "nested";
        async fn init((): (), _: &mut supervision::Cx<()>) -> Result<Self, supervision::InitError> {
            Ok(Self)
        }
        async fn run(&mut self, _: &mut supervision::Cx<()>) -> Exit {
            let _messy = Messy;
            panic!("outer")
        }
    }
    let system = common::system("test");
    let nested = system.spawn::<Nested>("/nested", ()).await.unwrap();
    let Exit::Crash(report) = ended(nested.pid()).await else { panic!("no crash") };
    assert_eq!(report.reason, "outer");
    assert!(report.location.contains("tests/crashes.rs:"), "{}", report.location);
    assert!(report.stack().contains("Nested"), "{}", report.stack());
    assert_eq!(system.crashes().count(), 1);
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn crashing_run(dir: &Path, keep: usize, crashes: usize) -> System {
    let limits = CrashLogLimits { keep, per_place: 100, ..CrashLogLimits::default() };
    let system = System::with_crash_log("test", limits, Some(dir.to_owned()));
    let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
    let world = common::World { system: system.clone(), root };
    for _ in 0..crashes {
        let a = world.puppet(What::Process, "a", Plan::default()).await;
        a.cast(Do::Record("secret")).unwrap();
        a.cast(Do::Panic("boom")).unwrap();
        ended(a.pid()).await;
    }
    world.stop().await;
    system.crashes().flush();
    system
}

#[tokio::test(start_paused = true)]
async fn reports_are_files_for_their_owner_only_and_outlive_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("crashes");
    let first = crashing_run(&dir, 4, 3).await;
    assert_eq!(files(&dir).len(), 3);
    for file in files(&dir) {
        let mode = std::fs::metadata(dir.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let known = first.crashes().get(3).unwrap().resolved();
    drop(first);

    // what is no report is left alone
    std::fs::write(dir.join("crash-notes.txt"), "mine").unwrap();
    std::fs::write(dir.join("crash-0-000000.json"), "{").unwrap();
    let second = crashing_run(&dir, 4, 2).await;
    let ids: Vec<u64> = second.crashes().list().iter().map(|r| r.id).collect();
    assert_eq!(ids, [5, 4, 3, 2], "numbers go on, the oldest beyond the limit is gone");
    assert_eq!(second.crashes().count(), 2, "of this run");
    let kept = second.crashes().get(3).unwrap();
    assert_eq!(serde_json::to_value(&*kept).unwrap(), serde_json::to_value(&known).unwrap());
    assert!(kept.stack().contains("common/mod.rs"), "the stack was resolved before it was written");
    assert_eq!(kept.inputs, ["secret"]);
    assert_eq!(files(&dir).len(), 4 + 2);
    drop(second);

    // opened with a smaller limit
    let limits = CrashLogLimits { keep: 1, ..CrashLogLimits::default() };
    let third = CrashLog::new(limits, Some(dir.clone()));
    assert_eq!(third.list().iter().map(|r| r.id).collect::<Vec<_>>(), [5]);
    assert_eq!(files(&dir).len(), 1 + 2);
}

/// More at once than the log's thread takes: what it is not told of goes too.
#[tokio::test(start_paused = true)]
async fn there_are_never_more_files_than_reports_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let limits = CrashLogLimits { keep: 100, per_place: 1_000, ..CrashLogLimits::default() };
    let system = System::with_crash_log("test", limits, Some(dir.path().to_owned()));
    let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
    let world = common::World { system, root };
    let ends = async |crashes: usize| {
        for _ in 0..crashes {
            let a = world.puppet(What::Process, "a", Plan::default()).await;
            a.cast(Do::Exit(Exit::error("no"))).unwrap();
            ended(a.pid()).await;
        }
    };
    let slowly = async || {
        for _ in 0..10 {
            ends(10).await;
            world.system.crashes().flush();
        }
    };
    slowly().await;
    assert_eq!(files(dir.path()).len(), 100);
    // while it is busy with one
    let (go, held) = std::sync::mpsc::sync_channel::<()>(0);
    let held = parking_lot::Mutex::new(held);
    world.system.crashes().send_to(move |_| held.lock().recv().unwrap_or_default());
    ends(300).await;
    drop(go);
    world.system.crashes().flush();
    slowly().await;
    assert_eq!(files(dir.path()).len(), 100);
    assert_eq!(world.system.crashes().list().len(), 100);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_cannot_be_used_leaves_the_log_in_memory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let system = crashing_run(file.path(), 4, 1).await;
    assert_eq!(system.crashes().list().len(), 1);
}
