//! A race is planted in a module: it reads, and writes what it makes of that, over two calls of a store.

use actors::{
    cx::{Answer, IqCx},
    registrar::{Module, Modules, Registrar, Xep},
    settings::Settings,
    testkit::{
        World,
        node::Node,
        script::{Got, Wire, follow},
    },
};
use std::{sync::Arc, time::Duration};
use storage::{PrivateStore, StoreFuture, Stores};
use supervision::{Task, schedule::Schedule, testkit};
use tokio::{sync::Mutex, task::yield_now};
use xmpp::{
    Element,
    jid::BareJid,
    payload::{Payload, PayloadError},
};

const NS: &str = "urn:test:count";

/// A store that is not done at once.
struct Slow(Arc<dyn PrivateStore>);

impl PrivateStore for Slow {
    fn get<'a>(
        &'a self,
        user: &'a BareJid,
        ns: &'a str,
        name: &'a str,
    ) -> StoreFuture<'a, Option<String>> {
        Box::pin(async move {
            yield_now().await;
            self.0.get(user, ns, name).await
        })
    }

    fn set<'a>(
        &'a self,
        user: &'a BareJid,
        elements: Vec<(String, String, String)>,
        limit: usize,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            yield_now().await;
            self.0.set(user, elements, limit).await
        })
    }
}

/// Counts one more.
struct Count;

impl Payload for Count {
    const NS: &'static str = NS;
    const NAME: &'static str = "count";

    fn from_element(_: &Element) -> Result<Self, PayloadError> {
        Ok(Self)
    }
}

config::section! {
    /// Nothing to configure.
    pub struct CounterConfig {}
}

/// Counts for each user; mended, one after the other.
#[derive(Debug)]
struct Counter<const MENDED: bool>(Arc<Mutex<()>>);

impl<const MENDED: bool> Module for Counter<MENDED> {
    const NAME: &'static str = "counter";
    const XEPS: &'static [Xep] = &[];
    type Config = CounterConfig;

    fn new(_: CounterConfig) -> Self {
        Self(Arc::default())
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.feature(NS).iq_set::<Count>(Self::count);
    }
}

impl<const MENDED: bool> Counter<MENDED> {
    fn count(&self, cx: &mut IqCx<'_, '_>, _: Count) -> Answer {
        let user = match cx.own_account() {
            Ok(user) => user,
            Err(error) => return error.into(),
        };
        let (store, turn) = (Arc::clone(&cx.env.stores.private), Arc::clone(&self.0));
        Answer::later(async move {
            let turn = if MENDED { Some(turn.lock().await) } else { None };
            let before = store.get(&user, NS, "count").await.unwrap();
            let count = before.map_or(0, |before| before.parse::<u32>().unwrap()) + 1;
            let row = (NS.to_owned(), "count".to_owned(), count.to_string());
            store.set(&user, vec![row], 1).await.unwrap();
            drop(turn);
            Answer::empty()
        })
    }
}

/// Two clients of Juliet's count at the same time.
async fn both_count<const MENDED: bool>(schedule: Schedule) {
    let mut modules = Modules::default();
    modules.add_with::<Counter<MENDED>>(CounterConfig {});
    let slow = |stores: Stores| Stores { private: Arc::new(Slow(stores.private)), ..stores };
    let node = Node::start(&schedule, modules, Settings::default(), slow).await;
    node.clients().account("juliet@localhost", "pencil").await;
    let mut counts = Vec::new();
    for resource in ["one", "two"] {
        let mut client = node.clients();
        let count = async move {
            let log_on =
                format!("password juliet@localhost pencil\nJ = juliet@localhost/{resource}");
            follow(&log_on, &mut client).await.unwrap();
            let ask = format!("<iq type='set' id='c'><count xmlns='{NS}'/></iq>");
            client.send("J", &ask, false).await;
            let Got::Element(answer) = client.next("J", true).await else { return None };
            answer.attr("type").map(str::to_owned)
        };
        counts.push(Task::alone(&node.system, "/client", count));
    }
    for count in counts {
        let answer = count.join(Duration::from_secs(100)).await.unwrap();
        assert_eq!(answer.as_deref(), Some("result"));
    }
    let juliet = "juliet@localhost".parse().unwrap();
    let count = node.env.stores.private.get(&juliet, NS, "count");
    assert_eq!(count.await.unwrap().as_deref(), Some("2"));
    node.stop().await;
}

#[test]
fn a_planted_race_is_found_within_a_thousand_seeds_and_its_mended_form_survives_them() {
    let torn = |schedule| World::block_on(both_count::<false>(schedule));
    let found = testkit::first_failure(0..1000, torn).unwrap();
    assert!(found.why.contains("left: Some(\"1\")"), "{found}");
    let again = testkit::first_failure(found.seed..found.seed + 1, torn).unwrap();
    assert_eq!(again.to_string(), found.to_string());
    testkit::every_seed(0..1000, |schedule| World::block_on(both_count::<true>(schedule)));
}
