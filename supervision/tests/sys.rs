//! `sys`: looking into processes and holding them, also while they are busy or suspended.
#![expect(clippy::panic, reason = "a test")]

mod common;

use common::{BOTH, Do, Plan, SECOND, What, world};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use supervision::{
    CallError, Cx, Event, Exit, InitError, Next, Process, Reply, Server,
    sys::{self, Question, SysError},
    testkit::{self, Probe, ended},
};

/// Its password is nobody's business.
struct Account {
    balance: i64,
    password: String,
}

enum Order {
    Add(i64),
    Read(Reply<i64>),
    Hang,
    Overdraw,
}

impl Server for Account {
    type Args = ();
    type Msg = Order;
    const NAME: &'static str = "account";

    async fn init((): (), _: &mut Cx<Order>) -> Result<Self, InitError> {
        Ok(Self { balance: 1, password: "secret".to_owned() })
    }

    async fn handle(&mut self, order: Order, cx: &mut Cx<Order>) -> Next {
        match order {
            Order::Add(n) => self.balance += n,
            Order::Read(reply) => reply.send(self.balance),
            Order::Overdraw => panic!("overdrawn"),
            Order::Hang => {
                cx.publish("waiting for the bank");
                std::future::pending::<()>().await;
            }
        }
        Next::Continue
    }

    fn describe(order: &Order) -> Cow<'static, str> {
        match order {
            Order::Add(n) => format!("add {n}").into(),
            Order::Read(_) => "read".into(),
            Order::Hang => "hang".into(),
            Order::Overdraw => "overdraw".into(),
        }
    }

    fn state(&self) -> Option<Value> {
        assert_ne!(self.balance, 13, "that is not shown");
        let password = "*".repeat(self.password.len());
        Some(json!({ "balance": self.balance, "password": password }))
    }

    fn replace_state(&mut self, state: Value) -> Result<(), SysError> {
        let balance = state.get("balance").and_then(Value::as_i64);
        self.balance = balance.ok_or_else(|| SysError::Refused("no balance".to_owned()))?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_state_is_shown_and_replaced_where_a_behaviour_says_so() {
    let kit = common::server::<Account>("account", || ()).await;
    let pid = kit.me.pid();
    kit.me.cast(Order::Add(2)).unwrap();
    kit.me.call(Order::Read, SECOND).await.unwrap();
    let shown = sys::state(pid, SECOND).await.unwrap();
    assert_eq!(shown, json!({ "balance": 3, "password": "******" }));
    sys::replace_state(pid, json!({ "balance": 40 }), SECOND).await.unwrap();
    assert_eq!(kit.me.call(Order::Read, SECOND).await, Ok(40));
    let refused = sys::replace_state(pid, json!({}), SECOND).await;
    assert_eq!(refused, Err(SysError::Refused("no balance".to_owned())));
    // to look harms nobody
    sys::replace_state(pid, json!({ "balance": 13 }), SECOND).await.unwrap();
    let hidden = sys::state(pid, SECOND).await.unwrap_err().to_string();
    assert!(hidden.contains("that is not shown"), "{hidden}");
    let report = kit.system.crashes().list().remove(0);
    assert_eq!(report.inputs, ["state: it was not shown"]);
    sys::replace_state(pid, json!({ "balance": 40 }), SECOND).await.unwrap();
    kit.me.cast(Order::Overdraw).unwrap();
    ended(pid).await;
    let report = kit.system.crashes().list().remove(0);
    assert_eq!(report.state, Some(json!({ "balance": 40, "password": "******" })));
    kit.root.stop().await;
    assert_eq!(sys::state(pid, SECOND).await, Err(SysError::Gone));

    // one that shows none says so, in both engines
    let world = world().await;
    for what in BOTH {
        let a = world.puppet(what, "a", Plan::default()).await;
        assert_eq!(sys::state(a.pid(), SECOND).await, Err(SysError::NotSupported));
        let replaced = sys::replace_state(a.pid(), Value::Null, SECOND).await;
        assert_eq!(replaced, Err(SysError::NotSupported));
        assert_eq!(a.call(|r| Do::Echo(1, r), SECOND).await, Ok(1));
        world.root.terminate_child("a").await.unwrap();
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_process_is_seen_from_outside() {
    let kit = common::server::<Account>("account", || ()).await;
    let pid = kit.me.pid();
    kit.me.cast(Order::Hang).unwrap();
    kit.me.cast(Order::Add(1)).unwrap();
    tokio::time::sleep(SECOND).await;
    let status = sys::status(pid);
    assert!(status.busy >= Some(SECOND) && status.alive && !status.suspended);
    assert_eq!((status.statistics.queued, status.statistics.handled), (1, 0));
    assert_eq!(status.status.as_deref(), Some("waiting for the bank"));
    assert_eq!((status.path, status.ancestors), ("/account".to_owned(), vec!["/".to_owned()]));
    let Err(busy) = sys::state(pid, SECOND * 2).await else { panic!("it answered") };
    assert!(matches!(busy, SysError::Busy(d) if d >= SECOND * 3));
    assert_eq!(busy.to_string(), "busy in handler for 3.0 s");
    kit.root.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_process_takes_no_messages_but_ends_when_it_must() {
    for what in BOTH {
        let world = world().await;
        let a = world.puppet(what, "a", Plan { trap: true, ..Plan::default() }).await;
        sys::suspend(a.pid());
        assert!(sys::status(a.pid()).suspended);
        assert_eq!(a.call(|r| Do::Echo(1, r), SECOND).await, Err(CallError::Timeout));
        assert_eq!(
            sys::state(a.pid(), SECOND).await,
            Err(SysError::NotSupported),
            "it answers sys"
        );
        sys::resume(a.pid());
        assert_eq!(a.call(|r| Do::Echo(2, r), SECOND).await, Ok(2));
        sys::suspend(a.pid());
        world.root.terminate_child("a").await.unwrap();
        assert!(matches!(a.pid().exit_reason(), Some(Exit::Shutdown)), "{what:?}");
        let b = world.puppet(what, "b", Plan::default()).await;
        sys::suspend(b.pid());
        b.pid().kill();
        assert!(matches!(ended(b.pid()).await, Exit::Killed));
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_trace_ends_by_itself_and_the_black_box_keeps_the_last() {
    let kit = common::server::<Account>("account", || ()).await;
    let pid = kit.me.pid();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&seen);
    sys::trace(pid, 3, move |event| sink.lock().push(event.what.clone()));
    sys::log(pid, 2);
    for n in 1..=5 {
        kit.me.cast(Order::Add(n)).unwrap();
    }
    kit.me.call(Order::Read, SECOND).await.unwrap();
    assert_eq!(*seen.lock(), ["message: add 1", "message: add 2", "message: add 3"]);
    let last: Vec<String> = sys::last_events(pid).into_iter().map(|e| e.what).collect();
    assert_eq!(last, ["message: add 5", "message: read"]);
    // also of one that hangs
    kit.me.cast(Order::Hang).unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(sys::last_events(pid).last().unwrap().what, "message: hang");
    sys::log(pid, 0);
    assert!(sys::last_events(pid).is_empty());
    kit.root.stop().await;
}

/// Is busy for ten seconds at each message, and counts how often it shows its state.
struct Slow(u64, Arc<AtomicU64>);

impl Server for Slow {
    type Args = Arc<AtomicU64>;
    type Msg = ();
    const NAME: &'static str = "slow";

    async fn init(shown: Arc<AtomicU64>, _: &mut Cx<()>) -> Result<Self, InitError> {
        Ok(Self(0, shown))
    }

    async fn handle(&mut self, (): (), _: &mut Cx<()>) -> Next {
        tokio::time::sleep(SECOND * 10).await;
        Next::Continue
    }

    fn state(&self) -> Option<Value> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Some(self.0.into())
    }

    fn replace_state(&mut self, state: Value) -> Result<(), SysError> {
        self.0 = state.as_u64().ok_or(SysError::NotSupported)?;
        Ok(())
    }
}

/// A process that is busy for long keeps nothing of those who have asked in vain; what they have put in counts.
#[tokio::test(start_paused = true)]
async fn a_question_that_was_given_up_is_not_answered() {
    let shown: Arc<AtomicU64> = Arc::default();
    let args = Arc::clone(&shown);
    let slow = common::server::<Slow>("slow", move || Arc::clone(&args)).await;
    slow.me.cast(()).unwrap();
    tokio::task::yield_now().await;
    for n in 1..=100 {
        let asked = sys::state(slow.me.pid(), SECOND / 100).await;
        assert!(matches!(asked, Err(SysError::Busy(_))), "{asked:?}");
        if n % 50 == 0 {
            let put = sys::replace_state(slow.me.pid(), n.into(), SECOND / 100).await;
            assert!(matches!(put, Err(SysError::Busy(_))), "{put:?}");
        }
    }
    assert_eq!(sys::state(slow.me.pid(), SECOND * 20).await.unwrap(), 100);
    assert_eq!(shown.load(Ordering::Relaxed), 1);
    slow.root.stop().await;
}

/// A thousand events of a process that says very much are a megabyte.
#[tokio::test(start_paused = true)]
async fn an_event_is_cut() {
    let mut probe: Probe<()> = Probe::start(&common::system("test")).await;
    let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
    let sink = Arc::clone(&seen);
    sys::trace(probe.pid(), 9, move |event| sink.lock().push(event.what.len()));
    sys::log(probe.pid(), 9);
    probe.pid().exit(Exit::error(&"\u{fc}".repeat(1 << 20)));
    probe.exit().await;
    let kept = sys::last_events(probe.pid());
    assert_eq!(*seen.lock(), [kept[0].what.len()]);
    assert!(kept[0].what.starts_with("exit signal") && kept[0].what.ends_with("\u{fc} ..."));
    assert!((sys::EVENT_BYTES..sys::EVENT_BYTES + 5).contains(&kept[0].what.len()));
}

#[tokio::test(start_paused = true)]
async fn a_trace_shows_signals_in_both_engines() {
    for what in BOTH {
        let world = world().await;
        let a = world.puppet(what, "a", Plan { trap: true, ..Plan::default() }).await;
        let b = world.puppet(What::Process, "b", Plan::default()).await;
        sys::log(a.pid(), 10);
        a.pid().link(b.pid());
        b.pid().monitor(a.pid());
        b.cast(Do::Exit(Exit::error("bad"))).unwrap();
        ended(b.pid()).await;
        assert_eq!(a.call(|r| Do::Echo(1, r), SECOND).await, Ok(1));
        let last: Vec<String> = sys::last_events(a.pid()).into_iter().map(|e| e.what).collect();
        assert!(last[0].starts_with("exit signal of <") && last[0].ends_with(": bad"), "{last:?}");
        assert!(last[1].starts_with("down: <"), "{last:?}");
        assert!(last[2].starts_with("message: "), "{last:?}");
        let status = sys::status(a.pid());
        assert_eq!((status.statistics.handled, status.traps_exits), (3, true));
        world.stop().await;
    }
}

/// A process that owns its loop and answers in it.
struct Session {
    user: String,
    password: String,
}

enum Say {
    Rename(&'static str),
    Hang,
    Break,
}

impl Process for Session {
    type Args = ();
    type Msg = Say;
    const NAME: &'static str = "session";

    async fn init((): (), _: &mut Cx<Say>) -> Result<Self, InitError> {
        Ok(Self { user: "anna".to_owned(), password: "secret".to_owned() })
    }

    async fn run(&mut self, cx: &mut Cx<Say>) -> Exit {
        loop {
            let event = cx.next_answering(|question| {
                if let Question::Replace(state) = question {
                    let user = state.get("user").and_then(Value::as_str);
                    self.user = user.ok_or_else(|| SysError::Refused("no user".to_owned()))?.into();
                }
                assert_ne!(self.user, "broken");
                Ok(json!({ "user": self.user, "password": "*".repeat(self.password.len()) }))
            });
            match event.await {
                Event::Msg(Say::Rename(user)) => self.user = user.to_owned(),
                Event::Msg(Say::Hang) => std::future::pending::<()>().await,
                Event::Msg(Say::Break) => self.user = "broken".to_owned(),
                Event::Exit { reason, .. } => return reason,
                Event::Down { .. } => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_owns_its_loop_answers_in_it() {
    let kit = testkit::process::<Session>("session", || ()).await;
    let pid = kit.me.pid();
    let shown = sys::state(pid, SECOND).await.unwrap();
    assert_eq!(shown, json!({ "user": "anna", "password": "******" }), "redacted");
    // a message that waits when it is suspended is not in the state
    sys::suspend(pid);
    kit.me.cast(Say::Rename("bert")).unwrap();
    assert_eq!(sys::state(pid, SECOND).await.unwrap()["user"], "anna");
    sys::replace_state(pid, json!({ "user": "cora" }), SECOND).await.unwrap();
    assert_eq!(sys::state(pid, SECOND).await.unwrap()["user"], "cora");
    let refused = sys::replace_state(pid, json!({}), SECOND).await;
    assert_eq!(refused, Err(SysError::Refused("no user".to_owned())));
    sys::resume(pid);
    tokio::task::yield_now().await;
    assert_eq!(sys::state(pid, SECOND).await.unwrap()["user"], "bert");
    // who panics while it answers has crashed, and who asked learns it at once
    kit.me.cast(Say::Break).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(sys::state(pid, SECOND * 1000).await, Err(SysError::Gone));
    assert!(matches!(ended(pid).await, Exit::Crash(_)));
    kit.root.stop().await;
    // while it waits for something else it does not answer
    let kit = testkit::process::<Session>("session", || ()).await;
    kit.me.cast(Say::Hang).unwrap();
    tokio::task::yield_now().await;
    assert_eq!(sys::state(kit.me.pid(), SECOND).await, Err(SysError::Timeout));
    kit.root.stop().await;
}

/// What is asked of it while it hangs, and while it is suspended.
#[tokio::test(start_paused = true)]
async fn all_of_sys_works_on_one_that_is_busy_and_on_one_that_is_suspended() {
    let busy = common::server::<Account>("account", || ()).await;
    busy.me.cast(Order::Hang).unwrap();
    let held = common::server::<Account>("account", || ()).await;
    sys::suspend(held.me.pid());
    tokio::time::sleep(SECOND).await;
    for (kit, hangs) in [(&busy, true), (&held, false)] {
        let pid = kit.me.pid();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&seen);
        // switched on now; what comes next waits
        sys::log(pid, 2);
        sys::trace(pid, 1, move |event| sink.lock().push(event.what.clone()));
        for n in 1..=3 {
            kit.me.cast(Order::Add(n)).unwrap();
        }
        assert_eq!(sys::statistics(pid).queued, 3);
        assert_eq!(sys::statistics(pid).uptime, SECOND * if hangs { 1 } else { 4 });
        assert_eq!((sys::status(pid).busy.is_some(), sys::status(pid).suspended), (hangs, !hangs));
        assert!(sys::last_events(pid).is_empty() && seen.lock().is_empty());
        if hangs {
            // the answer is for how long already; a question nobody waits for any more is dropped
            let busy = sys::state(pid, SECOND).await;
            assert!(matches!(busy, Err(SysError::Busy(d)) if d >= SECOND * 2), "{busy:?}");
            let busy = sys::replace_state(pid, json!({ "balance": 9 }), SECOND * 2).await;
            assert!(matches!(busy, Err(SysError::Busy(d)) if d >= SECOND * 4), "{busy:?}");
            sys::suspend(pid);
            assert!(sys::status(pid).suspended);
            sys::resume(pid);
        } else {
            assert_eq!(sys::state(pid, SECOND).await.unwrap()["balance"], 1);
            sys::replace_state(pid, json!({ "balance": 40 }), SECOND).await.unwrap();
            assert_eq!(sys::state(pid, SECOND).await.unwrap()["balance"], 40);
            sys::resume(pid);
            assert_eq!(kit.me.call(Order::Read, SECOND).await, Ok(46));
            assert_eq!(*seen.lock(), ["message: add 1"], "the trace ended by itself");
            let last: Vec<String> = sys::last_events(pid).into_iter().map(|e| e.what).collect();
            assert_eq!(last, ["message: add 3", "message: read"]);
        }
        kit.root.stop().await;
    }
}
