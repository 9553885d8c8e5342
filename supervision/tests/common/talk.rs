//! A server that says its name and has it, and is asked in every way; a supervisor of many.

use super::SECOND;
use supervision::{
    ChildSpec, Cx, Exit, InitError, Next, Reply, Server, SupervisorRef, SupervisorSpec, System,
};

/// Says what it was started with; ends when it is told nothing.
pub struct Room(String);

pub enum Talk {
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
        cx.register(&name)?;
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

pub async fn rooms(system: &System) -> SupervisorRef {
    let rooms = SupervisorSpec::simple_one_for_one(ChildSpec::server_with::<Room>("room"));
    let rooms = rooms.intensity(100, SECOND);
    let root = ChildSpec::supervisor("rooms", rooms);
    system.start(SupervisorSpec::one_for_one().child(root)).await.unwrap();
    SupervisorRef::of(system.find("/rooms").unwrap()).unwrap()
}
