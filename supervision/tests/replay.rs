//! A crash is replayed from its report alone.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use common::SECOND;
use serde_json::{Value, json};
use supervision::{
    CrashReport, Cx, Event, Exit, InitError, Next, Process, Server, StateMachine, Step,
    replay::{Replay, ReplayError, Replayed, replay, replay_machine, replay_process},
    sys::{Question, SysError},
    testkit::{self, Kit, ended},
};

/// Adds what it is told; cannot add up to 13.
struct Sum(u32);

impl Server for Sum {
    type Args = u32;
    type Msg = u32;
    const NAME: &'static str = "sum";

    async fn init(start: u32, _: &mut Cx<u32>) -> Result<Self, InitError> {
        Ok(Self(start))
    }

    async fn handle(&mut self, n: u32, cx: &mut Cx<u32>) -> Next {
        cx.record(n.to_string().as_str());
        if n == 99 {
            std::future::pending::<()>().await;
        }
        self.0 += n;
        assert!(self.0 != 13, "thirteen");
        Next::Continue
    }
}

impl Replay for Sum {
    fn input(recorded: &str) -> Option<u32> {
        recorded.parse().ok()
    }
}

/// One that crashed over what it was told, and its report.
async fn crashed() -> (Kit<u32>, CrashReport) {
    let kit = common::server::<Sum>("sum", || 0).await;
    for n in [6, 5, 2] {
        kit.me.cast(n).unwrap();
    }
    ended(kit.me.pid()).await;
    let report = (*kit.system.crashes().list()[0]).clone();
    (kit, report)
}

#[tokio::test(start_paused = true)]
async fn a_report_is_enough_to_crash_again() {
    let (kit, mut report) = crashed().await;
    assert_eq!(report.inputs, ["6", "5", "2"]);
    let Replayed::Crashed(again) = replay::<Sum>(&report, || 0, SECOND).await.unwrap() else {
        panic!("it survived");
    };
    assert_eq!((&*again.reason, &again.location), ("thirteen", &report.location));
    assert_eq!(kit.system.crashes().count(), 1, "the sandbox is another system");
    // from another start it goes well
    let outcome = replay::<Sum>(&report, || 1, SECOND).await.unwrap();
    assert!(matches!(outcome, Replayed::Survived));
    report.inputs = vec!["99".to_owned()];
    let outcome = replay::<Sum>(&report, || 0, SECOND).await;
    assert!(matches!(outcome, Err(ReplayError::Timeout(_))));
    report.inputs = vec!["six".to_owned()];
    let outcome = replay::<Sum>(&report, || 0, SECOND).await;
    assert!(matches!(outcome, Err(ReplayError::Input(text)) if text == "six"));
    kit.root.stop().await;
}

/// Adds in three ways of behaving, and cannot add up to 13; its state can be shown and replaced, or not.
struct Long<const SHOWN: bool> {
    sum: u32,
}

impl<const SHOWN: bool> Long<SHOWN> {
    fn add(&mut self, n: u32, cx: &mut Cx<u32>) {
        cx.record(n.to_string().as_str());
        assert!(self.sum + n != 1013, "thirteen");
        self.sum += n;
    }

    fn shown(&self) -> Option<Value> {
        SHOWN.then(|| json!(self.sum))
    }

    fn replaced(&mut self, state: &Value) -> Result<(), SysError> {
        let sum = state.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|_| SHOWN);
        self.sum = sum.ok_or(SysError::NotSupported)?;
        Ok(())
    }
}

impl<const SHOWN: bool> Server for Long<SHOWN> {
    type Args = ();
    type Msg = u32;
    const NAME: &'static str = "long";

    async fn init((): (), _: &mut Cx<u32>) -> Result<Self, InitError> {
        Ok(Self { sum: 0 })
    }
    async fn handle(&mut self, n: u32, cx: &mut Cx<u32>) -> Next {
        self.add(n, cx);
        Next::Continue
    }
    fn state(&self) -> Option<Value> {
        self.shown()
    }
    fn replace_state(&mut self, state: Value) -> Result<(), SysError> {
        self.replaced(&state)
    }
}

impl<const SHOWN: bool> Replay for Long<SHOWN> {
    fn input(recorded: &str) -> Option<u32> {
        recorded.parse().ok()
    }
}

impl<const SHOWN: bool> StateMachine for Long<SHOWN> {
    type Args = ();
    type Msg = u32;
    type State = bool;
    const NAME: &'static str = "long";

    async fn init((): (), _: &mut Cx<u32>) -> Result<(bool, Self), InitError> {
        Ok((false, Self { sum: 0 }))
    }
    async fn handle(&mut self, large: &bool, n: u32, cx: &mut Cx<u32>) -> Step<bool, u32> {
        cx.record(n.to_string().as_str());
        assert!(!large || self.sum + n != 1013, "thirteen");
        self.sum += n;
        Step::to(self.sum >= 1000)
    }
    fn show(&self, large: &bool) -> Option<Value> {
        SHOWN.then(|| json!({ "large": large, "sum": self.sum }))
    }
    fn replace_state(&mut self, shown: Value) -> Result<bool, SysError> {
        self.replaced(&shown["sum"])?;
        shown["large"].as_bool().ok_or(SysError::NotSupported)
    }
}

impl<const SHOWN: bool> Process for Long<SHOWN> {
    type Args = ();
    type Msg = u32;
    const NAME: &'static str = "long";

    async fn init((): (), _: &mut Cx<u32>) -> Result<Self, InitError> {
        Ok(Self { sum: 0 })
    }
    async fn run(&mut self, cx: &mut Cx<u32>) -> Exit {
        loop {
            let event = cx.next_answering(|question| {
                if let Question::Replace(state) = question {
                    self.replaced(&state)?;
                }
                self.shown().ok_or(SysError::NotSupported)
            });
            match event.await {
                Event::Msg(n) => self.add(n, cx),
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }
    fn state(&self) -> Option<Value> {
        self.shown()
    }
}

/// What is needed to crash is far behind what a report keeps of inputs.
async fn replays<const SHOWN: bool>() -> [(CrashReport, Replayed); 3] {
    let read = |recorded: &str| recorded.parse().ok();
    let crash = async |kit: testkit::Kit<u32>| {
        for n in [900, 100, 1, 2, 3, 4, 3] {
            kit.me.cast(n).unwrap();
        }
        ended(kit.me.pid()).await;
        let report = (*kit.system.crashes().list()[0]).clone();
        assert_eq!((&*report.reason, report.inputs.len()), ("thirteen", 4));
        kit.root.stop().await;
        report
    };
    let server = crash(common::server::<Long<SHOWN>>("long", || ()).await).await;
    let machine =
        crash(testkit::state_machine_on::<Long<SHOWN>>(common::engine(), "long", || ()).await)
            .await;
    let process = crash(testkit::process::<Long<SHOWN>>("long", || ()).await).await;
    let again = [
        replay::<Long<SHOWN>>(&server, || (), SECOND).await.unwrap(),
        replay_machine::<Long<SHOWN>>(&machine, || (), read, SECOND).await.unwrap(),
        replay_process::<Long<SHOWN>>(&process, || (), read, SECOND).await.unwrap(),
    ];
    let mut again = again.into_iter();
    [server, machine, process].map(|report| (report, again.next().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn a_replay_starts_from_the_reports_state_where_there_is_one() {
    for (report, outcome) in replays::<true>().await {
        assert!(report.state.is_some());
        let Replayed::Crashed(again) = outcome else { panic!("{} survived", report.process) };
        assert_eq!((&again.reason, &again.location), (&report.reason, &report.location));
        assert_eq!(again.inputs, ["3"], "the inputs before are in the state");
    }
    for (report, outcome) in replays::<false>().await {
        assert_eq!(report.state, None);
        assert!(
            matches!(outcome, Replayed::Survived),
            "{}: its inputs are not enough",
            report.process
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_goes_on_from_the_start_when_the_state_is_not_enough() {
    let (kit, mut report) = crashed().await;
    // a state that it does not take
    report.state = Some(json!("thirteen"));
    assert!(matches!(replay::<Sum>(&report, || 0, SECOND).await, Ok(Replayed::Crashed(_))));
    // one with which it goes well
    report.state = Some(json!(1));
    report.inputs = ["1000", "13"].map(str::to_owned).to_vec();
    let outcome = replay::<Long<true>>(&report, || (), SECOND).await;
    assert!(matches!(outcome, Ok(Replayed::Crashed(again)) if again.inputs == ["1000", "13"]));
    kit.root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_input_that_cannot_be_made_again_matters_only_when_it_is_needed() {
    let kit = common::server::<Long<true>>("long", || ()).await;
    for n in [1000, 10, 3] {
        kit.me.cast(n).unwrap();
    }
    ended(kit.me.pid()).await;
    let mut report = (*kit.system.crashes().list()[0]).clone();
    // what was before the last input is in the state
    report.inputs[0] = "a call".to_owned();
    assert!(matches!(replay::<Long<true>>(&report, || (), SECOND).await, Ok(Replayed::Crashed(_))));
    // with that it goes well: all of them are needed
    report.state = Some(json!(1));
    let outcome = replay::<Long<true>>(&report, || (), SECOND).await;
    assert!(matches!(outcome, Err(ReplayError::Input(text)) if text == "a call"));
    kit.root.stop().await;
}
