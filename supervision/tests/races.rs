//! What is done while a process ends, and whose it is then: links and monitors that are taken back, calls that are dropped.

mod common;

use common::{BOTH, Do, Plan, SECOND, world};
use supervision::{
    CallError, Cx, Exit, InitError, Local, Next, Reply, Server, System, system::Change,
    testkit::Probe,
};
use tokio::time::{Instant, sleep};

/// Does something when that process has ended, before the others are told.
fn when_it_has_ended(system: &System, who: &Local, act: impl Fn() + Send + Sync + 'static) {
    let who = who.clone();
    assert!(system.observe(move |change| {
        if let Change::Ended(pid, _) = change
            && **pid == who
        {
            act();
        }
    }));
}

/// `unlink/1`: once it has returned, the link has no effect any more. (So it was not in ours; erlang/otp#6150 is near.)
#[tokio::test(start_paused = true)]
async fn a_link_that_was_taken_back_in_time_does_nothing() {
    for what in BOTH {
        for trap in [false, true] {
            let world = world().await;
            let a = world.puppet(what, "a", Plan { trap, ..Plan::default() }).await;
            let b = world.puppet(what, "b", Plan::default()).await;
            let mut probe: Probe<()> = Probe::start(&world.system).await;
            a.pid().link(b.pid());
            probe.pid().link(b.pid());
            let (pids, end) = ([a.pid().clone(), probe.pid().clone()], b.pid().clone());
            when_it_has_ended(&world.system, b.pid(), move || {
                pids.iter().for_each(|pid| pid.unlink(&end));
            });
            b.pid().exit(Exit::error("bad"));
            b.pid().wait().await;
            sleep(SECOND).await;
            assert!(a.pid().is_alive() && probe.pending().is_none(), "{what:?} {trap}");
            assert_eq!((a.pid().links(9).len(), b.pid().links(9).len()), (0, 0));
            world.stop().await;
        }
    }
}

/// The same for a child, whose link is in its parent's map only; the others end with their parent.
#[tokio::test(start_paused = true)]
async fn a_child_takes_back_its_link_to_its_parent() {
    for what in BOTH {
        let world = world().await;
        let [free, bound] = [
            world.puppet(what, "free", Plan::default()).await,
            world.puppet(what, "bound", Plan::default()).await,
        ];
        let (pid, end) = (free.pid().clone(), world.root.pid().clone());
        when_it_has_ended(&world.system, world.root.pid(), move || pid.unlink(&end));
        world.root.pid().kill();
        assert_eq!(bound.pid().wait().await, Exit::Killed);
        assert_eq!(free.call(|reply| Do::Echo(7, reply), SECOND).await, Ok(7));
    }
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_was_taken_back_in_time_tells_nothing() {
    for what in BOTH {
        let world = world().await;
        let [mut one, mut other] =
            [Probe::<()>::start(&world.system).await, Probe::<()>::start(&world.system).await];
        let a = world.puppet(what, "a", Plan::default()).await;
        let (monitor, end) = (a.pid().monitor(one.pid()), a.pid().clone());
        a.pid().monitor(other.pid());
        when_it_has_ended(&world.system, a.pid(), move || end.demonitor(monitor));
        a.pid().exit(Exit::error("bad"));
        assert_eq!(other.exit().await.1, Exit::error("bad"));
        sleep(SECOND).await;
        assert!(one.pending().is_none());
        assert_eq!((one.pid().watching(), a.pid().watchers()), (0, 0));
        world.stop().await;
    }
}

/// Keeps a request, drops a call, and answers.
struct Desk {
    request: Option<Reply<u32>>,
    call: Option<Reply<u32>>,
}

enum Ask {
    Keep(Reply<u32>),
    Drop(Reply<u32>),
    Answer,
}

impl Server for Desk {
    type Args = ();
    type Msg = Ask;
    const NAME: &'static str = "desk";

    async fn init((): (), _: &mut Cx<Ask>) -> Result<Self, InitError> {
        Ok(Self { request: None, call: None })
    }

    async fn handle(&mut self, ask: Ask, _: &mut Cx<Ask>) -> Next {
        match ask {
            Ask::Keep(reply) => self.request = Some(reply),
            Ask::Drop(reply) => self.call = Some(reply),
            Ask::Answer => {
                self.call = None;
                if let Some(reply) = self.request.take() {
                    reply.send(1);
                }
            }
        }
        Next::Continue
    }
}

/// An answer is made into a message as the asker's: what the one that answers has dropped before is still its own.
#[tokio::test(start_paused = true)]
async fn who_calls_is_told_that_its_call_was_dropped_whoever_was_answered_next() {
    for ended in [false, true] {
        let desk = common::server::<Desk>("desk", || ()).await;
        let asker: Probe<bool> = Probe::start(&desk.system).await;
        let nothing = |answer: Result<u32, CallError>| -> bool { panic!("no message: {answer:?}") };
        desk.me.send_request(asker.me(), Ask::Keep, nothing);
        let (me, pid) = (desk.me.clone(), asker.pid().clone());
        let (called, ()) = tokio::join!(me.call(Ask::Drop, SECOND * 60), async {
            sleep(SECOND).await;
            if ended {
                pid.kill();
                pid.wait().await;
            }
            desk.me.cast(Ask::Answer).unwrap();
        });
        assert_eq!(called, Err(CallError::Gone(None)), "{ended}");
        desk.root.stop().await;
    }
}

/// Nobody runs when it is answered from outside, and the asker hears of no message.
#[tokio::test(start_paused = true)]
async fn who_calls_is_told_that_its_call_was_dropped_with_the_answer_to_a_request() {
    for ended in [false, true] {
        let system = common::system("test");
        let asker: Probe<()> = Probe::start(&system).await;
        let [mut asked, mut called]: [Probe<Reply<u32>>; 2] =
            [Probe::start(&system).await, Probe::start(&system).await];
        let (me, pid) = (called.me().clone(), asker.pid().clone());
        let (call, before) = tokio::join!(me.call(|reply| reply, SECOND * 60), async {
            let held = called.message().await;
            asked.me().send_request(
                asker.me(),
                |reply| reply,
                move |_| {
                    drop(held);
                    panic!("no message")
                },
            );
            let answer = asked.message().await;
            if ended {
                pid.kill();
            }
            sleep(SECOND).await;
            answer.send(1);
            Instant::now()
        });
        assert_eq!(call, Err(CallError::Gone(None)), "{ended}");
        assert_eq!(before.elapsed().as_secs(), 0, "at once: time is paused");
    }
}
