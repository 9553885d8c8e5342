//! Two nodes, and one there who answers.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use supervision::{
    CallError, Cx, Event, Exit, Far, InitError, Node, Pid, Process, Ref, Remote, Reply, System,
    schedule::Schedule, testkit::Network,
};
use tokio::time::sleep;

pub const SECOND: Duration = Duration::from_secs(1);
pub const LONG: Duration = Duration::from_secs(3600);

#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    Say(u32),
    Double(u32, Reply<u32>),
    /// Two answers to one message.
    Both(Reply<u32>, Box<Reply<String>>),
    /// Its answer is dropped.
    Drop(Reply<u32>),
    /// It is kept until the process ends.
    Keep(Reply<u32>),
    /// To that process.
    Greet(Pid),
    End(String),
    Large(Vec<u8>),
    Enlarge(usize, Reply<Vec<u8>>),
    Panic(Reply<u32>),
}

impl Remote for Ask {
    const TAG: &'static str = "test.ask";
}

/// The same, of a later version.
#[derive(Debug, Serialize, Deserialize)]
pub struct Later(pub Reply<u32>);

impl Remote for Later {
    const TAG: &'static str = "test.ask";
    const VERSION: u16 = 2;
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Strange(pub Reply<u32>);

impl Remote for Strange {
    const TAG: &'static str = "test.strange";
}

#[derive(Default)]
pub struct Answerer(Vec<Reply<u32>>);

impl Process for Answerer {
    type Args = ();
    type Msg = Ask;
    const NAME: &'static str = "answerer";
    const INBOX: usize = 4;

    async fn init((): (), _: &mut Cx<Ask>) -> Result<Self, InitError> {
        Ok(Self::default())
    }

    async fn run(&mut self, cx: &mut Cx<Ask>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(Ask::End(why)) => return Exit::error(&why),
                Event::Msg(ask) => self.answer(ask, cx),
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }
}

impl Answerer {
    fn answer(&mut self, ask: Ask, cx: &Cx<Ask>) {
        match ask {
            Ask::Say(_) | Ask::Large(_) | Ask::End(_) => {}
            Ask::Double(n, reply) => reply.send(2 * n),
            Ask::Both(one, two) => {
                two.send("two".to_owned());
                one.send(1);
            }
            Ask::Drop(reply) => drop(reply),
            Ask::Keep(reply) => self.0.push(reply),
            Ask::Greet(pid) => cx.system().far(&pid).cast(Ask::Say(7)).unwrap(),
            Ask::Enlarge(bytes, reply) => reply.send(vec![0; bytes]),
            Ask::Panic(_) => panic!("told to"),
        }
    }
}

/// Two nodes with a connection; the second has an answerer.
pub struct Two {
    pub schedule: Schedule,
    pub network: Network,
    pub a: System,
    pub b: System,
    pub answerer: Ref<Ask>,
    pub far: Far<Ask>,
}

pub fn node(name: &str, schedule: &Schedule) -> System {
    let system = System::scheduled_on(Node::new(name).unwrap(), name, schedule.clone());
    system.accept::<Ask>();
    system
}

pub async fn two() -> Two {
    let schedule = Schedule::new(1);
    let network = Network::new(&schedule).credit(8);
    let (a, b) = (node("a@dist", &schedule), node("b@dist", &schedule));
    network.connect(&a, &b).unwrap();
    let answerer = b.spawn::<Answerer>("/answerer", ()).await.unwrap();
    b.register("answerer", &answerer).unwrap();
    let far = a.far(a.pid(answerer.pid().id()));
    Two { schedule, network, a, b, answerer, far }
}

/// Until all that is on its way has arrived.
pub async fn settle() {
    sleep(SECOND).await;
}

impl Two {
    /// One that has no such number.
    pub fn nobody(&self) -> Pid {
        let mut id = self.answerer.pid().id();
        id.number += 1000;
        self.a.pid(id)
    }

    pub async fn cut(&self) {
        self.network.cut(self.a.node(), self.b.node());
        settle().await;
    }
}

pub fn gone(why: Exit) -> CallError {
    CallError::Gone(Some(why))
}
