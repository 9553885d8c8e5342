//! The same behaviour three times, with words for its messages.

use serde_json::{Value, json};
use std::{borrow::Cow, time::Duration};
use supervision::{Cx, Event, Exit, InitError, Next, Process, Server, StateMachine, Step};

pub const SECOND: Duration = Duration::from_secs(1);

/// Has words for its messages, and no secret in them.
#[derive(Debug)]
pub enum Say {
    Add(u32),
    Password(#[allow(dead_code, reason = "nobody is to see it")] &'static str),
    Boom,
    Fail,
    Hang,
    Shout(Vec<u8>),
    Wordless,
}

pub fn word(say: &Say) -> Cow<'static, str> {
    match say {
        Say::Add(n) => format!("add {n}").into(),
        Say::Password(_) => "password".into(),
        Say::Boom => "boom".into(),
        Say::Fail => "fail".into(),
        Say::Hang => "hang".into(),
        Say::Shout(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
        Say::Wordless => panic!("no word"),
    }
}

pub async fn act(sum: &mut u32, say: Say) -> Option<Exit> {
    match say {
        Say::Add(n) => *sum += n,
        Say::Boom => panic!("oh no"),
        Say::Fail => return Some(Exit::error("failed")),
        Say::Hang => std::future::pending().await,
        Say::Password(_) | Say::Shout(_) | Say::Wordless => {}
    }
    None
}

/// As a server, and as a process.
pub struct Sum(pub u32);

impl Server for Sum {
    type Args = ();
    type Msg = Say;
    const NAME: &'static str = "sum";

    async fn init((): (), _: &mut Cx<Say>) -> Result<Self, InitError> {
        Ok(Self(0))
    }
    async fn handle(&mut self, say: Say, _: &mut Cx<Say>) -> Next {
        act(&mut self.0, say).await.map_or(Next::Continue, Next::Stop)
    }
    fn describe(say: &Say) -> Cow<'static, str> {
        word(say)
    }
    fn state(&self) -> Option<Value> {
        Some(json!(self.0))
    }
}

impl Process for Sum {
    type Args = ();
    type Msg = Say;
    const NAME: &'static str = "sum";
    const LAST_MESSAGE: bool = true;

    async fn init((): (), _: &mut Cx<Say>) -> Result<Self, InitError> {
        Ok(Self(0))
    }
    async fn run(&mut self, cx: &mut Cx<Say>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(say) => {
                    if let Some(exit) = act(&mut self.0, say).await {
                        return exit;
                    }
                }
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }
    fn describe(say: &Say) -> Cow<'static, str> {
        word(say)
    }
    fn state(&self) -> Option<Value> {
        Some(json!(self.0))
    }
}

/// And as a state machine, of one state.
pub struct Machine(pub u32);

impl StateMachine for Machine {
    type Args = ();
    type Msg = Say;
    type State = ();
    const NAME: &'static str = "sum";

    async fn init((): (), _: &mut Cx<Say>) -> Result<((), Self), InitError> {
        Ok(((), Self(0)))
    }
    async fn handle(&mut self, (): &(), say: Say, _: &mut Cx<Say>) -> Step<(), Say> {
        act(&mut self.0, say).await.map_or_else(Step::keep, Step::stop)
    }
    fn describe(say: &Say) -> Cow<'static, str> {
        word(say)
    }
    fn show(&self, (): &()) -> Option<Value> {
        Some(json!(self.0))
    }
}
