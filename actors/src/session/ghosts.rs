//! Tests: a session that ends while a bind or a resume of it is out leaves nothing behind that nobody ends.

use super::{
    effects::{Job, TimerKey},
    out::Dialect,
    state::{Conn, Tls},
    turn::Turn,
};
use crate::{
    env::Env,
    registrar::Modules,
    resource::Owner,
    testkit::{
        World, WorldOptions,
        script::{Got, Wire, follow, header},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::{future::poll_fn, sync::Arc, task::Poll};
use tokio::task::yield_now;
use xmpp::error::{StreamError, StreamErrorCondition};
use xmpp::jid::BareJid;

pub(super) const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
    <resource>balcony</resource></bind></iq>";

/// How a session is gone before it hears the answer to what it asked its manager.
#[derive(Clone, Copy, Debug)]
enum Gone {
    /// Its time to log on is over.
    TimedOut,
    /// The node stops, or an operator ends it.
    Ended,
    /// Its process is killed before the manager has looked at it.
    Killed,
    /// Its process is killed when the manager has answered.
    KilledLate,
}

const WAYS: [Gone; 4] = [Gone::TimedOut, Gone::Ended, Gone::Killed, Gone::KilledLate];

async fn world() -> World {
    let mut world = World::new(Modules::default(), WorldOptions::default()).await;
    follow("account juliet@localhost pencil", &mut world).await.unwrap();
    world
}

pub(super) async fn work(turn: &mut Turn, env: &Arc<Env>) {
    while let Some(job) = turn.job() {
        let then = job.await;
        turn.done(then, env);
    }
}

/// A client of juliet's that has not bound a resource, and the job of what it asks for.
pub(super) async fn asks(what: &str, env: &Arc<Env>) -> (Turn, Job) {
    let (peer, tls) = ([127, 0, 0, 1].into(), Some(Tls::default()));
    let mut turn = Turn::new(
        Conn { peer, starttls: false, tls_required: false, tls, dialect: Dialect::Document },
        env,
    );
    let proof = BASE64.encode("\0juliet\0pencil");
    let auth =
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{proof}</auth>");
    for bytes in [&header("localhost"), &auth, &header("localhost")] {
        turn.feed(bytes.as_bytes(), env);
        work(&mut turn, env).await;
    }
    turn.feed(what.as_bytes(), env);
    let job = turn.job().unwrap();
    (turn, job)
}

async fn is_gone(how: Gone, (mut turn, mut job): (Turn, Job), env: &Arc<Env>) {
    match how {
        Gone::TimedOut | Gone::Ended => {
            match how {
                Gone::TimedOut => turn.timer(TimerKey::Negotiation, env),
                _ => turn.end(StreamError::new(StreamErrorCondition::SystemShutdown), env),
            }
            let then = job.await;
            turn.done(then, env);
        }
        Gone::Killed | Gone::KilledLate => {
            let pending = poll_fn(|cx| Poll::Ready(job.as_mut().poll(cx).is_pending())).await;
            assert!(pending, "it waits for its manager");
            if matches!(how, Gone::KilledLate) {
                managers_work().await;
            }
            drop(job);
        }
    }
    assert!(turn.detach().is_none());
    managers_work().await;
}

async fn managers_work() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[test]
fn a_bind_that_nobody_waits_for_leaves_no_session() {
    World::block_on(async {
        let world = world().await;
        let env = &world.env;
        for how in WAYS {
            is_gone(how, asks(BIND, env).await, env).await;
            assert!(env.table.is_empty(), "{how:?}");
            let user: BareJid = "juliet@localhost".parse().unwrap();
            assert_eq!(env.registry.lookup(user.as_str()).await.unwrap().len(), 0, "{how:?}");
        }
        world.stop().await;
    });
}

#[test]
fn a_session_can_be_resumed_after_a_resumption_that_nobody_waits_for() {
    World::block_on(async {
        let (world, resume) = session_that_waits().await;
        let env = Arc::clone(&world.env);
        for how in WAYS {
            is_gone(how, asks(&resume, &env).await, &env).await;
            let waits = env.table.find(&"juliet@localhost".parse().unwrap(), "balcony").unwrap();
            assert_eq!(waits.owner(), Owner::Detached, "{how:?}");
        }
        let (mut turn, job) = asks(&resume, &env).await;
        let then = job.await;
        turn.done(then, &env);
        let said = String::from_utf8(turn.out().take()).unwrap();
        assert!(said.contains("<resumed "), "{said}");
        drop(turn.detach());
        world.stop().await;
    });
}

#[test]
fn a_session_waits_no_longer_for_resumptions_that_nobody_waits_for() {
    World::block_on(async {
        let (mut world, resume) = session_that_waits().await;
        let env = Arc::clone(&world.env);
        let window = env.settings().resume_window;
        is_gone(Gone::TimedOut, asks(&resume, &env).await, &env).await;
        world.pass(window).await;
        managers_work().await;
        assert!(env.table.is_empty());
        world.stop().await;
    });
}

/// A server with a session whose client is gone, and how it can be resumed.
async fn session_that_waits() -> (World, String) {
    let mut world = World::new(Modules::default(), WorldOptions::default()).await;
    let script = "account juliet@localhost pencil\nJ = juliet@localhost/balcony";
    follow(script, &mut world).await.unwrap();
    world.send("J", "<enable xmlns='urn:xmpp:sm:3' resume='true'/>", false).await;
    let Got::Element(enabled) = world.next("J", true).await else { panic!("it is enabled") };
    let token = enabled.attr("id").unwrap();
    let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>");
    world.cut("J").await;
    (world, resume)
}
