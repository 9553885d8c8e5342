//! `sys`: looking into processes and holding them, also while they are busy or suspended.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use common::{BOTH, Do, Engine, Plan, SECOND, world};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use supervision::{
    CallError, Cx, Exit, InitError, Next, Reply, Server,
    sys::{self, SysError},
    testkit::{self, ended},
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
            Order::Hang => {
                cx.publish("waiting for the bank");
                std::future::pending::<()>().await;
            }
        }
        Next::Continue
    }

    fn describe(order: &Order) -> String {
        match order {
            Order::Add(n) => format!("add {n}"),
            Order::Read(_) => "read".to_owned(),
            Order::Hang => "hang".to_owned(),
        }
    }

    fn state(&self) -> Option<Value> {
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
    let kit = testkit::server::<Account>("account", || ()).await;
    let pid = kit.me.pid();
    kit.me.cast(Order::Add(2)).unwrap();
    kit.me.call(Order::Read, SECOND).await.unwrap();
    let shown = sys::state(pid, SECOND).await.unwrap();
    assert_eq!(shown, json!({ "balance": 3, "password": "******" }));
    sys::replace_state(pid, json!({ "balance": 40 }), SECOND).await.unwrap();
    assert_eq!(kit.me.call(Order::Read, SECOND).await, Ok(40));
    let refused = sys::replace_state(pid, json!({}), SECOND).await;
    assert_eq!(refused, Err(SysError::Refused("no balance".to_owned())));
    kit.root.stop().await;
    assert_eq!(sys::state(pid, SECOND).await, Err(SysError::Gone));

    // one that shows none says so, in both engines
    let world = world().await;
    for engine in BOTH {
        let a = world.puppet(engine, "a", Plan::default()).await;
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
    let kit = testkit::server::<Account>("account", || ()).await;
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
    for engine in BOTH {
        let world = world().await;
        let a = world.puppet(engine, "a", Plan { trap: true, ..Plan::default() }).await;
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
        assert!(matches!(a.pid().exit_reason(), Some(Exit::Shutdown)), "{engine:?}");
        let b = world.puppet(engine, "b", Plan::default()).await;
        sys::suspend(b.pid());
        b.pid().kill();
        assert!(matches!(ended(b.pid()).await, Exit::Killed));
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_trace_ends_by_itself_and_the_black_box_keeps_the_last() {
    let kit = testkit::server::<Account>("account", || ()).await;
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

#[tokio::test(start_paused = true)]
async fn a_trace_shows_signals_in_both_engines() {
    for engine in BOTH {
        let world = world().await;
        let a = world.puppet(engine, "a", Plan { trap: true, ..Plan::default() }).await;
        let b = world.puppet(Engine::Lean, "b", Plan::default()).await;
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
