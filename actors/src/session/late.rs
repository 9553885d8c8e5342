//! Tests: what a client's stanza has begun is done when its session has ended, or another connection has it.

use super::{
    effects::Job,
    ghosts::{BIND, asks, work},
    turn::Turn,
};
use crate::{
    cx::Answer,
    env::Env,
    future::BoxFuture,
    hooks::ServiceInfo,
    registrar::{Module, Modules, Registrar, Xep},
    resource::{Ended, QueueLimits, Resource},
    routing::{is_connected, send},
    sessions,
    settings::Settings,
    testkit::{World, WorldOptions, script::follow},
};
use std::{cell::RefCell, future::poll_fn, sync::Arc, task::Poll};
use storage::{RosterChange, RosterItem, Subscription};
use tokio::{sync::Semaphore, task::yield_now};
use xmpp::{
    error::{StreamError, StreamErrorCondition},
    jid::BareJid,
    payload::simple::Ping,
    stanza::{Kind, Stanza, Type},
};

config::section! {
    /// Nothing to configure.
    pub struct GateConfig {}
}

thread_local! {
    static GATES: [Arc<Semaphore>; 2] = [Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0))];
    static PASSED: RefCell<String> = RefCell::default();
}

fn gate(of: usize) -> Arc<Semaphore> {
    GATES.with(|gates| Arc::clone(&gates[of]))
}

/// A contact that takes presence and chats when the test opens its gates, that for what is unavailable or another.
#[derive(Debug)]
struct Gate;

impl Module for Gate {
    const NAME: &'static str = "gate";
    const XEPS: &'static [Xep] = &[];
    type Config = GateConfig;

    fn new(_: GateConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        let (domain, name) = ("gate".to_owned(), String::new());
        let info =
            ServiceInfo { domain, category: "component", ty: "generic", name, features: &[] };
        on.service(info, Self::pass).service_iq_get::<Ping>(|_, _, _| {
            Answer::later(async {
                drop(gate(0).acquire().await.map(|pass| pass.forget()));
                Answer::empty()
            })
        });
    }
}

impl Gate {
    fn pass(&self, _: &Arc<Env>, stanza: Stanza) -> BoxFuture<()> {
        let gate = match (stanza.head.kind, stanza.head.ty) {
            (Kind::Message, Type::Normal) => None,
            (_, ty) => Some(gate(usize::from(ty == Type::Unavailable))),
        };
        Box::pin(async move {
            if let Some(gate) = gate {
                // it is never closed
                drop(gate.acquire().await.map(|pass| pass.forget()));
            }
            PASSED
                .with_borrow_mut(|all| all.push_str(stanza.head.id.as_deref().unwrap_or_default()));
        })
    }
}

fn juliet() -> BareJid {
    "juliet@localhost".parse().unwrap()
}

/// Romeo sees juliet, and so does the gate, before he does.
async fn world() -> World {
    let mut modules = Modules::default();
    modules.add_with::<Gate>(GateConfig {});
    let mut world = World::new(modules, WorldOptions::default()).await;
    let script = "account juliet@localhost pencil
        account romeo@localhost rose
        R = romeo@localhost/orchard
        R C: <presence/>
        R S: <presence from='romeo@localhost/orchard'/>";
    follow(script, &mut world).await.unwrap();
    for (n, contact) in ["gate.localhost", "romeo@localhost"].into_iter().enumerate() {
        let mut item = RosterItem::new(contact.parse().unwrap());
        item.subscription = Subscription::From;
        let put = RosterChange::Put(item);
        world.env.stores.rosters.change(&juliet(), n as u64, put, 10).await.unwrap();
    }
    world
}

/// A session of juliet's.
async fn bound(env: &Arc<Env>) -> (Turn, Arc<Resource>) {
    let (mut turn, job) = asks(BIND, env).await;
    let then = job.await;
    turn.done(then, env);
    work(&mut turn, env).await;
    let resource = env.table.find(&juliet(), "balcony").unwrap();
    (turn, resource)
}

async fn a_while() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[test]
fn a_session_that_has_ended_becomes_available_for_nobody() {
    World::block_on(async {
        let mut world = world().await;
        let env = Arc::clone(&world.env);
        gate(0).add_permits(10);
        let (mut turn, resource) = bound(&env).await;
        turn.feed(b"<presence/>", &env);
        turn.feed(b"<presence to='romeo@localhost/orchard'/>", &env);
        // its end has begun, and takes a while
        assert!(resource.end(Ended::Kicked, env.next_session()));
        work(&mut turn, &env).await;
        assert_eq!((resource.priority(), resource.directed_is_empty()), (None, true));
        assert!(!is_connected(&env, &juliet()).await);
        // nobody is there for a message, so it comes back
        let message = b"<message from='romeo@localhost/orchard' to='juliet@localhost' id='1'/>";
        send(&env, Stanza::parse(message).unwrap()).await;
        follow("R S: <message type='error' id='1'/>\nR S: nothing", &mut world).await.unwrap();
        drop(turn.detach());
        sessions::lost(&env, resource);
        world.stop().await;
    });
}

#[test]
fn nobody_sees_a_session_come_after_it_went() {
    World::block_on(async {
        let mut world = world().await;
        let env = Arc::clone(&world.env);
        gate(1).add_permits(1);
        let (mut turn, resource) = bound(&env).await;
        turn.feed(b"<presence/>", &env);
        let mut job = turn.job().unwrap();
        let waits = poll_fn(|cx| Poll::Ready(job.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "at the gate");
        sessions::kick(&env, &resource, Ended::Kicked).await;
        let went = "R S: <presence type='unavailable' from='juliet@localhost/balcony'/>";
        follow(went, &mut world).await.unwrap();
        gate(0).add_permits(1);
        gate(1).add_permits(1);
        let then = job.await;
        turn.done(then, &env);
        work(&mut turn, &env).await;
        follow("R S: nothing", &mut world).await.unwrap();
        assert_eq!(gate(1).available_permits(), 0, "whom it was on the way to hears it again");
        drop(turn.detach());
        world.stop().await;
    });
}

#[test]
fn a_session_goes_before_the_next_of_its_name_comes_though_it_had_ended_by_itself() {
    World::block_on(async {
        let mut world = world().await;
        let env = Arc::clone(&world.env);
        gate(0).add_permits(10);
        let (mut turn, resource) = bound(&env).await;
        turn.feed(b"<presence/>", &env);
        work(&mut turn, &env).await;
        let came = "R S: <presence from='juliet@localhost/balcony'/>\n";
        follow(came, &mut world).await.unwrap();
        drop(turn.detach());
        sessions::lost(&env, resource);
        a_while().await;
        assert_eq!(env.managers.ending(), 1);
        let next = async {
            let (mut turn, _) = bound(&env).await;
            turn.feed(b"<presence/>", &env);
            work(&mut turn, &env).await;
            turn
        };
        let open = async {
            a_while().await;
            gate(1).add_permits(10);
        };
        let (mut turn, ()) = tokio::join!(next, open);
        let went = "R S: <presence type='unavailable' from='juliet@localhost/balcony'/>\n";
        follow(&format!("{went}{came}R S: nothing"), &mut world).await.unwrap();
        drop(turn.detach());
        world.stop().await;
    });
}

/// A session of juliet's that is to be resumed on another connection while what its client sent is not done: nothing is said of
/// it until it is.
async fn resuming(what: &str, env: &Arc<Env>) -> (Turn, Turn, Job) {
    let (mut turn, resource) = bound(env).await;
    turn.feed(b"<enable xmlns='urn:xmpp:sm:3' resume='true'/>", env);
    let token = resource.with_sm(|sm| sm.as_ref().and_then(|sm| sm.token.clone())).unwrap();
    turn.feed(what.as_bytes(), env);
    let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>");
    let (next, mut job) = asks(&resume, env).await;
    let waits = poll_fn(|cx| Poll::Ready(job.as_mut().poll(cx).is_pending())).await;
    a_while().await;
    let still = poll_fn(|cx| Poll::Ready(job.as_mut().poll(cx).is_pending())).await;
    assert!(waits && still, "it would count as handled");
    (turn, next, job)
}

/// It is done.
async fn resumed(next: &mut Turn, job: Job, env: &Arc<Env>) {
    let then = job.await;
    next.done(then, env);
    assert!(said(next).contains("h='1'"), "it counts as handled");
}

fn said(turn: &mut Turn) -> String {
    String::from_utf8(turn.out().take()).unwrap()
}

#[test]
fn what_comes_after_a_resumption_does_not_overtake_what_was_begun_before() {
    World::block_on(async {
        let world = world().await;
        let env = Arc::clone(&world.env);
        let (mut turn, mut next, job) =
            resuming("<message to='gate.localhost' type='chat' id='1'/>", &env).await;
        next.feed(b"<message to='gate.localhost' id='2'/>", &env);
        let before = async {
            a_while().await;
            gate(0).add_permits(1);
            work(&mut turn, &env).await;
        };
        let after = async {
            resumed(&mut next, job, &env).await;
            work(&mut next, &env).await;
        };
        tokio::join!(before, after);
        assert_eq!(PASSED.take(), "12");
        drop((turn.detach(), next.detach()));
        world.stop().await;
    });
}

#[test]
fn what_was_asked_before_a_resumption_is_answered_after_it() {
    World::block_on(async {
        let world = world().await;
        let env = Arc::clone(&world.env);
        let ping = "<iq to='gate.localhost' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
        let (mut turn, mut next, job) = resuming(ping, &env).await;
        assert!(turn.drain(1, &env).is_none());
        turn.end(StreamError::new(StreamErrorCondition::Conflict), &env);
        gate(0).add_permits(1);
        work(&mut turn, &env).await;
        resumed(&mut next, job, &env).await;
        next.drain(10, &env);
        let answer = said(&mut next);
        assert!(answer.contains(" id='p'") && answer.contains(" type='result'"), "{answer}");
        assert!(said(&mut turn).ends_with("</stream:stream>"));
        drop((turn.detach(), next.detach()));
        world.stop().await;
    });
}

#[test]
fn who_has_to_go_hears_before_what_failed() {
    World::block_on(async {
        let queues = QueueLimits { unacked: 4, ..QueueLimits::default() };
        let settings = Settings { queues, ..Settings::default() };
        let options = WorldOptions { settings, ..WorldOptions::default() };
        let mut world = World::new(Modules::default(), options).await;
        follow("account juliet@localhost pencil", &mut world).await.unwrap();
        let env = Arc::clone(&world.env);
        let (mut turn, _) = bound(&env).await;
        turn.feed(b"<enable xmlns='urn:xmpp:sm:3'/>", &env);
        let mut heard = String::new();
        for n in 0..9 {
            let message = format!("<message to='nobody@localhost' type='chat' id='m{n}'/>");
            turn.feed(message.as_bytes(), &env);
            work(&mut turn, &env).await;
            turn.drain(10, &env);
            heard += &said(&mut turn);
        }
        assert!(!heard.contains(" id='m8'"), "it waits for acknowledgements");
        turn.end(StreamError::new(StreamErrorCondition::SystemShutdown), &env);
        heard += &said(&mut turn);
        let places: Vec<_> = (0..9).map(|n| heard.find(&format!(" id='m{n}'")).unwrap()).collect();
        assert!(places.is_sorted() && heard.matches(" id='m8'").count() == 1, "{heard}");
        let ends = [" h='9'", "<system-shutdown"].map(|end| heard.find(end).unwrap());
        assert!(places[8] < ends[0] && ends[0] < ends[1], "{heard}");
        drop(turn.detach());
        world.stop().await;
    });
}
