//! Addresses: of two systems in one program, of other nodes, of what has ended; typed ones from any; exit reasons as data.
#![expect(clippy::panic, reason = "a test")]

mod common;

use common::{BOTH, Do, Plan, SECOND, World, world};
use std::{collections::HashSet, env, process::Command};
use supervision::{
    Event, Exit, Id, Monitor, Node, Pid, Ref, RefError, SupervisorRef, System,
    testkit::{Probe, ended},
};

/// What a monitor says.
async fn down<M: Send + 'static>(probe: &mut Probe<M>) -> (Monitor, Pid, Exit) {
    match probe.event().await {
        Event::Down { monitor, pid, reason } => (monitor, pid, reason),
        other => panic!("no DOWN: {}", if matches!(other, Event::Msg(_)) { "Msg" } else { "Exit" }),
    }
}

/// Two systems whose processes have the same numbers.
async fn twins() -> (World, World) {
    let (one, two) = (world().await, world().await);
    assert_eq!(one.root.pid().id().number, two.root.pid().id().number);
    (one, two)
}

#[tokio::test(start_paused = true)]
async fn processes_of_two_systems_with_the_same_numbers_link_and_monitor_each_other() {
    for engine in BOTH {
        for other in BOTH {
            let (one, two) = twins().await;
            let plan = || Plan { trap: false, ..Plan::default() };
            let a = one.puppet(engine, "a", plan()).await;
            let b = two.puppet(other, "b", plan()).await;
            assert_eq!(a.pid().id().number, b.pid().id().number);
            assert_ne!(a.pid().id(), b.pid().id());
            assert_ne!(Pid::from(a.pid()), b.pid().clone());
            assert_eq!(HashSet::from([Pid::from(a.pid()), Pid::from(b.pid())]).len(), 2);

            // who watches has monitors of both, and both have the same number
            let mut probe: Probe<()> = Probe::start(&one.system).await;
            let (of_a, of_b) = (a.pid().monitor(probe.pid()), b.pid().monitor(probe.pid()));
            assert_ne!(of_a, of_b);
            assert_eq!(probe.pid().watching(), 2);
            // each watches the other: neither takes the other's monitor for its own
            let (a_of_b, b_of_a) = (b.pid().monitor(a.pid()), a.pid().monitor(b.pid()));
            assert_ne!(a_of_b, b_of_a);
            assert_eq!((a.pid().watchers(), b.pid().watchers()), (2, 2));
            b.pid().demonitor(a_of_b);
            a.pid().demonitor(b_of_a);

            // a third, linked to both
            let c = one.puppet(engine, "c", Plan { trap: true, ..Plan::default() }).await;
            a.pid().link(b.pid());
            b.pid().link(c.pid());
            c.pid().link(a.pid());
            assert_eq!(c.pid().links(10).len(), 2);
            a.pid().exit(Exit::error("over"));
            assert_eq!(ended(b.pid()).await, Exit::error("over"));
            assert_eq!(down(&mut probe).await, (of_a, a.pid().into(), Exit::error("over")));
            assert_eq!(down(&mut probe).await, (of_b, b.pid().into(), Exit::error("over")));
            assert!(c.pid().is_alive() && c.pid().links(10).is_empty());
            one.stop().await;
            two.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn links_of_a_process_to_the_twins_of_two_systems_are_two() {
    let (one, two) = twins().await;
    let three = System::new("three");
    let mut probe: Probe<()> = Probe::start(&three).await;
    let mut twins = Vec::new();
    for (engine, world) in BOTH.into_iter().zip([&one, &two]) {
        twins.push(world.puppet(engine, "twin", Plan::default()).await);
    }
    let [a, b] = &*twins else { panic!() };
    assert_eq!(a.pid().id().number, b.pid().id().number);
    for twin in [a, b] {
        probe.pid().link(twin.pid());
        twin.pid().link(probe.pid());
    }
    assert_eq!(probe.pid().links(10).len(), 2);
    probe.pid().unlink(a.pid());
    assert_eq!(probe.pid().links(10), [Pid::from(b.pid())]);
    a.pid().kill();
    b.pid().exit(Exit::error("b"));
    assert_eq!(probe.exit().await, (b.pid().into(), Exit::error("b")));
    ended(a.pid()).await;
    assert!(probe.pending().is_none());
    one.stop().await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_address_of_another_node_is_as_in_otp_without_a_connection() {
    let world = world().await;
    let mut probe: Probe<()> = Probe::start(&world.system).await;
    let me = probe.pid().clone();
    let far = Id { node: Node::new("far@example.org").unwrap(), creation: 7, number: 40 };
    // of an earlier start of this node: the last one may be a system of another test in this program
    let old = Id { creation: me.id().creation.wrapping_sub(1_000_000), ..me.id() };
    let gone = world.puppet(BOTH[0], "gone", Plan::default()).await.pid().id();
    world.root.terminate_child("gone").await.unwrap();
    for (id, why) in [(far, Exit::NoConnection), (old, Exit::NoProc), (gone, Exit::NoProc)] {
        let pid = world.system.pid(id);
        assert_eq!((pid.id(), pid.local(), pid == me), (id, None, false));
        let monitor = pid.monitor(&me);
        assert_eq!(down(&mut probe).await, (monitor, pid.clone(), why.clone()));
        me.link(&pid);
        assert_eq!(probe.exit().await, (pid.clone(), why.clone()));
        pid.link(&me);
        assert_eq!(probe.exit().await, (pid.clone(), why.clone()));
        assert_eq!((me.links(10).len(), me.watching()), (0, 0));
        pid.demonitor(monitor);
        me.unlink(&pid);
        pid.exit(Exit::error("lost"));
        pid.kill();
        assert_eq!(Ref::of::<()>(&pid).unwrap_err(), RefError::Gone(Some(why.clone())));
        assert_eq!(SupervisorRef::of(&pid).unwrap_err(), RefError::Gone(Some(why.clone())));
        // who does not trap ends with it
        for engine in BOTH {
            let a = world.puppet(engine, "a", Plan::default()).await;
            a.pid().link(&pid);
            assert_eq!(ended(a.pid()).await, why);
        }
    }
    assert!(probe.pending().is_none());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_id_is_data_and_leads_back_to_its_process_from_any_system_of_the_program() {
    let (one, two) = twins().await;
    let a = one.puppet(BOTH[0], "a", Plan::default()).await;
    let text = serde_json::to_string(&a.pid().id()).unwrap();
    let id: Id = serde_json::from_str(&text).unwrap();
    assert_eq!(
        text,
        format!(
            r#"{{"node":"nonode@nohost","creation":{},"number":{}}}"#,
            one.system.creation(),
            id.number
        )
    );
    for system in [&one.system, &two.system] {
        let pid = system.pid(id);
        assert_eq!((pid.local(), &pid), (Some(a.pid()), &Pid::from(a.pid())));
    }
    // no system of the program has the creation of another, and within one the order is that of the starts
    let creations: HashSet<u32> = (0..100).map(|_| System::new("x").creation()).collect();
    assert_eq!(creations.len(), 100);
    let later = one.puppet(BOTH[1], "b", Plan::default()).await;
    assert!(later.pid().id() > id && one.root.pid().id() < id);
    // one that has ended is equal to what somebody kept of it, and hashes as it
    let kept = Pid::from(a.pid());
    a.pid().kill();
    ended(a.pid()).await;
    let again = one.system.pid(id);
    assert!(again.local().is_none() && again == kept && *a.pid() == again);
    assert!(HashSet::from([kept]).contains(&again));
    one.stop().await;
    two.stop().await;
}

/// What is called so in one start of a program is nothing in the next.
#[test]
fn each_start_of_the_program_has_a_creation_of_its_own() {
    const INSIDE: &str = "SUPERVISION_CREATION";
    const SAID: &str = "creation: ";
    if env::var_os(INSIDE).is_some() {
        return println!("{SAID}{}", System::new("test").creation());
    }
    // by the name it has in this program
    let me = std::thread::current().name().unwrap_or_default().to_owned();
    let start = || {
        let ended = Command::new(env::current_exe().unwrap())
            .args(["--exact", &me, "--nocapture"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        let (_, creation) = said.split_once(SAID).unwrap_or_else(|| panic!("{said}"));
        creation.split_whitespace().next().unwrap().parse::<u32>().unwrap()
    };
    assert_ne!(start(), start());
}

#[tokio::test(start_paused = true)]
async fn a_typed_reference_is_one_call_away() {
    for engine in BOTH {
        let world = world().await;
        let started = world.puppet(engine, "a", Plan::default()).await;
        let pid: Pid = world.system.find("/a").unwrap().into();
        let a: Ref<Do> = Ref::of(&pid).unwrap();
        assert_eq!((a.call(|r| Do::Echo(3, r), SECOND).await, a.pid()), (Ok(3), started.pid()));
        assert_eq!(Ref::of::<u8>(&pid).unwrap_err(), RefError::WrongType);
        assert_eq!(SupervisorRef::of(&pid).unwrap_err(), RefError::WrongType);
        let root = SupervisorRef::of(world.system.find("/").unwrap()).unwrap();
        assert_eq!(root.pid(), world.root.pid());
        world.system.join("group", a.pid());
        world.system.join("group", root.pid());
        assert_eq!(world.system.group("group").len(), 2);
        let members = world.system.members::<Do>("group");
        assert_eq!(members.iter().map(Ref::pid).collect::<Vec<_>>(), [a.pid()]);
        a.pid().exit(Exit::error("over"));
        ended(a.pid()).await;
        assert_eq!(Ref::of::<Do>(&pid).unwrap_err(), RefError::Gone(Some(Exit::error("over"))));
        // a wrong type is one, whether the process has ended or not
        assert_eq!(Ref::of::<u8>(&pid).unwrap_err(), RefError::WrongType);
        world.stop().await;
    }
}

#[test]
fn every_exit_reason_is_data() {
    let report = serde_json::json!({
        "id": 3, "path": "/a", "process": "a", "ancestors": ["/"], "reason": "boom",
        "location": "a.rs:1:2", "in_terminate": false, "inputs": ["x"], "status": null, "queued": 2,
        "uptime": { "secs": 1, "nanos": 2 }, "at": 4, "build": "0.1.0", "suppressed": 0,
        "backtrace": null,
    });
    let report: supervision::CrashReport = serde_json::from_value(report).unwrap();
    let all = [
        (Exit::Normal, "\"normal\""),
        (Exit::Shutdown, "\"shutdown\""),
        (Exit::shutdown("why"), r#"{"shutdown_with":"why"}"#),
        (Exit::Killed, "\"killed\""),
        (Exit::NoProc, "\"noproc\""),
        (Exit::NoConnection, "\"noconnection\""),
        (Exit::error("why"), r#"{"error":"why"}"#),
        (Exit::Crash(report.clone().into()), ""),
    ];
    for (n, (exit, text)) in all.iter().enumerate() {
        let written = serde_json::to_string(exit).unwrap();
        assert!(text.is_empty() || written == *text, "{written}");
        let read: Exit = serde_json::from_str(&written).unwrap();
        assert_eq!((&read, read.word(), read.to_string()), (exit, exit.word(), exit.to_string()));
        // and no two are equal
        assert_eq!(all.iter().position(|(other, _)| *other == read), Some(n));
    }
    let Exit::Crash(read) =
        serde_json::from_value(serde_json::to_value(&all[7].0).unwrap()).unwrap()
    else {
        panic!()
    };
    let data = |report: &supervision::CrashReport| serde_json::to_value(report).unwrap();
    assert_eq!(data(&read), data(&report));
    for later in ["\"frozen\"", r#"{"frozen":1}"#, r#"{"crash":{}}"#, "7", "null"] {
        assert!(serde_json::from_str::<Exit>(later).is_err(), "{later}");
    }
}
