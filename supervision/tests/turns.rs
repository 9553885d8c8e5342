//! Whose turn it is, where no scenario of `order.rs` looks: timers that repeat, urgent messages, a full inbox, what a process says
//! to itself. In both engines.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::{future::pending, time::Duration};
use supervision::{
    CallError, CastError, Cx, Event, Exit, InitError, Next, Overflow, Process, Ref, Reply, Server,
    sys,
    testkit::{self, Kit, Probe},
};
use tokio::time::sleep;

enum Do {
    Say(&'static str),
    /// Works so many milliseconds.
    Work(u64),
    /// Says something again and again, and works for it.
    Every(u64, &'static str, u64),
    SayAndWork(&'static str, u64),
    Idle(Duration, &'static str),
    After(Duration, &'static str),
    Watch(Ref<Do>),
    Exit(Exit),
    Trap,
    CallYourself,
    Said(Reply<Vec<String>>),
}

#[derive(Default)]
struct Scribe(Vec<String>);

impl Scribe {
    async fn act(&mut self, what: Do, cx: &mut Cx<Do>) {
        match what {
            Do::Say(what) => self.0.push(what.to_owned()),
            Do::Work(time) => sleep(Duration::from_millis(time)).await,
            Do::SayAndWork(what, time) => {
                self.0.push(what.to_owned());
                sleep(Duration::from_millis(time)).await;
            }
            Do::Every(period, what, time) => {
                cx.send_every(Duration::from_millis(period), move || Do::SayAndWork(what, time));
            }
            Do::Idle(after, what) => cx.idle_after(after, Do::Say(what)),
            Do::After(after, what) => drop(cx.send_after(after, Do::Say(what))),
            Do::Watch(whom) => drop(cx.monitor(whom.pid())),
            Do::Exit(reason) => {
                cx.pid().exit(reason);
                // if it ends, it does so here
                if !cx.pid().traps_exits() {
                    pending::<()>().await;
                }
            }
            Do::Trap => cx.trap_exit(true),
            Do::CallYourself => {
                let answer = cx.me().clone().call(Do::Said, Duration::MAX).await;
                self.0.push(format!("{answer:?}"));
            }
            Do::Said(reply) => reply.send(std::mem::take(&mut self.0)),
        }
    }

    fn told(&mut self, event: &Event<Do>) {
        self.0.push(match event {
            Event::Down { .. } => "down".to_owned(),
            Event::Exit { reason, .. } => format!("exit {reason}"),
            Event::Msg(_) => panic!("no event"),
        });
    }
}

impl Process for Scribe {
    type Args = ();
    type Msg = Do;
    const NAME: &'static str = "scribe";
    const INBOX: usize = 4;
    const OVERFLOW: Overflow = Overflow::DropOldest;

    async fn init((): (), _: &mut Cx<Do>) -> Result<Self, InitError> {
        Ok(Self::default())
    }

    async fn run(&mut self, cx: &mut Cx<Do>) -> Exit {
        loop {
            match cx.next().await {
                Event::Msg(what) => self.act(what, cx).await,
                Event::Exit { from, reason } if cx.is_parent(&from) => return reason,
                event => self.told(&event),
            }
        }
    }
}

struct Serving(Scribe);

impl Server for Serving {
    type Args = ();
    type Msg = Do;
    const NAME: &'static str = "serving";
    const INBOX: usize = 4;
    const OVERFLOW: Overflow = Overflow::DropOldest;

    async fn init((): (), _: &mut Cx<Do>) -> Result<Self, InitError> {
        Ok(Self(Scribe::default()))
    }

    async fn handle(&mut self, what: Do, cx: &mut Cx<Do>) -> Next {
        self.0.act(what, cx).await;
        Next::Continue
    }

    async fn event(&mut self, event: Event<Do>, _: &mut Cx<Do>) -> Next {
        self.0.told(&event);
        Next::Continue
    }
}

async fn both() -> [Kit<Do>; 2] {
    [
        testkit::process::<Scribe>("scribe", || ()).await,
        common::server::<Serving>("scribe", || ()).await,
    ]
}

/// It is at work until all of this was sent.
async fn while_it_works(me: &Ref<Do>, all: impl IntoIterator<Item = Do>) {
    me.cast(Do::Work(10)).unwrap();
    sleep(Duration::from_millis(1)).await;
    for what in all {
        me.cast(what).unwrap();
    }
}

async fn said(me: &Ref<Do>) -> Vec<String> {
    me.call(Do::Said, Duration::from_secs(60)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn timers_that_are_always_due_leave_room_for_messages() {
    for kit in both().await {
        for (period, what) in [(2, "a"), (2, "b"), (3, "c")] {
            kit.me.cast(Do::Every(period, what, 5)).unwrap();
        }
        sleep(Duration::from_millis(100)).await;
        said(&kit.me).await;
        kit.me.cast(Do::Say("asked")).unwrap();
        sleep(Duration::from_millis(100)).await;
        let all = said(&kit.me).await;
        // behind the one that was at work, and those that were due when it came
        let at = all.iter().position(|what| what == "asked").unwrap();
        assert!(at <= 4, "{all:?}");
        // and each of them has its turn
        for what in ["a", "b", "c"] {
            let count = all.iter().filter(|said| *said == what).count();
            assert!((5..=8).contains(&count), "{what}: {all:?}");
        }
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn anything_ends_its_idling() {
    for kit in both().await {
        let other: Probe<Do> = Probe::start(&kit.system).await;
        kit.me.cast(Do::Watch(other.me().clone())).unwrap();
        kit.me.cast(Do::After(Duration::from_secs(1), "timer")).unwrap();
        kit.me.cast(Do::Idle(Duration::from_secs(2), "idle")).unwrap();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(said(&kit.me).await, ["timer"]);
        kit.me.cast(Do::Idle(Duration::from_secs(2), "idle")).unwrap();
        sleep(Duration::from_secs(1)).await;
        other.pid().kill();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(said(&kit.me).await, ["down"]);
        kit.me.cast(Do::Idle(Duration::from_secs(2), "idle")).unwrap();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(said(&kit.me).await, ["idle"]);
        // of zero, behind what waits, if nothing does
        while_it_works(&kit.me, [Do::Idle(Duration::ZERO, "idle"), Do::Say("waited")]).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(said(&kit.me).await, ["waited"]);
        kit.me.cast(Do::Idle(Duration::ZERO, "idle")).unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(said(&kit.me).await, ["idle"]);
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_urgent_overtakes_messages_timers_and_signals() {
    for kit in both().await {
        let other: Probe<Do> = Probe::start(&kit.system).await;
        kit.me.cast(Do::Watch(other.me().clone())).unwrap();
        kit.me.cast(Do::After(Duration::from_millis(5), "timer")).unwrap();
        while_it_works(&kit.me, [Do::Say("first")]).await;
        other.pid().kill();
        other.pid().wait().await;
        sleep(Duration::from_millis(6)).await;
        kit.me.cast(Do::Say("second")).unwrap();
        kit.me.cast_urgent(Do::Say("urgent")).unwrap();
        kit.me.cast_urgent(Do::Say("urgent too")).unwrap();
        sleep(Duration::from_secs(1)).await;
        let all = ["urgent", "urgent too", "first", "down", "timer", "second"];
        assert_eq!(said(&kit.me).await, all);
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_that_is_not_urgent_is_dropped() {
    for kit in both().await {
        while_it_works(&kit.me, ["1", "2"].map(Do::Say)).await;
        for what in ["u1", "u2"] {
            kit.me.cast_urgent(Do::Say(what)).unwrap();
        }
        kit.me.cast(Do::Say("3")).unwrap();
        kit.me.cast_urgent(Do::Say("u3")).unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(said(&kit.me).await, ["u1", "u2", "u3", "3"]);
        // what is urgent only gives way to nothing
        while_it_works(&kit.me, []).await;
        for what in ["u1", "u2", "u3", "u4"] {
            kit.me.cast_urgent(Do::Say(what)).unwrap();
        }
        assert!(matches!(kit.me.cast(Do::Say("5")), Err(CastError::Full(Do::Say("5")))));
        assert!(matches!(kit.me.cast_urgent(Do::Say("u5")), Err(CastError::Full(_))));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(said(&kit.me).await, ["u1", "u2", "u3", "u4"]);
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_that_is_too_long_is_never() {
    for kit in both().await {
        kit.me.cast(Do::After(Duration::MAX, "never")).unwrap();
        kit.me.cast(Do::Idle(Duration::MAX, "never")).unwrap();
        kit.me.cast(Do::After(Duration::from_secs(1), "soon")).unwrap();
        sleep(Duration::from_secs(365 * 24 * 3600)).await;
        assert_eq!(said(&kit.me).await, ["soon"]);
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_tells_itself_to_end_ends() {
    for reason in [Exit::Normal, Exit::Shutdown, Exit::error("enough")] {
        for kit in both().await {
            let word = reason.to_string();
            kit.me.cast(Do::Exit(reason.clone())).unwrap();
            assert_eq!(testkit::ended(kit.me.pid()).await.to_string(), word);
            kit.root.stop().await;
        }
        for kit in both().await {
            kit.me.cast(Do::Trap).unwrap();
            kit.me.cast(Do::Exit(reason.clone())).unwrap();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(said(&kit.me).await, [format!("exit {reason}")]);
            kit.root.stop().await;
        }
    }
    // of somebody else's that means nothing
    for kit in both().await {
        kit.me.pid().exit(Exit::Normal);
        sleep(Duration::from_secs(1)).await;
        assert!(kit.me.pid().is_alive());
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_of_itself_is_an_error_at_once() {
    for kit in both().await {
        kit.me.cast(Do::CallYourself).unwrap();
        assert_eq!(said(&kit.me).await, [format!("{:?}", Err::<(), _>(CallError::Itself))]);
        kit.root.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_handled_is_counted() {
    for kit in both().await {
        while_it_works(&kit.me, ["1", "2", "3"].map(Do::Say)).await;
        assert_eq!(kit.system.unhandled(), 0);
        // without it being trapped it ends at once
        kit.root.stop().await;
        assert_eq!(kit.system.unhandled(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn timers_that_are_due_while_it_is_suspended_come_before_what_came_after() {
    for kit in both().await {
        kit.me.cast(Do::After(Duration::from_millis(10), "timer")).unwrap();
        sleep(Duration::from_millis(1)).await;
        sys::suspend(kit.me.pid());
        sleep(Duration::from_secs(1)).await;
        kit.me.cast(Do::Say("later")).unwrap();
        sys::resume(kit.me.pid());
        assert_eq!(said(&kit.me).await, ["timer", "later"]);
        kit.root.stop().await;
    }
}
