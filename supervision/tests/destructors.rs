//! Destructors that panic: of what a handler had in its hands when it was cut, of messages, timers, arguments. Each is reported, the
//! process ends for the reason it was to end for, and nobody else comes to harm.
#![expect(dead_code, reason = "what is only to be dropped")]

mod common;

use common::{BOTH, SECOND, What};
use std::time::Duration;
use supervision::{
    ChildError, ChildSpec, Cx, Event, Exit, InitError, Next, Overflow, Process, Reply, Server,
    StartError, StateMachine, Step, SupervisorSpec,
    testkit::{Kit, Probe, ended, process, state_machine_on},
};

/// Says so when it is dropped.
#[derive(Clone)]
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(self.0.is_empty(), "{}", self.0);
    }
}

const DUD: Bomb = Bomb("");

enum Say {
    /// Waits for ever, with that in its hands.
    Hold(Bomb),
    Carry(Bomb),
    Later(Bomb),
    Every(Bomb),
    Next(Bomb),
    Call(Reply<()>),
    Stop,
}

/// Fragile in its start, itself, and in its last words.
#[derive(Clone)]
struct Fragile {
    init: Option<Bomb>,
    own: Bomb,
    last: Option<Bomb>,
}

const SOUND: Fragile = Fragile { init: None, own: DUD, last: None };

async fn hold<T>(_bomb: Bomb) -> T {
    std::future::pending().await
}

impl Fragile {
    async fn new(mut plan: Self) -> Result<Self, InitError> {
        match plan.init.take() {
            Some(bomb) => hold(bomb).await,
            None => Ok(plan),
        }
    }

    async fn act(&mut self, what: Say, cx: &mut Cx<Say>) -> Next {
        match what {
            Say::Hold(bomb) => hold(bomb).await,
            Say::Carry(_) | Say::Call(_) => {}
            Say::Later(bomb) => drop(cx.send_after(SECOND * 60, Say::Carry(bomb))),
            Say::Every(bomb) => {
                cx.send_every(SECOND * 60, move || {
                    let Bomb(_) = &bomb;
                    Say::Stop
                });
            }
            Say::Next(bomb) => {
                cx.continue_with(Say::Stop);
                cx.continue_with(Say::Carry(bomb));
            }
            Say::Stop => return Next::Stop(Exit::error("told to")),
        }
        Next::Continue
    }

    async fn end(&mut self) {
        if let Some(bomb) = self.last.take() {
            hold::<()>(bomb).await;
        }
    }
}

impl Server for Fragile {
    type Args = Self;
    type Msg = Say;
    const NAME: &'static str = "fragile";
    const INBOX: usize = 3;
    const OVERFLOW: Overflow = Overflow::DropOldest;

    async fn init(plan: Self, _: &mut Cx<Say>) -> Result<Self, InitError> {
        Self::new(plan).await
    }

    async fn handle(&mut self, what: Say, cx: &mut Cx<Say>) -> Next {
        self.act(what, cx).await
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<Say>) {
        self.end().await;
    }
}

impl Process for Fragile {
    type Args = Self;
    type Msg = Say;
    const NAME: &'static str = "fragile";
    const INBOX: usize = 3;
    const OVERFLOW: Overflow = Overflow::DropOldest;

    async fn init(plan: Self, _: &mut Cx<Say>) -> Result<Self, InitError> {
        Self::new(plan).await
    }

    async fn run(&mut self, cx: &mut Cx<Say>) -> Exit {
        loop {
            if let Event::Msg(what) = cx.next().await
                && let Next::Stop(exit) = self.act(what, cx).await
            {
                return exit;
            }
        }
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<Say>) {
        self.end().await;
    }
}

async fn kit(what: What, plan: Fragile) -> Kit<Say> {
    match what {
        What::Process => process::<Fragile>("fragile", move || plan.clone()).await,
        What::Server => common::server::<Fragile>("fragile", move || plan.clone()).await,
    }
}

/// What is reported of it, beside that it ended.
fn panics<M: Send + 'static>(kit: &Kit<M>) -> Vec<String> {
    let reports = kit.system.crashes().list();
    let panics = reports.iter().rev().filter(|report| report.location.contains("destructors.rs"));
    panics.map(|report| report.reason.clone()).collect()
}

/// Lets all run that can.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_had_in_its_hands_when_it_was_cut() {
    for what in BOTH {
        for (end, word) in [(Exit::Killed, "killed"), (Exit::error("away"), "away")] {
            let kit = kit(what, Fragile { own: Bomb("own"), ..SOUND }).await;
            let mut probe: Probe<()> = Probe::start(&kit.system).await;
            kit.me.pid().monitor(probe.pid());
            kit.me.cast(Say::Hold(Bomb("hands"))).unwrap();
            settle().await;
            if word == "killed" {
                kit.me.pid().kill();
            } else {
                kit.me.pid().exit(end);
            }
            assert_eq!(ended(kit.me.pid()).await.to_string(), word, "{what:?}");
            assert_eq!(probe.exit().await.1.to_string(), word);
            assert_eq!(panics(&kit), ["hands", "own"], "{what:?}, {word}");
        }
        // its supervisor stops it
        let kit = kit(what, SOUND).await;
        kit.me.cast(Say::Hold(Bomb("hands"))).unwrap();
        settle().await;
        assert_eq!(kit.root.stop().await.word(), "shutdown");
        assert_eq!(kit.me.pid().exit_reason().unwrap().word(), "shutdown");
        assert_eq!((panics(&kit).len(), kit.system.alive()), (1, 0), "{what:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_its_start_and_its_last_words_had_in_their_hands() {
    for what in BOTH {
        let kit = kit(what, Fragile { last: Some(Bomb("last")), ..SOUND }).await;
        kit.me.cast(Say::Stop).unwrap();
        settle().await;
        kit.me.pid().kill();
        assert_eq!(ended(kit.me.pid()).await.word(), "killed");
        assert_eq!(panics(&kit), ["last"], "{what:?}");

        let plan = Fragile { init: Some(Bomb("start")), ..SOUND };
        let child = match what {
            What::Process => ChildSpec::process::<Fragile>("slow", move || plan.clone()),
            What::Server => ChildSpec::server::<Fragile>("slow", move || plan.clone()),
        };
        let late = kit.root.start_child(child.ready_within(SECOND)).await.unwrap_err();
        assert!(matches!(late, ChildError::Start(StartError::Timeout(_))), "{what:?}: {late}");
        assert!(panics(&kit).contains(&"start".to_owned()), "{what:?}: {:?}", panics(&kit));
        assert!(kit.root.pid().is_alive());
        assert!(kit.system.find("/slow").is_none());
    }
}

/// Each by itself: two panics at once would end the program.
#[tokio::test(start_paused = true)]
async fn what_waited_and_what_was_to_come() {
    for what in BOTH {
        let kit = kit(what, Fragile { own: Bomb("own"), ..SOUND }).await;
        for bomb in ["timer 1", "timer 2"] {
            kit.me.cast(Say::Later(Bomb(bomb))).unwrap();
        }
        kit.me.cast(Say::Every(Bomb("repeats"))).unwrap();
        settle().await;
        kit.me.cast(Say::Next(Bomb("continued"))).unwrap();
        for bomb in ["waits 1", "waits 2"] {
            kit.me.cast(Say::Carry(Bomb(bomb))).unwrap();
        }
        assert_eq!(ended(kit.me.pid()).await.to_string(), "told to", "{what:?}");
        let order = ["timer 1", "timer 2", "repeats", "continued", "own", "waits 1", "waits 2"];
        assert_eq!(panics(&kit), order, "{what:?}");
        assert_eq!(kit.system.unhandled(), 3);
    }
}

/// It is dropped by who sends, who has nothing to do with it; and whose call it was learns it at once.
#[tokio::test(start_paused = true)]
async fn what_makes_room_for_another() {
    for what in BOTH {
        let (one, two) = (kit(what, SOUND).await, kit(what, SOUND).await);
        let mut probe: Probe<()> = Probe::start(&one.system).await;
        one.me.cast(Say::Hold(DUD)).unwrap();
        settle().await;
        let calls = one.me.call(Say::Call, SECOND * 60);
        let sends = async {
            one.me.cast(Say::Carry(Bomb("oldest"))).unwrap();
            for _ in 0..3 {
                one.me.cast(Say::Carry(DUD)).unwrap();
            }
        };
        let began = tokio::time::Instant::now();
        let (called, ()) = tokio::join!(calls, sends);
        assert!(called.is_err() && began.elapsed() < SECOND, "{called:?}");
        assert_eq!(panics(&one), ["oldest"], "{what:?}");
        assert_eq!(
            one.system.crashes().list()[0].inputs,
            ["a message that was dropped for others"]
        );
        // so does an answer that nobody is there for
        let (asker, me) = (two.me.clone(), one.me.pid().clone());
        ended({
            two.me.pid().kill();
            two.me.pid()
        })
        .await;
        let asked: Probe<Reply<()>> = Probe::start(&one.system).await;
        asked.me().send_request(&asker, |reply| reply, |_| Say::Carry(Bomb("answer")));
        let mut asked = asked;
        asked.message().await.send(());
        assert_eq!(panics(&two), ["answer"], "{what:?}");
        assert!(me.is_alive() && probe.pending().is_none());
    }
}

/// Panics when it is cloned, or when its clone is dropped.
struct Args(&'static str);

impl Clone for Args {
    fn clone(&self) -> Self {
        assert!(self.0 != "clone", "clone");
        Self(self.0)
    }
}

impl Drop for Args {
    fn drop(&mut self) {
        assert!(self.0 != "drop", "drop");
    }
}

struct Takes {
    _args: std::mem::ManuallyDrop<Args>,
}

impl Server for Takes {
    type Args = Args;
    type Msg = ();
    const NAME: &'static str = "takes";

    async fn init(args: Args, _: &mut Cx<()>) -> Result<Self, InitError> {
        Ok(Self { _args: std::mem::ManuallyDrop::new(args) })
    }

    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Next {
        Next::Continue
    }
}

#[tokio::test]
async fn arguments_of_an_instance_are_its_own() {
    let system = common::system("test");
    let root = SupervisorSpec::simple_one_for_one(ChildSpec::server_with::<Takes>("takes"));
    let root = system.start(root).await.unwrap();
    let good = root.start_instance_with(Args("")).await.unwrap();
    for bad in ["clone", "drop"] {
        let failed = root.start_instance_with(Args(bad)).await.unwrap_err();
        let ChildError::Start(StartError::Exited(Exit::Crash(report))) = failed else {
            panic!("{bad}: {failed}");
        };
        assert_eq!((&*report.reason, &*report.path), (bad, "/"));
        assert_eq!(report.inputs, ["the arguments of an instance of takes"]);
    }
    assert!(good.to_ref::<()>().is_ok() && root.pid().is_alive());
    assert_eq!(root.count_children().await.unwrap().active, 1);
    root.stop().await;
    assert_eq!(system.alive(), 0);
}

/// Puts off what it gets.
struct Later;

impl StateMachine for Later {
    type Args = ();
    type Msg = Bomb;
    type State = ();
    const NAME: &'static str = "later";

    async fn init((): (), _: &mut Cx<Bomb>) -> Result<((), Self), InitError> {
        Ok(((), Self))
    }

    async fn handle(&mut self, (): &(), bomb: Bomb, _: &mut Cx<Bomb>) -> Step<(), Bomb> {
        Step::keep().postpone(bomb)
    }
}

#[tokio::test(start_paused = true)]
async fn of_what_a_machine_has_put_off() {
    let kit = state_machine_on::<Later>(common::engine(), "later", || ()).await;
    for bomb in ["one", "two", ""] {
        kit.me.cast(Bomb(bomb)).unwrap();
    }
    tokio::time::sleep(SECOND).await;
    kit.me.pid().exit(Exit::error("told to"));
    assert_eq!(ended(kit.me.pid()).await, Exit::error("told to"));
    assert_eq!(panics(&kit), ["one", "two"]);
    assert_eq!(kit.system.unhandled(), 3, "nobody has handled them");
    kit.root.stop().await;
}
