//! Messages and calls: what arrives, and what is told of what does not.

use super::two::{Answerer, Ask, LONG, Later, SECOND, Strange, gone, node, settle, two};
use serde::{Deserialize, Serialize};
use supervision::{
    CallError, CastError, Event, Exit, Far, Node, Pid, Remote, Reply, testkit::Probe,
};

#[derive(Serialize, Deserialize)]
struct Say(u32);

impl Remote for Say {
    const TAG: &'static str = "test.say";
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
    assert!(why.reason == "told to" && why.location.contains("tests/dist/two.rs"), "{why:?}");
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
