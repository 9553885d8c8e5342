//! Random scripts for a state machine, with what `gen_statem` of OTP 25 did with them (`otp/statem.py`): ours does the same, on either
//! engine.
#![expect(clippy::unwrap_used, reason = "a test")]

mod common;

use parking_lot::Mutex;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use supervision::{
    Actions, ChildSpec, Cx, Exit, InitError, Ref, Restart, StateMachine, Step, SupervisorSpec,
};

/// What it saw.
type Seen = Arc<Mutex<Vec<String>>>;

struct Script {
    rules: Vec<Value>,
    enters: Vec<Value>,
    seen: Seen,
}

fn actions(of: &Value) -> Actions<String> {
    of.as_array().unwrap().iter().fold(Actions::new(), |actions, action| {
        let event = action[2].as_str().unwrap().to_owned();
        let time = Duration::from_millis(action[1].as_u64().unwrap());
        match action[0].as_str().unwrap() {
            "s" => actions.state_timeout(time, event),
            "e" => actions.event_timeout(time, event),
            "n" => actions.next_event(event),
            "c" => actions.cancel(event),
            name => actions.timeout(name.to_owned(), time, event),
        }
    })
}

/// The first of them that is about that is used up.
fn take(from: &mut Vec<Value>, about: &Value) -> Option<Value> {
    let at = from.iter().position(|one| one[0] == *about)?;
    Some(from.remove(at))
}

impl StateMachine for Script {
    type Args = (Value, Seen);
    type Msg = String;
    type State = u64;
    const NAME: &'static str = "script";

    async fn init(
        (script, seen): Self::Args,
        _: &mut Cx<String>,
    ) -> Result<(u64, Self), InitError> {
        let list = |what: &str| script[what].as_array().unwrap().clone();
        Ok((0, Self { rules: list("rules"), enters: list("enters"), seen }))
    }

    async fn enter(&mut self, state: &u64, _: &mut Cx<String>) -> Actions<String> {
        self.seen.lock().push(format!(">{state}"));
        let enter = take(&mut self.enters, &(*state).into());
        enter.map_or_else(Actions::new, |enter| actions(&enter[1]))
    }

    async fn handle(
        &mut self,
        state: &u64,
        event: String,
        _: &mut Cx<String>,
    ) -> Step<u64, String> {
        self.seen.lock().push(format!("{event}@{state}"));
        let Some(rule) = take(&mut self.rules, &event.as_str().into()) else {
            return Step::keep();
        };
        let step = match (rule[1].as_u64(), rule[1].as_str()) {
            (Some(state), _) => Step::to(state),
            (_, Some("repeat")) => Step::repeat(),
            (_, Some("stop")) => return Step::stop(Exit::Normal),
            _ => Step::keep(),
        };
        let step = if rule[2] == true { step.postpone(event) } else { step };
        step.with(actions(&rule[3]))
    }
}

async fn trace(script: &Value) -> String {
    let (seen, system) = (Seen::default(), common::system("test"));
    let args = (script.clone(), Arc::clone(&seen));
    let machine = ChildSpec::state_machine::<Script>("script", move || args.clone());
    let root = SupervisorSpec::one_for_one().child(machine.restart(Restart::Temporary));
    let root = system.start(root).await.unwrap();
    let me: Ref<String> = Ref::of(system.find("/script").unwrap()).unwrap();
    for batch in script["batches"].as_array().unwrap() {
        // of one that has stopped nothing comes any more
        let events = batch.as_array().unwrap().iter().map(|event| event.as_str().unwrap());
        events.for_each(|event| drop(me.cast(event.to_owned())));
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let trace = seen.lock().join(" ");
    root.stop().await;
    trace
}

#[tokio::test(start_paused = true)]
async fn a_machine_does_what_that_of_otp_does() {
    let scripts = include_str!("otp/statem.jsonl").lines();
    let scripts: Vec<Value> = scripts.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(scripts.len() > 200);
    for script in scripts {
        assert_eq!(trace(&script).await, script["trace"].as_str().unwrap(), "{script}");
    }
}
