//! What state machines can do: postpone, enter states, insert events, time out.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::SECOND;
use std::time::Duration;
use supervision::{
    Actions, CallError, Cx, Exit, InitError, Ref, Reply, StateMachine, Step, sys,
    testkit::{self, Kit, Probe, ended},
};

/// A turnstile: coin, push; and everything a state machine can do.
#[derive(Default)]
struct Gate {
    log: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Turn {
    Locked,
    Open,
}

#[derive(Debug)]
enum Move {
    Coin,
    Push(Reply<&'static str>),
    Note(&'static str),
    /// A state time-out of 100 ms, an event time-out of 50, one named of 300.
    Timers,
    Again,
    Forget,
    Leave,
    Log(Reply<Vec<String>>),
}

impl StateMachine for Gate {
    type Args = ();
    type Msg = Move;
    type State = Turn;
    const NAME: &'static str = "gate";
    const INBOX: usize = 8;

    async fn init((): (), _: &mut Cx<Move>) -> Result<(Turn, Self), InitError> {
        Ok((Turn::Locked, Self::default()))
    }

    async fn enter(&mut self, state: &Turn, _: &mut Cx<Move>) -> Actions<Move> {
        self.log.push(format!("enter {state:?}"));
        Actions::new()
    }

    async fn handle(&mut self, state: &Turn, what: Move, _: &mut Cx<Move>) -> Step<Turn, Move> {
        match (state, what) {
            (Turn::Locked, Move::Coin) => Step::to(Turn::Open).with(
                Actions::new().next_event(Move::Note("first")).next_event(Move::Note("second")),
            ),
            (Turn::Locked, push @ Move::Push(_)) => {
                self.log.push("postponed".to_owned());
                Step::keep().postpone(push)
            }
            (Turn::Open, Move::Push(reply)) => {
                self.log.push("pushed".to_owned());
                Step::to(Turn::Locked).with(Actions::new().reply(reply, "through"))
            }
            (Turn::Open, Move::Coin) => Step::to(Turn::Open),
            (_, Move::Note(text)) => {
                self.log.push(text.to_owned());
                Step::keep()
            }
            (_, Move::Timers) => {
                let ms = Duration::from_millis;
                Step::keep().with(
                    Actions::new()
                        .state_timeout(ms(100), Move::Note("state"))
                        .event_timeout(ms(50), Move::Note("event"))
                        .timeout("named", ms(300), Move::Note("named")),
                )
            }
            (_, Move::Again) => Step::repeat(),
            (_, Move::Forget) => Step::keep().with(Actions::new().cancel("named")),
            (_, Move::Leave) => Step::stop(Exit::shutdown("left")),
            (_, Move::Log(reply)) => {
                let log = std::mem::take(&mut self.log);
                Step::keep().with(Actions::new().reply(reply, log))
            }
        }
    }
}

async fn gate() -> Kit<Move> {
    testkit::state_machine_on::<Gate>(common::engine(), "gate", || ()).await
}

async fn log(kit: &Kit<Move>) -> Vec<String> {
    kit.me.call(Move::Log, SECOND).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_machine_postpones_enters_and_inserts_events() {
    let kit = gate().await;
    assert_eq!(log(&kit).await, ["enter Locked"]);
    let pushed = kit.me.call(Move::Push, SECOND);
    let coins = async {
        tokio::task::yield_now().await;
        kit.me.cast(Move::Note("waits")).unwrap();
        kit.me.cast(Move::Coin).unwrap();
        kit.me.cast(Move::Note("last")).unwrap();
    };
    let (pushed, ()) = tokio::join!(pushed, coins);
    assert_eq!(pushed, Ok("through"));
    assert_eq!(
        log(&kit).await,
        ["postponed", "waits", "enter Open", "first", "second", "pushed", "enter Locked", "last"]
    );
    assert_eq!(sys::state(kit.me.pid(), SECOND).await.unwrap(), "Locked");
    // to the state it is in is not a change, unless it is asked for
    kit.me.cast(Move::Coin).unwrap();
    kit.me.cast(Move::Coin).unwrap();
    assert_eq!(log(&kit).await, ["enter Open", "first", "second"]);
    kit.me.cast(Move::Again).unwrap();
    assert_eq!(log(&kit).await, ["enter Open"]);
    kit.me.cast(Move::Leave).unwrap();
    assert_eq!(ended(kit.me.pid()).await.to_string(), "{shutdown, left}");
    kit.root.stop().await;
}

/// All that is due in a second happens: time is paused, and goes on when nobody has anything to do.
async fn a_second_passes() {
    tokio::time::sleep(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_machines_time_outs_end_with_what_they_are_about() {
    let kit = gate().await;
    log(&kit).await;
    // nothing happens: all three
    kit.me.cast(Move::Timers).unwrap();
    a_second_passes().await;
    assert_eq!(log(&kit).await, ["event", "state", "named"]);
    // an event takes back the event's
    kit.me.cast(Move::Timers).unwrap();
    kit.me.cast(Move::Note("x")).unwrap();
    a_second_passes().await;
    assert_eq!(log(&kit).await, ["x", "state", "named"]);
    // a new state takes back the state's
    kit.me.cast(Move::Timers).unwrap();
    kit.me.cast(Move::Coin).unwrap();
    a_second_passes().await;
    assert_eq!(log(&kit).await, ["enter Open", "first", "second", "named"]);
    // a name is cancelled, or replaced
    kit.me.cast(Move::Timers).unwrap();
    kit.me.cast(Move::Timers).unwrap();
    a_second_passes().await;
    assert_eq!(log(&kit).await, ["event", "state", "named"]);
    kit.me.cast(Move::Timers).unwrap();
    kit.me.cast(Move::Forget).unwrap();
    a_second_passes().await;
    assert_eq!(log(&kit).await, ["state"]);
    kit.root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn postponed_messages_have_a_limit() {
    let kit = gate().await;
    let probe: Probe<&'static str> = Probe::start(&kit.system).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..9 {
        let me = kit.me.clone();
        calls.spawn(async move { me.call(Move::Push, SECOND).await });
        tokio::task::yield_now().await;
    }
    assert_eq!(ended(kit.me.pid()).await.to_string(), "too many messages are postponed");
    while let Some(call) = calls.join_next().await {
        let why = Exit::error("too many messages are postponed");
        assert_eq!(call.unwrap(), Err(CallError::Gone(Some(why))));
    }
    drop(probe);
    kit.root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_repeated_goes_on() {
    let kit = gate().await;
    log(&kit).await;
    let (mut push, me) = (tokio::task::JoinSet::new(), kit.me.clone());
    push.spawn(async move { me.call(Move::Push, SECOND * 9).await });
    tokio::task::yield_now().await;
    kit.me.cast(Move::Timers).unwrap();
    tokio::time::sleep(SECOND / 20).await;
    kit.me.cast(Move::Again).unwrap();
    assert_eq!(log(&kit).await, ["postponed", "event", "enter Locked"]);
    // it is as old as it was, and what was postponed waits for another
    tokio::time::sleep(SECOND / 20).await;
    assert_eq!(log(&kit).await, ["state"]);
    kit.me.cast(Move::Coin).unwrap();
    assert_eq!(push.join_next().await.unwrap().unwrap(), Ok("through"));
    kit.root.stop().await;
}

/// Asks somebody else when it enters a state, and has a time-out for each who waits.
struct Desk {
    clerk: Option<Ref<Move>>,
    log: Vec<String>,
}

enum Call {
    Open,
    /// Who waits, and for how long.
    Wait(u32, Duration),
    Served(u32),
    TooLong(u32),
    Log(Reply<Vec<String>>),
}

impl StateMachine for Desk {
    type Args = Option<Ref<Move>>;
    type Msg = Call;
    type State = Turn;
    const NAME: &'static str = "desk";

    async fn init(clerk: Option<Ref<Move>>, _: &mut Cx<Call>) -> Result<(Turn, Self), InitError> {
        Ok((Turn::Locked, Self { clerk, log: Vec::new() }))
    }

    async fn enter(&mut self, state: &Turn, cx: &mut Cx<Call>) -> Actions<Call> {
        if let Some(clerk) = &self.clerk {
            let log = clerk.call(Move::Log, SECOND).await.unwrap();
            self.log.push(format!("{state:?} knows {} of {}", log.len(), cx.pid().path()));
        }
        Actions::new()
    }

    async fn handle(&mut self, _: &Turn, call: Call, _: &mut Cx<Call>) -> Step<Turn, Call> {
        let name = |who: u32| format!("caller {who}");
        match call {
            Call::Open => return Step::to(Turn::Open),
            Call::Wait(who, long) => {
                return Step::keep().with(Actions::new().timeout(
                    name(who),
                    long,
                    Call::TooLong(who),
                ));
            }
            Call::Served(who) => return Step::keep().with(Actions::new().cancel(name(who))),
            Call::TooLong(who) => self.log.push(name(who)),
            Call::Log(reply) => reply.send(std::mem::take(&mut self.log)),
        }
        Step::keep()
    }
}

/// OTP: a state enter call is a callback as any other; the start waits for the first.
#[tokio::test(start_paused = true)]
async fn to_enter_a_state_may_take_time_and_what_follows_waits() {
    let clerk = gate().await;
    let to = clerk.me.clone();
    let start = move || Some(to.clone());
    let desk = testkit::state_machine_on::<Desk>(common::engine(), "desk", start).await;
    let log = desk.me.call(Call::Log, SECOND).await.unwrap();
    assert_eq!(log, ["Locked knows 1 of /desk"]);
    clerk.me.cast(Move::Note("one")).unwrap();
    clerk.me.cast(Move::Note("two")).unwrap();
    desk.me.cast(Call::Open).unwrap();
    let log = desk.me.call(Call::Log, SECOND).await.unwrap();
    assert_eq!(log, ["Open knows 2 of /desk"]);
    desk.root.stop().await;
    clerk.root.stop().await;
}

/// OTP: `{{timeout, {caller, 7}}, Time, late}`: names are any term.
#[tokio::test(start_paused = true)]
async fn time_outs_have_names_that_are_made_when_they_are_needed() {
    let desk = testkit::state_machine_on::<Desk>(common::engine(), "desk", || None).await;
    let ms = Duration::from_millis;
    for who in 0..4 {
        desk.me.cast(Call::Wait(who, ms(100 + u64::from(who)))).unwrap();
    }
    desk.me.cast(Call::Served(1)).unwrap();
    desk.me.cast(Call::Wait(2, ms(300))).unwrap();
    tokio::time::sleep(ms(200)).await;
    assert_eq!(desk.me.call(Call::Log, SECOND).await.unwrap(), ["caller 0", "caller 3"]);
    // thousands that have come make no room for those that are still to come
    for who in 100..3_000 {
        desk.me.send(Call::Wait(who, ms(0))).await.unwrap();
    }
    tokio::time::sleep(ms(200)).await;
    let log = desk.me.call(Call::Log, SECOND).await.unwrap();
    assert_eq!((log.len(), log.iter().filter(|who| **who == "caller 2").count()), (2_901, 1));
    desk.root.stop().await;
}

/// Does what its script says of a message, once, and notes it.
struct Script(Vec<(&'static str, Deed)>, Vec<String>);

type Deed = fn() -> Step<u8, &'static str>;

impl StateMachine for Script {
    type Args = Vec<(&'static str, Deed)>;
    type Msg = &'static str;
    type State = u8;
    const NAME: &'static str = "script";

    async fn init(script: Self::Args, _: &mut Cx<&'static str>) -> Result<(u8, Self), InitError> {
        Ok((0, Self(script, Vec::new())))
    }

    async fn handle(
        &mut self,
        state: &u8,
        what: &'static str,
        _: &mut Cx<&'static str>,
    ) -> Step<u8, &'static str> {
        self.1.push(format!("{what}{state}"));
        let deed = self.0.iter().position(|(of, _)| *of == what);
        deed.map_or_else(Step::keep, |deed| self.0.remove(deed).1())
    }

    fn show(&self, _: &u8) -> Option<serde_json::Value> {
        Some(self.1.join(" ").into())
    }
}

const NO: Duration = Duration::ZERO;

fn act(with: Actions<&'static str>) -> Step<u8, &'static str> {
    Step::keep().with(with)
}

/// What `gen_statem` of OTP 25 does with the same.
const SCRIPTS: [(&[(&str, Deed)], &str); 13] = [
    (&[("go", || act(Actions::new().state_timeout(NO, "s")))], "go0 s0 a0 b0"),
    (&[("go", || act(Actions::new().event_timeout(NO, "e")))], "go0 e0 a0 b0"),
    (&[("go", || act(Actions::new().timeout("x", NO, "x")))], "go0 x0 a0 b0"),
    (
        &[("go", || {
            act(Actions::new().event_timeout(NO, "e").timeout("x", NO, "x").state_timeout(NO, "s"))
        })],
        "go0 e0 x0 s0 a0 b0",
    ),
    // another event cancels it
    (
        &[("go", || act(Actions::new().timeout("x", NO, "x").event_timeout(NO, "e")))],
        "go0 x0 a0 b0",
    ),
    (&[("go", || act(Actions::new().event_timeout(NO, "e").next_event("n")))], "go0 n0 a0 b0"),
    (
        &[("go", || act(Actions::new().next_event("n").state_timeout(NO, "s").next_event("m")))],
        "go0 n0 m0 s0 a0 b0",
    ),
    // before it came the state was another, or it was cancelled, or replaced
    (
        &[
            ("go", || {
                act(Actions::new().next_event("n").state_timeout(NO, "s").timeout("x", NO, "x"))
            }),
            ("n", || Step::to(1)),
        ],
        "go0 n0 x1 a1 b1",
    ),
    (
        &[
            ("go", || act(Actions::new().next_event("n").timeout("x", NO, "x"))),
            ("n", || act(Actions::new().cancel("x"))),
        ],
        "go0 n0 a0 b0",
    ),
    (
        &[
            ("go", || {
                act(Actions::new().next_event("n").timeout("x", NO, "x").state_timeout(NO, "s"))
            }),
            ("n", || act(Actions::new().timeout("x", NO, "y"))),
        ],
        "go0 n0 s0 y0 a0 b0",
    ),
    (
        &[
            ("go", || act(Actions::new().state_timeout(NO, "s").timeout("x", NO, "x"))),
            ("s", || act(Actions::new().state_timeout(NO, "t").next_event("n"))),
        ],
        "go0 s0 n0 x0 t0 a0 b0",
    ),
    // behind what was postponed
    (
        &[
            ("go", || Step::keep().postpone("go")),
            ("a", || Step::to(1).with(Actions::new().state_timeout(NO, "s").next_event("n"))),
        ],
        "go0 a0 n1 go1 s1 b1",
    ),
    (
        &[
            ("go", || act(Actions::new().state_timeout(NO, "s"))),
            ("s", || Step::stop(Exit::Normal)),
        ],
        "",
    ),
];

/// Behind the queue of events, before what waits in the inbox; until then they are cancelled and replaced like others.
#[tokio::test(start_paused = true)]
async fn a_time_out_of_zero_comes_before_what_waits() {
    for (n, (script, expected)) in SCRIPTS.into_iter().enumerate() {
        let args = move || script.to_vec();
        let kit = testkit::state_machine_on::<Script>(common::engine(), "script", args).await;
        for what in ["go", "a", "b"] {
            kit.me.cast(what).unwrap();
        }
        tokio::time::sleep(SECOND).await;
        let seen = sys::state(kit.me.pid(), SECOND).await;
        let seen = seen.map_or_else(|_| String::new(), |seen| seen.as_str().unwrap().to_owned());
        assert_eq!(seen, expected, "{n}");
        kit.root.stop().await;
    }
}
