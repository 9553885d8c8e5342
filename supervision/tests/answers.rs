//! Answers as messages, exactly one of each request, and why there is none.

mod common;

use common::SECOND;
use common::talk::{Room, Talk, rooms};
use supervision::{
    CallError, CastError, ChildSpec, Cx, Exit, InitError, Next, Ref, Reply, Server, SupervisorSpec,
    testkit::{Probe, ended},
};

/// What the answers to requests say, and how many there are.
type Answer = (u32, Result<String, CallError>);

#[tokio::test(start_paused = true)]
async fn an_answer_comes_as_a_message_of_ones_own_exactly_once() {
    let system = common::system("test");
    let rooms = rooms(&system).await;
    let mut probe: Probe<Answer> = Probe::start(&system).await;
    let me = probe.me().clone();
    let room = async |name: &str| -> Ref<Talk> {
        rooms.start_instance_with(name.to_owned()).await.unwrap().to_ref().unwrap()
    };
    let hall = room("hall").await;
    hall.send_request(&me, Talk::Name, |answer| (1, answer));
    assert_eq!(probe.message().await, (1, Ok("hall".to_owned())));
    // dropped, and it lives
    hall.send_request(&me, |reply| Talk::Ignore(reply, None), |answer| (2, answer));
    assert_eq!(probe.message().await, (2, Err(CallError::Gone(None))));
    // the one it is at, and one that waits; a third has no room
    hall.send_request(&me, Talk::Keep, |answer| (3, answer));
    tokio::task::yield_now().await;
    for n in [4, 5, 6] {
        hall.send_request(&me, Talk::Name, move |answer| (n, answer));
    }
    assert_eq!(probe.message().await, (6, Err(CallError::Full)));
    hall.pid().exit(Exit::error("over"));
    let over = || Err(CallError::Gone(Some(Exit::error("over"))));
    for n in [3, 4, 5] {
        assert_eq!(probe.message().await, (n, over()));
    }
    hall.send_request(&me, Talk::Name, |answer| (7, answer));
    assert_eq!(probe.message().await, (7, over()));
    // a panic with the question in its hands, and an end
    let hall = room("another").await;
    hall.send_request(&me, Talk::Panic, |answer| (8, answer));
    let answer = probe.message().await;
    assert!(
        matches!(&answer, (8, Err(CallError::Gone(Some(Exit::Crash(report)))))
        if report.reason == "with a question"),
        "{answer:?}"
    );
    let hall = room("third").await;
    let stop = |reply| Talk::Ignore(reply, Some(Exit::shutdown("enough")));
    hall.send_request(&me, stop, |answer| (9, answer));
    assert_eq!(probe.message().await.1, Err(CallError::Gone(Some(Exit::shutdown("enough")))));
    assert!(probe.pending().is_none());
}

/// It is called where the answer is given, or dropped while a process unwinds: it harms nobody there.
#[tokio::test(start_paused = true)]
async fn a_panic_in_what_makes_a_message_of_an_answer_is_the_askers() {
    let system = common::system("test");
    let rooms = rooms(&system).await;
    let probe: Probe<Answer> = Probe::start(&system).await;
    for (n, ask) in [Talk::Name, Talk::Panic].into_iter().enumerate() {
        let hall = rooms.start_instance_with(format!("hall {n}")).await.unwrap();
        let hall: Ref<Talk> = hall.to_ref().unwrap();
        hall.send_request(probe.me(), ask, |_| -> Answer { panic!("no message") });
        common::until(|| system.crashes().list().len() == [1, 3][n]).await;
        let reports = system.crashes().list();
        let lost = reports.iter().find(|r| r.reason == "no message" && r.path == "/probe").unwrap();
        assert!(lost.inputs[0].starts_with("the message of an answer"), "{lost:?}");
        common::until(|| hall.pid().is_alive() == (n == 0)).await;
    }
    assert!(probe.pid().is_alive());
}

/// More than fits: what one has asked for it gets.
#[tokio::test(start_paused = true)]
async fn answers_come_whether_there_is_room_or_not() {
    struct Asker(usize);
    impl Server for Asker {
        type Args = Ref<Talk>;
        type Msg = Option<Reply<usize>>;
        const NAME: &'static str = "asker";
        const INBOX: usize = 1;
        async fn init(room: Ref<Talk>, cx: &mut Cx<Self::Msg>) -> Result<Self, InitError> {
            for _ in 0..10 {
                let me = cx.me().clone();
                room.send_request(&me, Talk::Name, |_| None);
                tokio::task::yield_now().await;
            }
            Ok(Self(0))
        }
        async fn handle(&mut self, msg: Self::Msg, _: &mut Cx<Self::Msg>) -> Next {
            match msg {
                None => self.0 += 1,
                Some(reply) => reply.send(self.0),
            }
            Next::Continue
        }
    }
    let system = common::system("test");
    let rooms = rooms(&system).await;
    let hall = rooms.start_instance_with("hall".to_owned()).await.unwrap().to_ref().unwrap();
    let asker = ChildSpec::server::<Asker>("asker", move || hall.clone());
    let root = system.start(SupervisorSpec::one_for_one().child(asker)).await.unwrap();
    let asker: Ref<Option<Reply<usize>>> = Ref::of(system.find("/asker").unwrap()).unwrap();
    assert_eq!(asker.ask(Some).await, Ok(10));
    root.stop().await;
}

/// On several threads too: whoever waits learns why, not only that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_has_the_reason_however_the_process_ends() {
    for round in 0..200 {
        let kit = common::server::<Room>("room", || "room".to_owned()).await;
        let why = match round % 4 {
            0 => kit.me.call(Talk::Panic, SECOND * 30).await,
            1 => {
                let stop = |reply| Talk::Ignore(reply, Some(Exit::error("stopped")));
                kit.me.call(stop, SECOND * 30).await
            }
            2 => {
                let waits = kit.me.call(Talk::Keep, SECOND * 30);
                let kill = async {
                    tokio::task::yield_now().await;
                    kit.me.pid().kill();
                };
                tokio::join!(waits, kill).0
            }
            _ => {
                kit.me.cast(Talk::Crash).unwrap();
                kit.me.call(Talk::Name, SECOND * 30).await
            }
        };
        let Err(CallError::Gone(Some(why))) = why else { panic!("{round}: {why:?}") };
        let expected = ["crash", "crash", "killed", "crash"][round % 4];
        assert_eq!((why.word(), &why), (expected, &ended(kit.me.pid()).await), "{round}");
        let cast = kit.me.cast(Talk::Crash);
        assert!(matches!(cast, Err(CastError::Gone(_, Some(late))) if late == why));
        kit.root.stop().await;
    }
}
