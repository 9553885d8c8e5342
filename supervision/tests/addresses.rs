//! Addresses: of two systems in one program, of other nodes, of what has ended; typed ones from any, and by names; answers as messages,
//! and why there is none; exit reasons as data.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{BOTH, Do, Plan, SECOND, World, world};
use std::{collections::HashSet, env, process::Command};
use supervision::{
    CallError, CastError, ChildError, ChildSpec, Cx, Event, Exit, Id, InitError, Local, Monitor,
    NameRef, Next, Node, Pid, Ref, RefError, Reply, Server, StartError, Started, SupervisorRef,
    SupervisorSpec, System,
    testkit::{Probe, ended, restarted},
};

/// What a monitor says.
async fn down<M: Send + 'static>(probe: &mut Probe<M>) -> (Monitor, Pid, Exit) {
    match probe.event().await {
        Event::Down { monitor, pid, reason } => (monitor, pid, reason),
        other => panic!("no DOWN: {}", if matches!(other, Event::Msg(_)) { "Msg" } else { "Exit" }),
    }
}

/// As those of another node: its end would be cleared up elsewhere.
#[tokio::test]
async fn names_and_groups_are_for_processes_of_their_system() {
    let (one, two) = twins().await;
    let theirs = two.puppet(BOTH[0], "a", Plan::default()).await;
    assert!(!one.system.register("a", &theirs) && one.system.whereis("a").is_none());
    one.system.join("all", theirs.pid());
    assert_eq!((one.system.group("all").len(), one.system.groups()), (0, 0));
    assert!(two.system.register("a", &theirs));
    two.system.join("all", theirs.pid());
    theirs.pid().kill();
    ended(theirs.pid()).await;
    assert_eq!((two.system.groups(), one.system.groups()), (0, 0));
    one.stop().await;
    two.stop().await;
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

/// Says what it was started with; ends when it is told nothing.
struct Room(String);

enum Talk {
    Name(Reply<String>),
    Crash,
    /// Drops the question and goes on, or ends.
    Ignore(Reply<String>, Option<Exit>),
    Panic(Reply<String>),
    Keep(Reply<String>),
}

impl Server for Room {
    type Args = String;
    type Msg = Talk;
    const NAME: &'static str = "room";
    const INBOX: usize = 2;

    async fn init(name: String, cx: &mut Cx<Talk>) -> Result<Self, InitError> {
        if name.is_empty() {
            return Err(InitError::Ignore);
        }
        cx.register(&name);
        Ok(Self(name))
    }

    async fn handle(&mut self, talk: Talk, _: &mut Cx<Talk>) -> Next {
        match talk {
            Talk::Name(reply) => reply.send(self.0.clone()),
            Talk::Crash => panic!("told to"),
            Talk::Ignore(_, None) => {}
            Talk::Ignore(reply, Some(exit)) => {
                drop(reply);
                return Next::Stop(exit);
            }
            Talk::Panic(_reply) => panic!("with a question"),
            Talk::Keep(reply) => {
                std::future::pending::<()>().await;
                drop(reply);
            }
        }
        Next::Continue
    }
}

async fn rooms(system: &System) -> SupervisorRef {
    let rooms = SupervisorSpec::simple_one_for_one(ChildSpec::server_with::<Room>("room"));
    let rooms = rooms.intensity(100, SECOND);
    let root = ChildSpec::supervisor("rooms", rooms);
    system.start(SupervisorSpec::one_for_one().child(root)).await.unwrap();
    SupervisorRef::of(system.find("/rooms").unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn instances_have_arguments_of_their_own_and_keep_them() {
    let system = common::system("test");
    let rooms = rooms(&system).await;
    let mut refs: Vec<Ref<Talk>> = Vec::new();
    for name in ["hall", "garden"] {
        refs.push(rooms.start_instance_with(name.to_owned()).await.unwrap().to_ref().unwrap());
    }
    for (room, name) in refs.iter().zip(["hall", "garden"]) {
        assert_eq!(room.ask(Talk::Name).await.unwrap(), name);
    }
    refs[0].cast(Talk::Crash).unwrap();
    let again: Local = restarted(refs[0].pid()).await;
    let again: Ref<Talk> = Ref::of(&again).unwrap();
    assert_eq!(again.ask(Talk::Name).await.unwrap(), "hall");
    assert!(matches!(rooms.start_instance_with(7).await, Err(ChildError::WrongArgs)));
    assert!(matches!(rooms.start_instance().await, Err(ChildError::WrongArgs)));
    let nothing = rooms.start_instance_with(String::new()).await.unwrap();
    assert!(matches!(nothing, Started::Ignored));
    assert_eq!(nothing.to_ref::<Talk>().unwrap_err(), RefError::Gone(Some(Exit::NoProc)));
    assert_eq!(rooms.count_children().await.unwrap().active, 2);
    rooms.terminate_instance(again.pid()).await.unwrap();
    assert_eq!(rooms.count_children().await.unwrap().active, 1);

    // a template that takes none, and no template
    let plain = ChildSpec::server::<Room>("room", || "one".to_owned());
    let others = system.start(SupervisorSpec::simple_one_for_one(plain.clone())).await.unwrap();
    let args = || "x".to_owned();
    assert!(matches!(others.start_instance_with(args()).await, Err(ChildError::WrongArgs)));
    let root = system.start(SupervisorSpec::one_for_one()).await.unwrap();
    assert!(matches!(root.start_instance_with(args()).await, Err(ChildError::InvalidSpec(_))));
    let child: Ref<Talk> = root.start_child(plain).await.unwrap().to_ref().unwrap();
    assert_eq!(child.ask(Talk::Name).await.unwrap(), "one");
    // and a template that wants some is no child of its own
    let child = root.start_child(ChildSpec::server_with::<Room>("alone")).await;
    assert!(matches!(child, Err(ChildError::Start(StartError::InvalidSpec(_)))), "{child:?}");
}

#[tokio::test(start_paused = true)]
async fn a_name_is_resolved_at_each_use() {
    let system = common::system("test");
    let rooms = rooms(&system).await;
    let hall: NameRef<Talk> = system.named("hall");
    let nobody = || Some(Exit::NoProc);
    assert_eq!(hall.get().unwrap_err(), RefError::Gone(nobody()));
    assert!(
        matches!(hall.cast(Talk::Crash), Err(CastError::Gone(Talk::Crash, why)) if why == nobody())
    );
    assert_eq!(hall.call(Talk::Name, SECOND).await, Err(CallError::Gone(nobody())));
    rooms.start_instance_with("hall".to_owned()).await.unwrap();
    for _ in 0..2 {
        let pid = hall.get().unwrap().pid().clone();
        assert_eq!(hall.call(Talk::Name, SECOND).await.unwrap(), "hall");
        hall.cast(Talk::Crash).unwrap();
        restarted(&pid).await;
    }
    let wrong: NameRef<u8> = system.named("hall");
    assert_eq!(wrong.get().unwrap_err(), RefError::WrongType);
    assert_eq!(wrong.cast(7), Err(CastError::WrongType(7)));
    assert_eq!(wrong.call(|_: Reply<()>| 7, SECOND).await, Err(CallError::WrongType));
    assert_eq!(hall.ask(Talk::Name).await.unwrap(), "hall");
    assert_eq!(wrong.ask(|_: Reply<()>| 7).await, Err(CallError::WrongType));
    // of each exactly one answer, as a message
    let mut probe: Probe<Result<String, CallError>> = Probe::start(&system).await;
    let answers =
        [Ok("hall".to_owned()), Err(CallError::WrongType), Err(CallError::Gone(nobody()))];
    hall.send_request(probe.me(), Talk::Name, |answer| answer);
    assert_eq!(probe.message().await, answers[0]);
    wrong.send_request(probe.me(), |_: Reply<String>| 7, |answer| answer);
    assert_eq!(probe.message().await, answers[1]);
    let nowhere: NameRef<Talk> = system.named("nowhere");
    nowhere.send_request(probe.me(), Talk::Name, |answer| answer);
    assert_eq!(probe.message().await, answers[2]);
    assert!(probe.pending().is_none());
}

/// What the answers to requests say, and how many there are.
type Answer = (u32, Result<String, CallError>);

#[tokio::test(start_paused = true)]
async fn an_answer_comes_as_a_message_of_ones_own_exactly_once() {
    let system = common::system("test");
    let rooms = rooms(&system).await;
    let mut probe: Probe<Answer> = Probe::start(&system).await;
    let me = probe.me().clone();
    let room = async |name: &str| -> Ref<Talk> {
        rooms.start_instance_with(name.to_owned()).await.unwrap().to_ref().unwrap()
    };
    let hall = room("hall").await;
    hall.send_request(&me, Talk::Name, |answer| (1, answer));
    assert_eq!(probe.message().await, (1, Ok("hall".to_owned())));
    // dropped, and it lives
    hall.send_request(&me, |reply| Talk::Ignore(reply, None), |answer| (2, answer));
    assert_eq!(probe.message().await, (2, Err(CallError::Gone(None))));
    // the one it is at, and one that waits; a third has no room
    hall.send_request(&me, Talk::Keep, |answer| (3, answer));
    tokio::task::yield_now().await;
    for n in [4, 5, 6] {
        hall.send_request(&me, Talk::Name, move |answer| (n, answer));
    }
    assert_eq!(probe.message().await, (6, Err(CallError::Full)));
    hall.pid().exit(Exit::error("over"));
    let over = || Err(CallError::Gone(Some(Exit::error("over"))));
    for n in [3, 4, 5] {
        assert_eq!(probe.message().await, (n, over()));
    }
    hall.send_request(&me, Talk::Name, |answer| (7, answer));
    assert_eq!(probe.message().await, (7, over()));
    // a panic with the question in its hands, and an end
    let hall = room("another").await;
    hall.send_request(&me, Talk::Panic, |answer| (8, answer));
    let answer = probe.message().await;
    assert!(
        matches!(&answer, (8, Err(CallError::Gone(Some(Exit::Crash(report)))))
        if report.reason == "with a question"),
        "{answer:?}"
    );
    let hall = room("third").await;
    let stop = |reply| Talk::Ignore(reply, Some(Exit::shutdown("enough")));
    hall.send_request(&me, stop, |answer| (9, answer));
    assert_eq!(probe.message().await.1, Err(CallError::Gone(Some(Exit::shutdown("enough")))));
    assert!(probe.pending().is_none());
}

/// It is called where the answer is given, or dropped while a process unwinds: it harms nobody there.
#[tokio::test(start_paused = true)]
async fn a_panic_in_what_makes_a_message_of_an_answer_is_the_askers() {
    let system = common::system("test");
    let rooms = rooms(&system).await;
    let probe: Probe<Answer> = Probe::start(&system).await;
    for (n, ask) in [Talk::Name, Talk::Panic].into_iter().enumerate() {
        let hall = rooms.start_instance_with(format!("hall {n}")).await.unwrap();
        let hall: Ref<Talk> = hall.to_ref().unwrap();
        hall.send_request(probe.me(), ask, |_| -> Answer { panic!("no message") });
        tokio::time::sleep(SECOND / 10).await;
        let reports = system.crashes().list();
        let lost = reports.iter().find(|r| r.reason == "no message" && r.path == "/probe").unwrap();
        assert!(lost.inputs[0].starts_with("the message of an answer"), "{lost:?}");
        assert_eq!(reports.len(), [1, 3][n]);
        assert_eq!(hall.pid().is_alive(), n == 0);
    }
    assert!(probe.pid().is_alive());
}

/// More than fits: what one has asked for it gets.
#[tokio::test(start_paused = true)]
async fn answers_come_whether_there_is_room_or_not() {
    struct Asker(usize);
    impl Server for Asker {
        type Args = Ref<Talk>;
        type Msg = Option<Reply<usize>>;
        const NAME: &'static str = "asker";
        const INBOX: usize = 1;
        async fn init(room: Ref<Talk>, cx: &mut Cx<Self::Msg>) -> Result<Self, InitError> {
            for _ in 0..10 {
                let me = cx.me().clone();
                room.send_request(&me, Talk::Name, |_| None);
                tokio::task::yield_now().await;
            }
            Ok(Self(0))
        }
        async fn handle(&mut self, msg: Self::Msg, _: &mut Cx<Self::Msg>) -> Next {
            match msg {
                None => self.0 += 1,
                Some(reply) => reply.send(self.0),
            }
            Next::Continue
        }
    }
    let system = common::system("test");
    let rooms = rooms(&system).await;
    let hall = rooms.start_instance_with("hall".to_owned()).await.unwrap().to_ref().unwrap();
    let asker = ChildSpec::server::<Asker>("asker", move || hall.clone());
    let root = system.start(SupervisorSpec::one_for_one().child(asker)).await.unwrap();
    let asker: Ref<Option<Reply<usize>>> = Ref::of(system.find("/asker").unwrap()).unwrap();
    assert_eq!(asker.ask(Some).await, Ok(10));
    root.stop().await;
}

/// On several threads too: whoever waits learns why, not only that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_has_the_reason_however_the_process_ends() {
    for round in 0..200 {
        let kit = common::server::<Room>("room", || "room".to_owned()).await;
        let why = match round % 4 {
            0 => kit.me.call(Talk::Panic, SECOND * 30).await,
            1 => {
                let stop = |reply| Talk::Ignore(reply, Some(Exit::error("stopped")));
                kit.me.call(stop, SECOND * 30).await
            }
            2 => {
                let waits = kit.me.call(Talk::Keep, SECOND * 30);
                let kill = async {
                    tokio::task::yield_now().await;
                    kit.me.pid().kill();
                };
                tokio::join!(waits, kill).0
            }
            _ => {
                kit.me.cast(Talk::Crash).unwrap();
                kit.me.call(Talk::Name, SECOND * 30).await
            }
        };
        let Err(CallError::Gone(Some(why))) = why else { panic!("{round}: {why:?}") };
        let expected = ["crash", "crash", "killed", "crash"][round % 4];
        assert_eq!((why.word(), &why), (expected, &ended(kit.me.pid()).await), "{round}");
        let cast = kit.me.cast(Talk::Crash);
        assert!(matches!(cast, Err(CastError::Gone(_, Some(late))) if late == why));
        kit.root.stop().await;
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
