//! Names: one process has each, for as long as it lives; addresses by them are resolved at each use. And groups, which end so too.

mod common;

use common::talk::{Talk, rooms};
use common::{BOTH, Plan, SECOND, What, world};
use supervision::{
    CallError, CastError, ChildError, ChildSpec, Cx, Event, Exit, InitError, Local, NameRef, Next,
    Process, Ref, RefError, RegisterError, Reply, Server, StartError, SupervisorSpec,
    testkit::{Probe, ended, restarted},
};

/// As those of another node: its end would be cleared up elsewhere.
#[tokio::test]
async fn names_and_groups_are_for_processes_of_their_system() {
    let (one, two) = (world().await, world().await);
    let theirs = two.puppet(BOTH[0], "a", Plan::default()).await;
    assert_eq!(one.system.register("a", &theirs), Err(RegisterError::Elsewhere));
    assert!(one.system.whereis("a").is_none());
    one.system.join("all", theirs.pid());
    assert_eq!((one.system.group("all").len(), one.system.groups()), (0, 0));
    two.system.register("a", &theirs).unwrap();
    two.system.join("all", theirs.pid());
    theirs.pid().kill();
    ended(theirs.pid()).await;
    assert_eq!((two.system.groups(), one.system.groups()), (0, 0));
    one.stop().await;
    two.stop().await;
}

#[tokio::test(start_paused = true)]
async fn names_and_groups_end_with_their_process() {
    let world = world().await;
    let a = world.puppet(What::Process, "a", Plan::default()).await;
    let b = world.puppet(What::Server, "b", Plan::default()).await;
    world.system.register("name", &a).unwrap();
    let taken = RegisterError::Taken { name: "name".into(), pid: a.pid().clone() };
    assert_eq!(world.system.register("name", &b), Err(taken));
    assert!(world.system.lookup::<u8>("name").is_none(), "another kind of messages");
    world.system.join("group", a.pid());
    world.system.join("group", b.pid());
    assert_eq!(world.system.group("group").len(), 2);
    a.pid().kill();
    ended(a.pid()).await;
    assert!(world.system.whereis("name").is_none());
    assert_eq!(world.system.group("group"), [b.pid().clone()]);
    assert_eq!(world.system.register("name", &a), Err(RegisterError::Gone));
    world.system.register("name", &b).unwrap();
    assert!(world.system.unregister("name") && world.system.whereis("name").is_none());
    world.system.leave_group("group", b.pid());
    assert!(world.system.group("group").is_empty());
    // another system knows nothing of them
    assert!(common::system("other").whereis("name").is_none());
    world.stop().await;
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

/// Has a name, or does not start; starts another first, if it is to.
struct Only;

impl Server for Only {
    type Args = (&'static str, Option<&'static str>);
    type Msg = Reply<()>;
    const NAME: &'static str = "only";

    async fn init((name, below): Self::Args, cx: &mut Cx<Reply<()>>) -> Result<Self, InitError> {
        if let Some(below) = below {
            cx.trap_exit(true);
            cx.start_link::<Self>("below", (below, None)).await?;
        }
        cx.register(name)?;
        Ok(Self)
    }

    async fn handle(&mut self, reply: Reply<()>, _: &mut Cx<Reply<()>>) -> Next {
        reply.send(());
        Next::Continue
    }
}

fn only(id: &str, name: &'static str) -> ChildSpec {
    ChildSpec::server::<Only>(id, move || (name, None))
}

/// Who has it, of an error that says so.
fn holder(error: &StartError) -> Option<(&str, &Local)> {
    match error {
        StartError::AlreadyStarted { name, pid } => Some((name, pid)),
        _ => None,
    }
}

/// OTP 25, of a second `gen_server:start_link({local, one}, ..)`: `{error, {already_started, Pid}}`; of a supervisor with two such children
/// `{shutdown, {failed_to_start_child, b, {already_started, Pid}}}`; of `supervisor:start_child` `{error, {{already_started, Pid}, _}}`, and
/// the child is not there.
#[tokio::test(start_paused = true)]
async fn a_server_whose_name_is_taken_does_not_start() {
    let system = common::system("test");
    let both = SupervisorSpec::one_for_one().child(only("a", "one")).child(only("b", "one"));
    let failed = system.start(both).await.unwrap_err();
    let StartError::Child { child, error } = failed else { panic!("{failed}") };
    let (name, first) = holder(&error).unwrap();
    assert_eq!((&*child, name, &**first.path()), ("b", "one", "/a"));
    assert_eq!((system.alive(), system.crashes().count()), (0, 0));

    let root = system.start(SupervisorSpec::one_for_one().child(only("a", "one"))).await.unwrap();
    let a = system.whereis("one").unwrap();
    let failed = root.start_child(only("b", "one")).await.unwrap_err();
    let ChildError::Start(error) = &failed else { panic!("{failed}") };
    assert_eq!(holder(error), Some(("one", &a)));
    assert_eq!(error.to_string(), format!("already started: one is {a:?}"));
    assert_eq!((root.which_children().await.unwrap().len(), system.alive()), (1, 2));
    assert_eq!(system.whereis("one"), Some(a));
    root.stop().await;
}

/// OTP 25: who calls `gen_server:start_link` lives, and gets no exit signal, trapping or not.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_an_answer_and_no_signal() {
    struct Starter;
    impl Process for Starter {
        type Args = bool;
        type Msg = Reply<Result<Ref<Reply<()>>, StartError>>;
        const NAME: &'static str = "starter";
        async fn init(trap: bool, cx: &mut Cx<Self::Msg>) -> Result<Self, InitError> {
            cx.trap_exit(trap);
            Ok(Self)
        }
        async fn run(&mut self, cx: &mut Cx<Self::Msg>) -> Exit {
            loop {
                match cx.next().await {
                    Event::Msg(reply) => {
                        reply.send(cx.start_link::<Only>("b", ("one", None)).await);
                    }
                    _ => return Exit::error("a signal"),
                }
            }
        }
    }
    let system = common::system("test");
    let a = system.start(SupervisorSpec::one_for_one().child(only("a", "one"))).await.unwrap();
    for trap in [true, false] {
        let starter = system.spawn::<Starter>("/starter", trap).await.unwrap();
        for _ in 0..2 {
            let failed = starter.ask(|reply| reply).await.unwrap().unwrap_err();
            assert_eq!(holder(&failed), system.whereis("one").as_ref().map(|a| ("one", a)));
        }
        assert_eq!((system.find("/starter/b"), starter.pid().links(10).len()), (None, 0));
        starter.pid().kill();
        ended(starter.pid()).await;
    }
    a.stop().await;
}

/// Of what is below it, which is another matter: `{ok, Pid} = gen_server:start_link(..)` in an `init` is an error.
#[tokio::test(start_paused = true)]
async fn who_cannot_do_without_one_that_is_started_already_has_failed() {
    let system = common::system("test");
    let root = system.start(SupervisorSpec::one_for_one().child(only("a", "one"))).await.unwrap();
    let child = ChildSpec::server::<Only>("b", || ("two", Some("one")));
    let failed = root.start_child(child).await.unwrap_err();
    let ChildError::Start(StartError::Failed(why)) = &failed else { panic!("{failed}") };
    assert!(why.starts_with("already started: one is "), "{why}");
    assert_eq!((system.whereis("two"), system.alive()), (None, 2));
    root.stop().await;
}
