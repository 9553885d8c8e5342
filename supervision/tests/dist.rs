//! Processes on other nodes: what a message, a call, a link, a monitor and a group are there, and what becomes of them when the
//! connection is lost.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use supervision::{
    CallError, CastError, Cx, Event, Exit, Far, GroupEvent, InitError, Node, NodeEvent, Pid,
    Process, Ref, Remote, Reply, System,
    dist::ConnectError,
    schedule::Schedule,
    testkit::{Network, Probe, ended},
};
use tokio::{sync::mpsc::Sender, time::sleep};

const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

#[derive(Debug, Serialize, Deserialize)]
enum Ask {
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
struct Later(Reply<u32>);

impl Remote for Later {
    const TAG: &'static str = "test.ask";
    const VERSION: u16 = 2;
}

#[derive(Debug, Serialize, Deserialize)]
struct Strange(Reply<u32>);

impl Remote for Strange {
    const TAG: &'static str = "test.strange";
}

#[derive(Default)]
struct Answerer(Vec<Reply<u32>>);

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
struct Two {
    schedule: Schedule,
    network: Network,
    a: System,
    b: System,
    answerer: Ref<Ask>,
    far: Far<Ask>,
}

fn node(name: &str, schedule: &Schedule) -> System {
    let system = System::scheduled_on(Node::new(name).unwrap(), name, schedule.clone());
    system.accept::<Ask>();
    system
}

async fn two() -> Two {
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
async fn settle() {
    sleep(SECOND).await;
}

impl Two {
    /// One that has no such number.
    fn nobody(&self) -> Pid {
        let mut id = self.answerer.pid().id();
        id.number += 1000;
        self.a.pid(id)
    }

    async fn cut(&self) {
        self.network.cut(self.a.node(), self.b.node());
        settle().await;
    }
}

fn gone(why: Exit) -> CallError {
    CallError::Gone(Some(why))
}

#[tokio::test(start_paused = true)]
async fn a_call_has_an_answer_or_says_why_it_has_none() {
    let two = two().await;
    let far = &two.far;
    assert_eq!(far.call(|reply| Ask::Double(21, reply), SECOND).await, Ok(42));
    let named: Far<Ask> = two.a.far_named(two.b.node(), "answerer");
    assert_eq!(named.call(|reply| Ask::Double(4, reply), SECOND).await, Ok(8));

    // nobody is there
    let nobody: Far<Ask> = two.a.far(two.nobody());
    let unnamed: Far<Ask> = two.a.far_named(two.b.node(), "nobody");
    for far in [&nobody, &unnamed] {
        assert_eq!(far.call(|reply| Ask::Double(1, reply), LONG).await, Err(gone(Exit::NoProc)));
        far.cast(Ask::Say(1)).unwrap(); // goes nowhere
    }
    // messages that it does not take, that the node does not know, or not in this version
    let strange: Far<Strange> = two.a.far(far.pid().unwrap());
    assert_eq!(strange.call(Strange, LONG).await, Err(CallError::Unknown));
    two.b.accept::<Strange>();
    assert_eq!(strange.call(Strange, LONG).await, Err(CallError::WrongType));
    let later: Far<Later> = two.a.far(far.pid().unwrap());
    assert_eq!(later.call(Later, LONG).await, Err(CallError::Unknown));
    let refused: Vec<_> = two.b.refused().iter().map(|(what, n)| format!("{what}: {n}")).collect();
    assert_eq!(
        refused,
        [
            "test.ask 2: not known: 1",
            "test.strange 1: not known: 1",
            "test.strange 1: the process takes others: 1",
        ]
    );

    // too long, there and back
    let large = far.cast(Ask::Large(vec![0; 5 << 20]));
    assert!(matches!(large, Err(CastError::Unsendable(Ask::Large(_), _))), "{large:?}");
    let answer = far.call(|reply| Ask::Enlarge(5 << 20, reply), LONG).await;
    assert!(matches!(answer, Err(CallError::Unsendable(_))), "{answer:?}");
    assert_eq!(far.call(|reply| Ask::Enlarge(3 << 20, reply), LONG).await.unwrap().len(), 3 << 20);

    // no answer: dropped, kept too long, kept until it ends
    assert_eq!(far.call(Ask::Drop, LONG).await, Err(CallError::Gone(None)));
    assert_eq!(far.call(Ask::Keep, SECOND).await, Err(CallError::Timeout));
    let kept = far.call(Ask::Keep, LONG);
    let ends = async {
        settle().await;
        far.cast(Ask::End("over".to_owned())).unwrap();
    };
    let (kept, ()) = tokio::join!(kept, ends);
    assert_eq!(kept, Err(gone(Exit::error("over"))));
    assert_eq!(far.call(Ask::Drop, LONG).await, Err(gone(Exit::NoProc)));
    assert_eq!(named.call(Ask::Drop, LONG).await, Err(gone(Exit::NoProc)));
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_told_with_its_reason_and_place() {
    let two = two().await;
    let mut probe: Probe<()> = Probe::start(&two.a).await;
    two.far.monitor(probe.pid());
    let Err(CallError::Gone(Some(Exit::Crash(why)))) = two.far.call(Ask::Panic, LONG).await else {
        panic!("no crash")
    };
    assert!(why.reason == "told to" && why.location.contains("tests/dist.rs"), "{why:?}");
    let (from, down) = probe.exit().await;
    assert_eq!((from, &down), (two.answerer.pid().into(), &Exit::Crash(why)));
    assert_eq!(Some(down), two.answerer.pid().exit_reason());
}

#[tokio::test(start_paused = true)]
async fn full_means_not_sent_and_later_there_is_room() {
    let two = two().await;
    two.network.hold(two.a.node(), two.b.node(), true);
    for n in 0..8 {
        two.far.cast(Ask::Say(n)).unwrap();
    }
    assert!(matches!(two.far.cast(Ask::Say(8)), Err(CastError::Full(Ask::Say(8)))));
    assert_eq!(two.far.call(|reply| Ask::Double(1, reply), LONG).await, Err(CallError::Full));
    // signals take no credit
    let mut probe: Probe<()> = Probe::start(&two.a).await;
    two.far.monitor(probe.pid());
    two.network.hold(two.a.node(), two.b.node(), false);
    settle().await;
    assert_eq!(two.far.call(|reply| Ask::Double(1, reply), LONG).await, Ok(2));
    two.far.pid().unwrap().exit(Exit::error("enough"));
    assert_eq!(probe.exit().await.1, Exit::error("enough"));
}

#[tokio::test(start_paused = true)]
async fn an_inbox_that_is_full_refuses_and_only_a_call_hears_of_it() {
    let two = two().await;
    supervision::sys::suspend(two.answerer.pid());
    for n in 0..6 {
        two.far.cast(Ask::Say(n)).unwrap();
        settle().await;
    }
    assert_eq!(two.answerer.depth(), 4);
    assert_eq!(two.far.call(|reply| Ask::Double(1, reply), LONG).await, Err(CallError::Full));
    assert_eq!(two.b.refused(), [("test.ask 1: the inbox is full".into(), 3)]);
    supervision::sys::resume(two.answerer.pid());
    assert_eq!(two.far.call(|reply| Ask::Double(1, reply), LONG).await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn replies_and_addresses_in_messages_lead_back() {
    let two = two().await;
    let mut probe: Probe<Result<u32, CallError>> = Probe::start(&two.a).await;
    two.far.send_request(probe.me(), |reply| Ask::Double(3, reply), |answer| answer);
    assert_eq!(probe.message().await, Ok(6));

    // a call of this node that is passed on: the answer comes to who has made it
    let mut proxy: Probe<Ask> = Probe::start(&two.a).await;
    let (me, pass) = (proxy.me().clone(), two.far.clone());
    let called = me.call(|reply| Ask::Double(5, reply), SECOND);
    let passes = async {
        let ask = proxy.message().await;
        pass.cast(ask).unwrap();
    };
    let (answer, ()) = tokio::join!(called, passes);
    assert_eq!(answer, Ok(10));
    // that comes back when it is not sent, with who waits
    let called = me.call(|reply| Ask::Double(6, reply), LONG);
    let fails = async {
        let ask = proxy.message().await;
        two.cut().await;
        let Err(CastError::Gone(Ask::Double(n, reply), Some(Exit::NoConnection))) = pass.cast(ask)
        else {
            panic!()
        };
        assert!(reply.is_awaited());
        reply.send(n);
    };
    let (answer, ()) = tokio::join!(called, fails);
    assert_eq!(answer, Ok(6));
    two.network.connect(&two.a, &two.b).unwrap();

    // an address
    two.far.cast(Ask::Greet(proxy.pid().into())).unwrap();
    assert!(matches!(proxy.message().await, Ask::Say(7)));
    // elsewhere they are no data
    assert!(
        serde_json::from_str::<Pid>(&serde_json::to_string(&proxy.pid().id()).unwrap()).is_err()
    );
    assert!(serde_json::to_string(&Ask::Drop(Reply::to_nobody())).is_err());
}

#[tokio::test(start_paused = true)]
async fn all_replies_of_a_message_are_kept_wherever_they_lie() {
    let two = two().await;
    let mut proxy: Probe<Ask> = Probe::start(&two.a).await;
    let me = proxy.me().clone();
    let mut second: Probe<Result<String, CallError>> = Probe::start(&two.a).await;
    // what the second leads to is a request of its own
    let mut helper: Probe<Reply<String>> = Probe::start(&two.a).await;
    helper.me().send_request(second.me(), |reply| reply, |answer| answer);
    let boxed = Box::new(helper.message().await);
    let called = me.call(|reply| Ask::Both(reply, boxed), SECOND);
    let passes = async {
        let ask = proxy.message().await;
        two.far.cast(ask).unwrap();
    };
    let (answer, ()) = tokio::join!(called, passes);
    assert_eq!((answer, second.message().await), (Ok(1), Ok("two".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn links_and_exit_signals_cross() {
    let two = two().await;
    let mut probe: Probe<()> = Probe::start(&two.a).await;
    let me = probe.pid().clone();
    let far = two.far.pid().unwrap();
    me.link(far);
    me.link(far);
    settle().await;
    assert_eq!(me.links(10), std::slice::from_ref(far));
    assert_eq!(two.answerer.pid().links(10), [Pid::from(&me)]);
    me.unlink(far);
    assert!(me.links(10).is_empty());
    settle().await;
    assert!(two.answerer.pid().links(10).is_empty());
    far.link(&me);
    // to one that does not trap `normal` does nothing, anything else ends it
    far.exit(Exit::Normal);
    settle().await;
    assert!(two.answerer.pid().is_alive());
    far.exit(Exit::shutdown("for today"));
    assert_eq!(probe.exit().await, (far.clone(), Exit::shutdown("for today")));
    me.link(far);
    assert_eq!(probe.exit().await, (far.clone(), Exit::NoProc));
    assert_eq!(ended(two.answerer.pid()).await, Exit::shutdown("for today"));

    // the other way: who ends here ends who is linked there; a kill arrives there as `killed`
    for (kill, why) in [(true, Exit::Killed), (false, Exit::error("bye"))] {
        let there = two.b.spawn::<Answerer>("/there", ()).await.unwrap();
        let here = two.a.spawn::<Answerer>("/here", ()).await.unwrap();
        here.pid().link(two.a.pid(there.pid().id()));
        match kill {
            true => here.pid().kill(),
            false => here.pid().exit(Exit::error("bye")),
        }
        assert_eq!(ended(there.pid()).await, why);
    }
    let trapping: Probe<()> = Probe::start(&two.b).await;
    two.a.pid(trapping.pid().id()).kill();
    assert_eq!(ended(trapping.pid()).await, Exit::Killed);
}

/// OTP's protocol of links (`erl_dist_protocol`): what is on its way while one is taken back is not about a link that there is.
#[tokio::test(start_paused = true)]
async fn a_link_and_its_end_that_cross_leave_both_with_the_same() {
    let two = two().await;
    let here: Probe<()> = Probe::start(&two.a).await;
    let there: Probe<()> = Probe::start(&two.b).await;
    let (far, back) = (two.a.pid(there.pid().id()), two.b.pid(here.pid().id()));
    let hold = |held| {
        two.network.hold(two.a.node(), two.b.node(), held);
        two.network.hold(two.b.node(), two.a.node(), held);
    };
    for linked in [false, true] {
        hold(true);
        back.link(there.pid());
        far.link(here.pid());
        far.unlink(here.pid());
        if linked {
            far.link(here.pid());
        }
        hold(false);
        settle().await;
        let links = (here.pid().links(9), there.pid().links(9));
        let expected =
            if linked { (vec![far.clone()], vec![back.clone()]) } else { (vec![], vec![]) };
        assert_eq!(links, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn monitors_cross_and_end_once() {
    let two = two().await;
    let mut probe: Probe<()> = Probe::start(&two.a).await;
    let me = probe.pid().clone();
    let far = two.far.pid().unwrap();
    let named: Far<Ask> = two.a.far_named(two.b.node(), "answerer");
    let nobody: Far<Ask> = two.a.far_named(two.b.node(), "nobody");
    let nobodys = nobody.monitor(&me);
    let Event::Down { monitor, pid, reason } = probe.event().await else { panic!() };
    assert_eq!(
        (monitor, pid.name(), reason),
        (nobodys, Some(("nobody", two.b.node())), Exit::NoProc)
    );

    let (one, other, by_name) = (far.monitor(&me), far.monitor(&me), named.monitor(&me));
    settle().await;
    assert_eq!((me.watching(), two.answerer.pid().watchers()), (3, 3));
    far.demonitor(other);
    settle().await;
    assert_eq!((me.watching(), two.answerer.pid().watchers()), (2, 2));
    two.far.cast(Ask::End("over".to_owned())).unwrap();
    let mut downs = Vec::new();
    for _ in 0..2 {
        let Event::Down { monitor, pid, reason } = probe.event().await else { panic!() };
        assert_eq!(reason, Exit::error("over"));
        downs.push((monitor, pid.name().is_some()));
    }
    downs.sort_by_key(|(_, named)| *named);
    assert_eq!(downs, [(one, false), (by_name, true)]);
    settle().await;
    assert!(probe.pending().is_none() && me.watching() == 0);

    // a watcher that ends is forgotten there
    let there = two.b.spawn::<Answerer>("/there", ()).await.unwrap();
    two.a.pid(there.pid().id()).monitor(&me);
    settle().await;
    assert_eq!(there.pid().watchers(), 1);
    me.kill();
    settle().await;
    assert_eq!(there.pid().watchers(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_the_connection_is_lost_everything_ends_once() {
    let two = two().await;
    let mut probe: Probe<Result<u32, CallError>> = Probe::start(&two.a).await;
    let me = probe.pid().clone();
    let far = two.far.pid().unwrap();
    two.b.join("all", two.answerer.pid());
    settle().await;
    assert_eq!(two.a.group("all"), std::slice::from_ref(far));
    let monitors = [far.monitor(&me), two.far.monitor(&me)];
    me.link(far);
    two.far.send_request(probe.me(), Ask::Keep, |answer| answer);
    let kept = two.far.call(Ask::Keep, LONG);
    let (kept, ()) = tokio::join!(kept, async {
        settle().await;
        two.cut().await;
    });
    assert_eq!(kept, Err(gone(Exit::NoConnection)));
    let (mut downs, mut exits, mut answers) = (Vec::new(), 0, 0);
    for _ in 0..4 {
        match probe.event().await {
            Event::Down { monitor, reason: Exit::NoConnection, .. } => downs.push(monitor),
            Event::Exit { from, reason: Exit::NoConnection } if from == *far => exits += 1,
            Event::Msg(Err(CallError::Gone(Some(Exit::NoConnection)))) => answers += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((&*downs, exits, answers), (&monitors[..], 1, 1));
    assert!(two.a.group("all").is_empty() && two.a.nodes().is_empty() && me.links(9).is_empty());
    // who was linked there, and does not trap, ends
    assert_eq!(ended(two.answerer.pid()).await, Exit::NoConnection);
    // now it is as before
    assert!(matches!(two.far.cast(Ask::Say(1)), Err(CastError::Gone(_, Some(Exit::NoConnection)))));
    assert_eq!(two.far.call(Ask::Keep, LONG).await, Err(gone(Exit::NoConnection)));
    me.link(far);
    assert_eq!(probe.exit().await, (far.clone(), Exit::NoConnection));
    far.monitor(&me);
    assert_eq!(probe.exit().await, (far.clone(), Exit::NoConnection));

    // with the next connection, what has not ended is there again
    let again = two.b.spawn::<Answerer>("/again", ()).await.unwrap();
    two.b.join("all", again.pid());
    two.network.connect(&two.a, &two.b).unwrap();
    settle().await;
    let members = two.a.far_members::<Ask>("all");
    assert_eq!(members[0].call(|reply| Ask::Double(2, reply), SECOND).await, Ok(4));
    settle().await;
    assert!(probe.pending().is_none());
}

#[tokio::test(start_paused = true)]
async fn another_start_of_a_node_takes_the_place_of_the_one_before() {
    let two = two().await;
    let mut probe: Probe<()> = Probe::start(&two.a).await;
    let me = probe.pid().clone();
    let old = two.far.pid().unwrap();
    old.monitor(&me);
    assert_eq!(two.network.connect(&two.a, &two.b), Err(ConnectError::Connected));
    assert_eq!(
        two.network.connect(&two.a, &node("a@dist", &two.schedule)),
        Err(ConnectError::Itself)
    );
    let newer = node("b@dist", &two.schedule);
    two.network.connect(&two.a, &newer).unwrap();
    assert_eq!(probe.exit().await, (old.clone(), Exit::NoConnection));
    // the one before is dead, though the node is there
    old.monitor(&me);
    assert_eq!(probe.exit().await, (old.clone(), Exit::NoProc));
    me.link(old);
    assert_eq!(probe.exit().await, (old.clone(), Exit::NoProc));
    assert!(matches!(two.far.cast(Ask::Say(1)), Err(CastError::Gone(_, Some(Exit::NoProc)))));
    old.exit(Exit::error("not heard"));
    old.kill();
    settle().await;
    assert!(two.answerer.pid().is_alive());
    assert_eq!(two.a.nodes(), [newer.node()]);
}

/// What one hears of nodes and of the group `all`.
#[derive(Debug, PartialEq)]
enum Heard {
    Node(NodeEvent),
    Group(GroupEvent),
    Lost(Exit),
}

struct Ear(Sender<Heard>);

impl Process for Ear {
    type Args = Sender<Heard>;
    type Msg = Heard;
    const NAME: &'static str = "ear";

    async fn init(to: Sender<Heard>, cx: &mut Cx<Heard>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        let (_, nodes) = cx.monitor_nodes(Heard::Node);
        let (_, members) = cx.monitor_group("all", Heard::Group);
        assert!(nodes.is_empty() && members.is_empty());
        let (twice, _) = cx.monitor_nodes(Heard::Node);
        assert!(cx.demonitor_nodes(twice) && !cx.demonitor_nodes(twice));
        Ok(Self(to))
    }

    async fn run(&mut self, cx: &mut Cx<Heard>) -> Exit {
        loop {
            let heard = match cx.next().await {
                Event::Msg(heard) => heard,
                Event::Exit { reason, .. } | Event::Down { reason, .. } => Heard::Lost(reason),
            };
            if self.0.send(heard).await.is_err() {
                return Exit::Normal;
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Say(u32);

impl Remote for Say {
    const TAG: &'static str = "test.say";
}

/// What comes to one process is in the order of OTP's promise: a node is up before anything of it, and down after all of it.
#[tokio::test(start_paused = true)]
async fn who_monitors_nodes_and_groups_hears_in_order() {
    let schedule = Schedule::new(3);
    let network = Network::new(&schedule);
    let (a, b) = (node("a@dist", &schedule), node("b@dist", &schedule));
    let (tell, mut told) = tokio::sync::mpsc::channel(100);
    let ear = a.spawn::<Ear>("/ear", tell).await.unwrap();
    let member = b.spawn::<Answerer>("/member", ()).await.unwrap();
    b.join("all", member.pid());
    network.connect(&a, &b).unwrap();
    let far = a.pid(member.pid().id());
    settle().await;
    far.monitor(ear.pid());
    b.leave_group("all", member.pid());
    b.join("all", member.pid());
    settle().await;
    network.cut(a.node(), b.node());
    let (group, node): (Arc<str>, _) = ("all".into(), b.node());
    let join = || Heard::Group(GroupEvent::Join { group: Arc::clone(&group), pid: far.clone() });
    let leave = || Heard::Group(GroupEvent::Leave { group: Arc::clone(&group), pid: far.clone() });
    let lost = "the connection was cut".into();
    for expected in [
        Heard::Node(NodeEvent::Up { node }),
        join(),
        leave(),
        join(),
        Heard::Lost(Exit::NoConnection),
        leave(),
        Heard::Node(NodeEvent::Down { node, reason: lost }),
    ] {
        assert_eq!(told.recv().await.unwrap(), expected);
    }
    settle().await;
    assert!(told.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_call_to_several_nodes_has_what_there_is() {
    let two = two().await;
    let c = node("c@dist", &two.schedule);
    let d = Node::new("d@dist").unwrap();
    two.network.connect(&two.a, &c).unwrap();
    let here = two.a.spawn::<Answerer>("/answerer", ()).await.unwrap();
    two.a.register("answerer", &here).unwrap();
    let nodes = [two.a.node(), two.b.node(), c.node(), d];
    let ask = |reply| Ask::Double(3, reply);
    let answers = two.a.multicall(&nodes, "answerer", ask, SECOND).await;
    let expected = [Ok(6), Ok(6), Err(gone(Exit::NoProc)), Err(gone(Exit::NoConnection))];
    assert_eq!(answers, nodes.into_iter().zip(expected).collect::<Vec<_>>());
    // one that does not answer holds up nobody else
    two.network.hold(two.a.node(), two.b.node(), true);
    let answers = two.a.multicall(&nodes[..2], "answerer", ask, SECOND).await;
    assert_eq!(answers, [(nodes[0], Ok(6)), (nodes[1], Err(CallError::Timeout))]);
    // nor is its answer waited for any more, when it comes
    two.network.hold(two.a.node(), two.b.node(), false);
    settle().await;
    assert_eq!(two.far.call(ask, SECOND).await, Ok(6));
}

#[tokio::test(start_paused = true)]
async fn an_address_of_ones_own_node_is_as_any() {
    let two = two().await;
    let me = two.b.far_named::<Ask>(two.b.node(), "answerer");
    let by_pid = two.b.far::<Ask>(two.answerer.pid());
    for far in [&me, &by_pid] {
        assert_eq!(far.call(|reply| Ask::Double(2, reply), SECOND).await, Ok(4));
        far.cast(Ask::Say(1)).unwrap();
    }
    let mut probe: Probe<Result<u32, CallError>> = Probe::start(&two.b).await;
    me.send_request(probe.me(), |reply| Ask::Double(5, reply), |answer| answer);
    assert_eq!(probe.message().await, Ok(10));
    let monitor = me.monitor(probe.pid());
    two.answerer.pid().kill();
    let Event::Down { monitor: of, reason: Exit::Killed, .. } = probe.event().await else {
        panic!()
    };
    assert_eq!(of, monitor);
    assert_eq!(me.call(|reply| Ask::Double(5, reply), LONG).await, Err(gone(Exit::NoProc)));
    assert!(matches!(me.cast(Ask::Say(1)), Err(CastError::Gone(_, Some(Exit::NoProc)))));
    let strange = two.b.far::<Say>(probe.pid());
    assert!(matches!(strange.cast(Say(1)), Err(CastError::WrongType(Say(1)))));
}
