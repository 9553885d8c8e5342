//! Several resources of two accounts change what is between them at the same moment, on two nodes with one
//! store: afterwards the rosters agree (RFC 6121 appendix A).

use super::*;
use crate::{
    account,
    registrar::Modules,
    testkit::{World, random::Random},
};
use std::{
    future::poll_fn,
    mem,
    task::{Poll, ready},
};
use storage::{RosterStore, RosterWrite, StoreFuture, Stores};

/// As a store that others ask too: between any two of its answers others have theirs.
struct Hesitant(Arc<dyn RosterStore>);

async fn others_first() {
    let mut first = true;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

impl RosterStore for Hesitant {
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Arc<Roster>> {
        Box::pin(async move {
            others_first().await;
            self.0.get(user).await
        })
    }

    fn change_all(
        &self,
        changes: Vec<RosterWrite>,
        limit: usize,
    ) -> StoreFuture<'_, Vec<Arc<Roster>>> {
        Box::pin(async move {
            others_first().await;
            self.0.change_all(changes, limit).await
        })
    }
}

/// Has each make a step when chance says so, until all are done.
async fn interleaved(random: &mut Random, mut all: Vec<BoxFuture<()>>) {
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        if all.is_empty() {
            return Poll::Ready(());
        }
        let next = random.below(all.len());
        ready!(all[next].as_mut().poll(cx));
        drop(all.swap_remove(next));
        Poll::Pending
    })
    .await;
}

/// A node, as far as subscriptions know one.
struct Node {
    world: World,
    rosters: Arc<Rosters>,
}

impl Node {
    async fn new(stores: impl FnOnce(Stores) -> Stores) -> Self {
        let mut modules = Modules::default();
        modules.add_with::<RosterModule>(RosterConfig::default());
        let world = World::with_stores(modules, stores).await;
        Self { world, rosters: Arc::new(Rosters::new(RosterConfig::default())) }
    }

    /// One of the things that a client of `user` can do with `contact`. Some are refused.
    fn act(&self, what: usize, user: &BareJid, contact: &BareJid) -> BoxFuture<()> {
        let (env, rosters) = (Arc::clone(&self.world.env), Arc::clone(&self.rosters));
        let (user, contact) = (user.clone(), Jid::from(contact.clone()));
        Box::pin(async move {
            let types = [Type::Subscribe, Type::Subscribed, Type::Unsubscribe, Type::Unsubscribed];
            let Some(ty) = types.get(what) else {
                return drop(rosters.remove(&env, &user, &contact).await);
            };
            let stanza = Stanza::presence(*ty).with_from(Some(user.clone().into()));
            let stanza = stanza.with_to(Some(contact.clone()));
            drop(rosters.outbound(&env, &user, &contact, stanza).await);
        })
    }
}

/// What a roster says of a contact: `to`, `from`, asked, is asked.
async fn between(stores: &Stores, user: &BareJid, contact: &BareJid) -> [bool; 4] {
    let roster = stores.rosters.get(user).await.unwrap();
    roster.item(&contact.clone().into()).map_or([false; 4], |i| {
        [i.subscription.has_to(), i.subscription.has_from(), i.ask, i.request.is_some()]
    })
}

/// What the contact's roster says of the user, if the two agree.
fn mirrored([to, from, asked, is_asked]: [bool; 4]) -> [bool; 4] {
    [from, to, is_asked, asked]
}

/// Two nodes with one store.
async fn nodes() -> ([Node; 2], Stores) {
    let one = Node::new(|mut stores| {
        stores.rosters = Arc::new(Hesitant(stores.rosters));
        stores
    })
    .await;
    let stores = one.world.env.stores.clone();
    let two = Node::new(|_| stores.clone()).await;
    ([one, two], stores)
}

async fn stop(nodes: [Node; 2]) {
    for node in nodes {
        node.world.stop().await;
    }
}

/// Two new accounts.
async fn pair(stores: &Stores, round: usize) -> [BareJid; 2] {
    let pair = ["a", "b"].map(|who| format!("{who}{round}@localhost").parse().unwrap());
    for user in &pair {
        create(stores, user).await;
    }
    pair
}

async fn create(stores: &Stores, user: &BareJid) {
    let new = vec![(user.clone(), storage::Account::default())];
    assert_eq!(stores.accounts.create(new).await, Ok(1));
}

/// So many things that the two do to one another, somewhere.
fn acts(
    nodes: &[Node; 2],
    random: &mut Random,
    pair: &[BareJid; 2],
    count: usize,
) -> Vec<BoxFuture<()>> {
    let act = |_| {
        let (what, who, node) = (random.below(5), random.below(2), random.below(2));
        nodes[node].act(what, &pair[who], &pair[1 - who])
    };
    (0..count).map(act).collect()
}

#[test]
fn rosters_of_two_users_agree_whoever_did_what_at_the_same_moment() {
    World::block_on(async {
        let (nodes, stores) = nodes().await;
        let mut random = Random(0x9E37_79B9_7F4A_7C15);
        let mut apart = Vec::new();
        for round in 0..500 {
            let pair = pair(&stores, round).await;
            for _ in 0..3 {
                let acts = acts(&nodes, &mut random, &pair, 3);
                interleaved(&mut random, acts).await;
                let one = between(&stores, &pair[0], &pair[1]).await;
                let other = between(&stores, &pair[1], &pair[0]).await;
                if other != mirrored(one) {
                    apart.push((round, one, other));
                }
            }
        }
        assert!(apart.is_empty(), "{} disagree: {:?}", apart.len(), apart.first());
        stop(nodes).await;
    });
}

#[test]
fn nothing_is_left_of_an_account_that_is_removed_while_others_deal_with_it() {
    World::block_on(async {
        let (nodes, stores) = nodes().await;
        let mut random = Random(0x0123_4567_89AB_CDEF);
        let mut seen = 0;
        for round in 0..500 {
            let pair = pair(&stores, round).await;
            let before = acts(&nodes, &mut random, &pair, 4);
            interleaved(&mut random, before).await;
            seen += usize::from(between(&stores, &pair[1], &pair[0]).await != [false; 4]);
            let (env, user) = (Arc::clone(&nodes[0].world.env), pair[0].clone());
            let mut all = acts(&nodes, &mut random, &pair, 3);
            all.push(Box::pin(async move {
                assert_eq!(account::remove(&env, &user, None).await, Ok(true));
            }));
            interleaved(&mut random, all).await;
            // one may ask a name whether anybody has it or not
            let [to, from, _, is_asked] = between(&stores, &pair[1], &pair[0]).await;
            assert_eq!([to, from, is_asked], [false; 3], "round {round}");
            assert_eq!(stores.accounts.get(&pair[0]).await, Ok(None));
            create(&stores, &pair[0]).await;
            assert_eq!(stores.rosters.get(&pair[0]).await.unwrap().items, []);
        }
        assert!(seen > 100, "{seen} had something between them");
        stop(nodes).await;
    });
}

#[test]
fn a_removal_that_ends_in_the_middle_leaves_rosters_that_agree_and_can_be_done_again() {
    World::block_on(async {
        let ([one, two], stores) = nodes().await;
        for steps in 0..40 {
            let [user, other] = pair(&stores, steps).await;
            for (what, who, whom) in
                [(0, &user, &other), (1, &other, &user), (0, &other, &user), (1, &user, &other)]
            {
                one.act(what, who, whom).await;
            }
            assert_eq!(between(&stores, &user, &other).await, [true, true, false, false]);
            let env = &one.world.env;
            let mut removal = Box::pin(account::remove(env, &user, None));
            let mut left = steps;
            // the process dies here
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                left = left.saturating_sub(1);
                match removal.as_mut().poll(cx) {
                    Poll::Pending if left > 0 => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            })
            .await;
            drop(removal);
            let state = between(&stores, &user, &other).await;
            assert_eq!(between(&stores, &other, &user).await, mirrored(state), "{steps}");
            let again = account::remove(env, &user, None).await.unwrap();
            assert_eq!(between(&stores, &other, &user).await, [false; 4]);
            assert_eq!(stores.accounts.get(&user).await, Ok(None));
            assert!(again || steps > 3, "it was not done before it began");
        }
        stop([one, two]).await;
    });
}
