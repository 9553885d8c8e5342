//! Each message of offline storage goes to one session of the user that has a connection, on whichever nodes these are. Each says
//! what it is about to send before it looks at what the others are: so of two at least one sees the other, and gives way if it comes
//! after it. Whose connection is lost before its client has said that it has a message leaves it to the others.

use crate::{
    env::Env,
    remote::outbound::{self, InHand},
    resource::Resource,
    routing::divert,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use storage::OfflineMessage;
use tokio::time::sleep;
use xmpp::jid::BareJid;

/// How often one that comes after this session is waited for to give way, and how long each time; then a message is rather sent twice
/// than never.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(5);

/// The session is about to send a page: which of it is its to send is known to it afterwards ([`Resource::has_claimed`]).
pub(crate) async fn claim(env: &Env, resource: &Resource, page: &[OfflineMessage]) {
    resource.claims(page.iter().map(|message| message.id).collect());
    if page.is_empty() {
        return;
    }
    let nodes = outbound::nodes_of(env, resource.user()).await;
    for _ in 0..TRIES {
        let mut all = here(env, resource);
        all.extend(outbound::claimed_there(env, resource.user(), &nodes).await);
        let mut contested = false;
        for InHand { first, in_hand, claimed } in &all {
            resource.gives_up(in_hand);
            if *first {
                resource.gives_up(claimed);
            }
            contested |= !first && !claimed.is_disjoint(&resource.has_claimed());
        }
        if !contested {
            return;
        }
        sleep(PAUSE).await;
    }
    tracing::info!(jid = %resource.jid(), "offline messages may come to two sessions");
}

/// What the user's sessions on this node have of offline storage, and what they are about to send.
pub(crate) fn in_hand(env: &Env, user: &BareJid) -> [BTreeSet<u64>; 2] {
    let all = env.table.resources(user);
    let (in_hand, claimed): (Vec<_>, Vec<_>) =
        all.iter().map(|session| session.has_in_hand()).unzip();
    [in_hand, claimed].map(|of| of.into_iter().flatten().collect())
}

/// What the user's other sessions on this node have: those that were bound before come first.
fn here(env: &Env, resource: &Resource) -> Vec<InHand> {
    let others = |all: &[Arc<Resource>]| -> Vec<_> {
        all.iter().filter(|other| other.id() != resource.id()).cloned().collect()
    };
    let others = env.table.with_user(resource.user(), others);
    let has = |other: Arc<Resource>| {
        let (in_hand, claimed) = other.has_in_hand();
        InHand { first: other.id() < resource.id(), in_hand, claimed }
    };
    others.into_iter().map(has).collect()
}

/// A session does not go on with what others left to it: they look again.
pub(crate) async fn leave(env: &Env, resource: &Resource) {
    if let Some(keeper) = env.hooks().keeper.as_ref().filter(|_| resource.leaves_more()) {
        resource.sent_claimed(true);
        divert(env, resource.user(), keeper.module, 1).await;
    }
}
