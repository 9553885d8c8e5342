//! A door with a code lock that locks itself: a state machine. Time is simulated, it ends at once.
//!
//! `cargo run -p supervision --example door`
#![expect(clippy::print_stdout, reason = "a program")]

use std::time::Duration;
use supervision::{
    Actions, ChildSpec, Cx, InitError, Reply, StateMachine, Step, SupervisorSpec, System, sys,
};

struct Door {
    code: &'static str,
    wrong: u32,
}

#[derive(Debug, PartialEq)]
enum Is {
    Locked,
    Unlocked,
    /// After three wrong codes.
    Blocked,
}

enum Msg {
    Code(&'static str),
    Open(Reply<&'static str>),
    /// The time is up.
    Lock,
}

impl StateMachine for Door {
    type Args = &'static str;
    type Msg = Msg;
    type State = Is;
    const NAME: &'static str = "door";

    async fn init(code: &'static str, cx: &mut Cx<Msg>) -> Result<(Is, Self), InitError> {
        cx.register("door")?;
        Ok((Is::Locked, Self { code, wrong: 0 }))
    }

    async fn enter(&mut self, state: &Is, _: &mut Cx<Msg>) -> Actions<Msg> {
        println!("  the door is {state:?}");
        self.wrong = 0;
        match state {
            Is::Locked => Actions::new(),
            Is::Unlocked => Actions::new().state_timeout(Duration::from_secs(10), Msg::Lock),
            Is::Blocked => Actions::new().state_timeout(Duration::from_secs(60), Msg::Lock),
        }
    }

    async fn handle(&mut self, state: &Is, msg: Msg, _: &mut Cx<Msg>) -> Step<Is, Msg> {
        match (state, msg) {
            (Is::Locked, Msg::Code(code)) if code == self.code => Step::to(Is::Unlocked),
            (Is::Locked, Msg::Code(_)) => {
                self.wrong += 1;
                if self.wrong < 3 { Step::keep() } else { Step::to(Is::Blocked) }
            }
            (Is::Unlocked, Msg::Open(reply)) => {
                Step::keep().with(Actions::new().reply(reply, "come in"))
            }
            // whoever knocks waits until somebody has unlocked it
            (Is::Locked | Is::Blocked, open @ Msg::Open(_)) => Step::keep().postpone(open),
            (_, Msg::Lock) => Step::to(Is::Locked),
            (Is::Unlocked | Is::Blocked, Msg::Code(_)) => Step::keep(),
        }
    }
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let system = System::new("demo");
    let root =
        SupervisorSpec::one_for_one().child(ChildSpec::state_machine::<Door>("door", || "1234"));
    let root = system.start(root).await?;
    let door = system.lookup::<Msg>("door").ok_or("no door")?;
    let wait = |s| tokio::time::sleep(Duration::from_secs(s));

    println!("somebody knocks; two seconds later the code comes");
    let knock = door.call(Msg::Open, Duration::from_secs(60));
    let code = async {
        wait(2).await;
        door.cast(Msg::Code("1234"))
    };
    let (answer, sent) = tokio::join!(knock, code);
    sent?;
    println!("  \"{}\"", answer?);

    println!("ten seconds pass");
    wait(11).await;

    println!("three wrong codes, and the right one too late");
    for code in ["0000", "1111", "2222", "1234"] {
        door.cast(Msg::Code(code))?;
    }
    wait(1).await;
    println!("  sys says: {}", sys::state(door.pid(), Duration::from_secs(1)).await?);
    println!("a minute passes");
    wait(61).await;
    root.stop().await;
    Ok(())
}
