//! A client is cut off while what it sent is being worked on, and resumes its session (XEP-0198): its stanza has been
//! handled then, or is when it sends it again, and never twice.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use actors::{
    driver::{Driver, Wait, Woken, Written},
    env::Env,
    future::BoxFuture,
    hooks::{Offline, Order},
    registrar::{Module, Modules, Registrar, Xep},
    session::{
        out::Dialect,
        state::{Conn, Tls},
    },
    testkit::{
        World, WorldOptions,
        script::{Wire, header},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use std::{convert::Infallible, future::poll_fn, pin::pin, sync::Arc, task::Poll};
use storage::OfflineLimits;
use tokio::{sync::Semaphore, task::yield_now, time::Instant};
use xmpp::{jid::BareJid, stanza::Stanza};

thread_local! {
    /// Before the store is asked, and before its answer comes.
    static GATES: [Arc<Semaphore>; 2] = [0, 0].map(Semaphore::new).map(Arc::new);
}

fn open(gate: usize) {
    GATES.with(|gates| gates[gate].add_permits(1));
}

config::section! {
    /// Nothing to configure.
    pub struct NoConfig {}
}

/// Offline storage that waits for the test.
struct Slow;

impl Module for Slow {
    const NAME: &'static str = "slow";
    const XEPS: &'static [Xep] = &[];
    type Config = NoConfig;

    fn new(_: NoConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.offline(Order::Main, Self::keep);
    }
}

impl Slow {
    fn keep(&self, env: &Arc<Env>, user: &BareJid, message: Stanza) -> BoxFuture<Offline> {
        let [before, after] = GATES.with(Clone::clone);
        let (env, user) = (Arc::clone(env), user.clone());
        Box::pin(async move {
            before.acquire().await.unwrap().forget();
            let limits = OfflineLimits::messages(100);
            env.stores.offline.push(&user, 0, message, limits).await.unwrap();
            after.acquire().await.unwrap().forget();
            Offline::Taken
        })
    }
}

/// A client of juliet's without a socket, and what it was sent.
struct Client {
    driver: Driver,
    heard: String,
}

impl Client {
    async fn logs_on(env: &Arc<Env>) -> Self {
        let (peer, tls) = ([127, 0, 0, 1].into(), Some(Tls::default()));
        let dialect = Dialect::Document;
        let conn = Conn { peer, starttls: false, tls_required: true, tls, dialect };
        let driver = Driver::new(conn, env, Instant::now());
        let mut client = Self { driver, heard: String::new() };
        let proof = BASE64.encode("\0juliet\0pencil");
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>";
        client.says(&header("localhost")).await;
        client.says(&format!("{auth}{proof}</auth>")).await;
        client.says(&header("localhost")).await;
        client
    }

    async fn says(&mut self, xml: &str) -> String {
        self.driver.feed(xml.as_bytes());
        self.goes_on().await;
        std::mem::take(&mut self.heard)
    }

    /// Whatever can be done is done.
    async fn goes_on(&mut self) {
        for _ in 0..100 {
            self.driver.settle(Instant::now);
            let heard = &mut self.heard;
            let Ok(()) = self.driver.write(
                |out| {
                    heard.push_str(std::str::from_utf8(&out.take()).unwrap());
                    Ok::<_, Infallible>(Written::All)
                },
                Instant::now,
            );
            let woken = {
                let Wait { next, after, .. } = self.driver.wait();
                let mut next = pin!(next);
                poll_fn(|task| match next.as_mut().poll(task) {
                    Poll::Ready(woken) => Poll::Ready(Some(woken)),
                    Poll::Pending => Poll::Ready(after.then_some(Woken::Queue)),
                })
                .await
            };
            if let Some(woken) = woken {
                self.driver.wake(woken);
            }
            yield_now().await;
        }
    }

    /// Whether its session goes on at once.
    async fn asks_for(&mut self, token: &str) -> bool {
        let resume = format!("<resume xmlns='urn:xmpp:sm:3' previd='{token}' h='0'/>");
        self.driver.feed(resume.as_bytes());
        self.goes_on().await;
        self.heard.contains("<resumed ")
    }

    /// What the server has handled, as it says when the session goes on.
    async fn resumed(&mut self) -> u32 {
        self.goes_on().await;
        let said = std::mem::take(&mut self.heard);
        assert!(said.contains("<resumed "), "{said}");
        attr(&said, "h").parse().unwrap()
    }

    async fn resumes(&mut self, token: &str) -> u32 {
        self.asks_for(token).await;
        self.resumed().await
    }
}

fn attr<'a>(xml: &'a str, name: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!(" {name}='")).unwrap_or_else(|| panic!("{xml}"));
    rest.split_once('\'').unwrap().0
}

/// How the client is gone.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Gone {
    /// Its connection is cut; the store answers meanwhile.
    Cut,
    /// The store takes longer than is waited for.
    CutForLong,
    /// The process of its connection is killed.
    Killed,
    /// It is back before its connection is cut.
    Replaced,
    /// And the process of that is killed.
    ReplacedAndKilled,
}

use Gone::{Cut, CutForLong, Killed, Replaced, ReplacedAndKilled};

/// How far the work on its stanza is: gates that are open.
const POINTS: [usize; 4] = [0, 1, 2, 3];

async fn is_handled_once(gone: Gone, point: usize, world: &World) {
    let env = &world.env;
    let romeo: BareJid = format!("romeo{point}@localhost").parse().unwrap();
    let message = format!("<message to='{romeo}' type='chat'><body>b</body></message>");
    let mut client = Client::logs_on(env).await;
    client
        .says(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
               <resource>balcony</resource></bind></iq>",
        )
        .await;
    let enabled = client.says("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    let token = attr(&enabled, "id").to_owned();
    (0..point.min(2)).for_each(open);
    match point {
        // it is not even looked for work
        0 => client.driver.feed(message.as_bytes()),
        _ => drop(client.says(&format!("{message}<r xmlns='urn:xmpp:sm:3'/>")).await),
    }
    let rest = point.min(2)..2;
    let mut again = Client::logs_on(env).await;
    let h = match gone {
        Cut => {
            rest.for_each(open);
            client.driver.leave(std::future::pending()).await;
            again.resumes(&token).await
        }
        CutForLong => {
            client.driver.leave(async {}).await;
            drop(client);
            rest.for_each(open);
            again.resumes(&token).await
        }
        Killed => {
            drop(client);
            rest.for_each(open);
            again.resumes(&token).await
        }
        Replaced => {
            // what it had begun counts when it is done, and not before
            assert_eq!(again.asks_for(&token).await, point >= 2, "at {point}");
            rest.for_each(open);
            client.goes_on().await;
            assert!(client.driver.is_over());
            client.driver.leave(std::future::pending()).await;
            again.resumed().await
        }
        ReplacedAndKilled => {
            assert_eq!(again.asks_for(&token).await, point >= 2, "at {point}");
            drop(client);
            rest.for_each(open);
            again.resumed().await
        }
    };
    if h == 0 {
        // the gates that were opened for the first
        (0..2).for_each(open);
        again.says(&message).await;
    }
    let said = again.says("<r xmlns='urn:xmpp:sm:3'/>").await;
    assert_eq!(attr(&said, "h"), "1", "{gone:?} at {point}");
    again.goes_on().await;
    let stored = env.stores.offline.count(&romeo).await.unwrap();
    assert_eq!(stored, 1, "{gone:?} at {point}, h was {h}");
    again.says("</stream:stream>").await;
    again.driver.leave(std::future::pending()).await;
    GATES.with(|gates| {
        gates.iter().for_each(|gate| {
            gate.forget_permits(10);
        });
    });
}

async fn world() -> World {
    let mut modules = Modules::default();
    modules.add_with::<Slow>(NoConfig {});
    let mut world = World::new(modules, WorldOptions::default()).await;
    world.account("juliet@localhost", "pencil").await;
    for point in POINTS {
        world.account(&format!("romeo{point}@localhost"), "rose").await;
    }
    world
}

fn each_point(gone: Gone) {
    World::block_on(async {
        let world = world().await;
        for point in POINTS {
            is_handled_once(gone, point, &world).await;
        }
        world.stop().await;
    });
}

#[test]
fn what_a_client_sent_before_it_was_cut_off_is_handled_once() {
    each_point(Cut);
}

#[test]
fn though_its_store_is_slow() {
    each_point(CutForLong);
}

#[test]
fn though_its_process_is_killed() {
    each_point(Killed);
}

#[test]
fn though_it_is_back_before_that_is_noticed() {
    each_point(Replaced);
    each_point(ReplacedAndKilled);
}
