//! Conversations of those who block and are blocked.

use super::*;
use crate::{
    modules::{
        offline::{OfflineConfig, OfflineModule},
        ping::{PingConfig, PingModule},
        roster::{RosterConfig, RosterModule},
    },
    registrar::Modules,
    sessions,
    testkit::{World, script::Wire},
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Waker},
};
use storage::{BlocklistStore, StoreFuture};
use tokio::sync::Semaphore;

fn blocking(items: usize) -> impl Fn(&mut Modules) {
    move |modules| {
        modules.add_with::<BlockingModule>(BlockingConfig { items, ..BlockingConfig::default() });
        modules.add_with::<OfflineModule>(OfflineConfig::default());
        modules.add_with::<PingModule>(PingConfig::default());
        modules.add_with::<RosterModule>(RosterConfig::default());
    }
}

#[test]
fn the_list_has_a_limit_in_bytes() {
    let long = "x".repeat(1_000);
    let block = |n: usize| {
        format!(
            "J C: <iq type='set' id='{n}'><block xmlns='urn:xmpp:blocking'>
               <item jid='{n}@x/{long}'/></block></iq>\n"
        )
    };
    let taken: String =
        (0..3).map(|n| block(n) + &format!("J S: <iq type='result' id='{n}'/>\n")).collect();
    let script = format!(
        "account juliet@localhost pencil
         J = juliet@localhost/balcony
         {taken}{}
         J S: <iq type='error' id='3'><error type='wait'>
           <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
         {}
         J S: <iq type='result' id='2'/>",
        block(3),
        block(2),
    );
    World::check(&script, |modules| {
        let size = config::kib(4);
        modules.add_with::<BlockingModule>(BlockingConfig { size, ..BlockingConfig::default() });
    });
}

#[test]
fn a_blocked_address_finds_nobody_until_it_is_unblocked() {
    World::check(include_str!("../../../../tests/scripts/blocking.xmpp"), blocking(10));
}

#[test]
fn a_list_that_is_full_takes_no_more() {
    World::check(
        "account juliet@localhost pencil
         J = juliet@localhost/balcony
         J C: <iq type='set' id='1'><block xmlns='urn:xmpp:blocking'><item jid='a@x'/><item jid='b@x'/></block></iq>
         J S: <iq type='error' id='1'><error type='wait'>
              <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
         J C: <iq type='get' id='2'><blocklist xmlns='urn:xmpp:blocking'/></iq>
         J S: <iq type='result' id='2'><blocklist xmlns='urn:xmpp:blocking'/></iq>
         J C: <iq type='set' id='3'><block xmlns='urn:xmpp:blocking'><item jid='a@x'/></block></iq>
         J S: <iq type='result' id='3'/>",
        blocking(1),
    );
}

#[test]
fn what_waits_for_a_lost_session_is_refused_when_its_sender_is_blocked() {
    World::check(
        "account juliet@localhost pencil
         account romeo@localhost rose
         J = juliet@localhost/balcony
         K = juliet@localhost/chamber
         R = romeo@localhost/orchard
         J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
         J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}'/>
         J cut
         R C: <message to='juliet@localhost/balcony' id='1'><body>b</body></message>
         R S: nothing
         K C: <iq type='set' id='2'><block xmlns='urn:xmpp:blocking'><item jid='romeo@localhost'/></block></iq>
         K S: <iq type='result' id='2'/>
         R S: <message type='error' id='1' from='juliet@localhost/balcony'><error type='cancel'>
              <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
        blocking(10),
    );
}

#[test]
fn what_was_kept_of_somebody_who_is_blocked_since_is_refused() {
    World::check(
        "account juliet@localhost pencil
         account romeo@localhost rose
         account paris@localhost ring
         J = juliet@localhost/balcony
         R = romeo@localhost/orchard
         P = paris@localhost/hall
         R C: <message to='juliet@localhost' id='1'><body>a</body></message>
         P C: <message to='juliet@localhost' id='2'><body>b</body></message>
         R C: <message to='juliet@localhost' id='3'><body>c</body></message>
         R S: nothing
         J C: <iq type='set' id='4'><block xmlns='urn:xmpp:blocking'><item jid='romeo@localhost'/></block></iq>
         J S: <iq type='result' id='4'/>
         J C: <presence/>
         J S: <message id='2' from='paris@localhost/hall'/>
         J S: <presence/>
         J S: nothing
         R S: <message type='error' id='1' from='juliet@localhost'><error type='cancel'>
              <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
         R S: <message type='error' id='3'/>
         J C: <iq type='set' id='5'><unblock xmlns='urn:xmpp:blocking'/></iq>
         J S: <iq type='result' id='5'/>
         J cut
         R C: <message to='juliet@localhost' id='6'><body>d</body></message>
         J = juliet@localhost/balcony
         J C: <presence/>
         J S: <message id='6'/>
         J S: <presence/>
         J C: <presence type='unavailable'/>
         J S: <presence type='unavailable'/>
         R C: <message to='juliet@localhost' id='7'><body>e</body></message>
         J C: <iq type='set' id='8'><block xmlns='urn:xmpp:blocking'><item jid='localhost'/></block></iq>
         J S: <iq type='result' id='8'/>
         J C: <presence/>
         J S: <presence/>
         R S: <message type='error' id='7'/>
         J S: nothing",
        blocking(10),
    );
}

/// A store of which one answer comes late.
struct Late {
    store: Arc<dyn BlocklistStore>,
    late: AtomicBool,
    gate: Semaphore,
}

impl BlocklistStore for Late {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Blocklist>> {
        Box::pin(async move {
            let list = self.store.get(user).await;
            if self.late.swap(false, Ordering::Relaxed) {
                drop(self.gate.acquire().await);
            }
            list
        })
    }

    fn add<'a>(
        &'a self,
        user: &'a BareJid,
        jids: Vec<Jid>,
        limit: usize,
    ) -> StoreFuture<'a, Arc<Blocklist>> {
        self.store.add(user, jids, limit)
    }

    fn remove<'a>(&'a self, user: &'a BareJid, jids: Vec<Jid>) -> StoreFuture<'a, Arc<Blocklist>> {
        self.store.remove(user, jids)
    }
}

#[test]
fn who_is_blocked_while_a_session_begins_is_blocked_for_it_too() {
    World::block_on(async {
        let mut modules = Modules::default();
        modules.add_with::<BlockingModule>(BlockingConfig::default());
        let mut late = None;
        let mut world = World::with_stores(modules, |mut stores| {
            let (store, gate) = (Arc::clone(&stores.blocklists), Semaphore::new(0));
            let store = Arc::new(Late { store, late: AtomicBool::new(false), gate });
            stores.blocklists = Arc::clone(&store) as _;
            late = Some(store);
            stores
        })
        .await;
        world.account("juliet@localhost", "x").await;
        let late = late.unwrap();
        let (env, serial, config) = (&world.env, Serial::default(), BlockingConfig::default());
        let user: BareJid = "juliet@localhost".parse().unwrap();
        let one = sessions::bind(env, &user, None).await.unwrap().keep().resource;
        late.late.store(true, Ordering::Relaxed);
        let romeo: Jid = "romeo@localhost".parse().unwrap();
        let mut loads = Box::pin(load(env, &serial, &one));
        let mut blocks = Box::pin(block(env, &serial, &config, &user, vec![romeo.clone()]));
        let mut task = Context::from_waker(Waker::noop());
        assert!(loads.as_mut().poll(&mut task).is_pending());
        let done = blocks.as_mut().poll(&mut task);
        late.gate.add_permits(1);
        loads.await.unwrap();
        if done.is_pending() {
            blocks.as_mut().await.unwrap();
        }
        drop(blocks);
        assert!(one.blocks(&romeo));
        world.stop().await;
    });
}
