//! Links, monitors and exit signals, and the end of a connection.

use super::two::{Answerer, Ask, LONG, SECOND, gone, node, settle, two};
use supervision::{
    CallError, CastError, Event, Exit, Far, Pid,
    dist::ConnectError,
    testkit::{Probe, ended},
};

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
