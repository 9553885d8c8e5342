//! The end of an account, whoever asks for it: its user, or an operator.

use crate::{
    env::Env,
    resource::{Ended, Resource},
    routing::{here, presence, send},
    sessions,
};
use std::sync::Arc;
use storage::StoreError;
use xmpp::{
    jid::{BareJid, Jid},
    stanza::{Stanza, Type},
};

/// Removes an account with everything that is kept for it: its sessions end, its contacts see it go
/// and lose their subscriptions (XEP-0077 section 3.2), the modules forget it. The session `asking`
/// is left open for its answer; its caller ends it. `false`: there was no such account.
///
/// # Errors
/// When a store does not answer; the account is still there then, and this can be called again.
pub async fn remove(
    env: &Arc<Env>,
    user: &BareJid,
    asking: Option<&Arc<Resource>>,
) -> Result<bool, StoreError> {
    end_all(env, user, asking).await;
    if let Some(own) = asking
        && own.presence().is_some()
    {
        let gone = Stanza::presence(Type::Unavailable).with_from(Some(own.jid().clone().into()));
        own.withdraw();
        sessions::publish_priority(env, own).await;
        presence::gone(env, own, &gone).await;
    }
    cancel_subscriptions(env, user).await?;
    let removed = env.stores.remove(user).await?;
    for row in &env.hooks().removed {
        (row.run)(env, user).await;
    }
    // who logged on in the meantime
    end_all(env, user, asking).await;
    Ok(removed)
}

async fn end_all(env: &Arc<Env>, user: &BareJid, but: Option<&Arc<Resource>>) {
    for resource in here(env, user) {
        if but.is_none_or(|b| b.id() != resource.id()) {
            sessions::kick(env, &resource, Ended::Removed).await;
        }
    }
}

async fn cancel_subscriptions(env: &Arc<Env>, user: &BareJid) -> Result<(), StoreError> {
    let roster = env.stores.rosters.get(user).await?;
    let from: Jid = user.clone().into();
    for item in &roster.items {
        let to = item.subscription.has_to() || item.ask;
        let all = [
            (to, Type::Unsubscribe),
            (item.subscription.has_from() || item.request.is_some(), Type::Unsubscribed),
        ];
        for (_, ty) in all.into_iter().filter(|(there, _)| *there) {
            let presence = Stanza::presence(ty).with_from(Some(from.clone()));
            send(env, presence.with_to(Some(item.jid.bare_jid()))).await;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{World, script::follow};
    use storage::{Activity, RosterChange, RosterItem, Subscription};

    #[test]
    fn contacts_see_an_account_go_and_nothing_is_left_of_it() {
        World::block_on(async {
            let mut world = World::new(Default::default(), Default::default()).await;
            let env = Arc::clone(&world.env);
            let juliet: BareJid = "juliet@localhost".parse().unwrap();
            let mut item = RosterItem::new("romeo@localhost".parse().unwrap());
            item.subscription = Subscription::Both;
            let change = RosterChange::Put(item);
            env.stores.rosters.change(&juliet, 0, change, 10).await.unwrap();
            env.stores.vcards.set(&juliet, "<vCard xmlns='vcard-temp'/>".into()).await.unwrap();
            let activity = Activity { at: 1, status: String::new() };
            env.stores.activity.set(vec![(juliet.clone(), activity)]).await.unwrap();

            let before = "account juliet@localhost pencil
                 account romeo@localhost pencil
                 R = romeo@localhost/orchard
                 R C: <presence/>
                 R S: <presence from='romeo@localhost/orchard'/>
                 J = juliet@localhost/balcony
                 J C: <presence/>
                 J S: <presence from='juliet@localhost/balcony'/>
                 J S: <presence from='romeo@localhost/orchard'/>
                 R S: <presence from='juliet@localhost/balcony'/>";
            follow(before, &mut world).await.unwrap();
            assert_eq!(remove(&env, &juliet, None).await, Ok(true));
            let after = "J S: <stream:error>
                   <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
                 J S: </stream:stream>
                 J S: eof
                 R S: <presence type='unavailable' from='juliet@localhost/balcony'/>
                 R S: <presence type='unsubscribe' from='juliet@localhost' to='romeo@localhost'/>
                 R S: <presence type='unsubscribed' from='juliet@localhost' to='romeo@localhost'/>
                 R S: nothing";
            follow(after, &mut world).await.unwrap();

            assert_eq!(env.stores.accounts.get(&juliet).await, Ok(None));
            assert!(env.stores.rosters.get(&juliet).await.unwrap().items.is_empty());
            assert_eq!(env.stores.vcards.get(&juliet).await, Ok(None));
            assert_eq!(env.stores.activity.get(&juliet).await, Ok(None));
            assert_eq!(remove(&env, &juliet, None).await, Ok(false));
            world.stop().await;
        });
    }
}
