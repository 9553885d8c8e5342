//! Offline messages cannot be read when their user logs on: they come when they can be, without another log-on.

use actors::testkit::{
    World,
    resumable::offline,
    script::{Wire, follow},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use storage::{OfflineLimits, OfflineMessage, OfflineStore, StoreError, StoreFuture, Stores};
use xmpp::{jid::BareJid, stanza::Stanza};

/// Nobody can read while it is away.
struct Away {
    store: Arc<dyn OfflineStore>,
    away: Arc<AtomicBool>,
}

impl OfflineStore for Away {
    fn push<'a>(
        &'a self,
        user: &'a BareJid,
        at: u64,
        stanza: Stanza,
        limits: OfflineLimits,
    ) -> StoreFuture<'a, u64> {
        self.store.push(user, at, stanza, limits)
    }

    fn page<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        limit: usize,
        bytes: usize,
    ) -> StoreFuture<'a, Vec<OfflineMessage>> {
        match self.away.load(Ordering::SeqCst) {
            true => Box::pin(async { Err(StoreError::Timeout) }),
            false => self.store.page(user, after, limit, bytes),
        }
    }

    fn remove<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        self.store.remove(user, ids)
    }

    fn move_back<'a>(&'a self, user: &'a BareJid, ids: Vec<u64>) -> StoreFuture<'a, ()> {
        self.store.move_back(user, ids)
    }

    fn move_back_after<'a>(
        &'a self,
        user: &'a BareJid,
        after: u64,
        before: u64,
        but: BTreeSet<u64>,
    ) -> StoreFuture<'a, ()> {
        self.store.move_back_after(user, after, before, but)
    }

    fn count<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, usize> {
        self.store.count(user)
    }

    fn expire(&self, at: u64, limit: usize) -> StoreFuture<'_, usize> {
        self.store.expire(at, limit)
    }
}

#[test]
fn offline_messages_that_cannot_be_read_come_when_they_can() {
    World::block_on(async {
        let away = Arc::<AtomicBool>::default();
        let wrap = |stores: Stores| {
            let store = Arc::clone(&stores.offline);
            Stores { offline: Arc::new(Away { store, away: Arc::clone(&away) }), ..stores }
        };
        let mut world = World::with_stores(offline(), wrap).await;
        let sent = "account juliet@localhost pencil
            account romeo@localhost rose
            R = romeo@localhost/orchard
            R C: <message to='juliet@localhost' type='chat' id='1'/>
            R C: <message to='juliet@localhost' type='chat' id='2'/>";
        follow(sent, &mut world).await.unwrap();
        away.store(true, Ordering::SeqCst);
        // who writes to her meanwhile is heard
        let meanwhile = "password juliet@localhost pencil
            J = juliet@localhost/balcony
            J C: <presence/>
            J S: <presence/>
            R C: <message to='juliet@localhost/balcony' type='chat' id='3'/>
            J S: <message id='3'/>
            J S: nothing";
        follow(meanwhile, &mut world).await.unwrap();
        world.pass(Duration::from_secs(60)).await;
        follow("J S: nothing", &mut world).await.unwrap();
        away.store(false, Ordering::SeqCst);
        world.pass(Duration::from_secs(6)).await;
        let then = "J S: <message id='1'/>\nJ S: <message id='2'/>\nJ S: nothing";
        follow(then, &mut world).await.unwrap();
        world.stop().await;
    });
}
