//! Accounts, as far as sessions go: who wants to log on, what changes where they belong to another application, and their end,
//! whoever asks for it: their user, or an operator.

pub(crate) mod watch;

use crate::{
    env::Env,
    remote::outbound,
    resource::{Ended, Resource},
    routing::{here, presence},
    sessions,
};
use auth::{Candidate, Refused};
use std::sync::Arc;
use storage::{StoreError, Stores};
use xmpp::{
    error::StanzaError,
    jid::BareJid,
    stanza::{Stanza, Type},
};

/// How often contacts that come while an account goes are told again.
const TRIES: usize = 16;

/// Looks up whoever wants to log on. What somebody else's account of that name has left here goes first.
///
/// # Errors
/// When that cannot be told now.
pub async fn candidate(env: &Arc<Env>, user: &BareJid) -> Result<Candidate, StoreError> {
    for _ in 0..3 {
        match env.accounts.candidate(user).await {
            Ok(candidate) if candidate.revokes() => {
                watch::look_at(env, user, candidate.entry()).await?;
            }
            Ok(candidate) => return Ok(candidate),
            Err(Refused::Store(error)) => return Err(error),
            Err(Refused::Another) => {
                let removed = remove(env, user, None).await;
                removed.map_err(|error| StoreError::Failed(error.to_string()))?;
            }
        }
    }
    Err(StoreError::Failed(format!("the account {user} changes each time that it is looked up")))
}

/// Removes an account with everything that is kept for it: its sessions end, its contacts see it go
/// and lose their subscriptions (XEP-0077 section 3.2), the modules forget it. The session `asking`
/// is left open for its answer; its caller ends it. `false`: there was no such account.
///
/// # Errors
/// When a store does not answer; the account is still there then, and this can be called again. So it can after a
/// crash: a contact's roster changes with the user's, and the account goes with all that is left of it at once.
pub async fn remove(
    env: &Arc<Env>,
    user: &BareJid,
    asking: Option<&Arc<Resource>>,
) -> Result<bool, StanzaError> {
    end_all(env, user, asking, Ended::Removed).await;
    if let Some(own) = asking
        && own.presence().is_some()
    {
        let gone = Stanza::presence(Type::Unavailable).with_from(Some(own.jid().clone().into()));
        own.withdraw();
        sessions::publish_priority(env, own).await;
        presence::gone(env, own, &gone).await;
    }
    let removed = remove_alone(env, user).await?;
    for row in &env.hooks().removed {
        (row.run)(env, user).await;
    }
    // who logged on in the meantime
    end_all(env, user, asking, Ended::Removed).await;
    Ok(removed)
}

/// Removes the account when nobody else knows of it any more.
async fn remove_alone(env: &Arc<Env>, user: &BareJid) -> Result<bool, StanzaError> {
    let Stores { accounts, rosters, .. } = &env.stores;
    let removing = &env.hooks().removing;
    for _ in 0..TRIES {
        for row in removing {
            (row.run)(env, user).await?;
        }
        let roster = rosters.get(user).await?;
        if !removing.is_empty() && !roster.items.is_empty() {
            continue;
        }
        match accounts.remove(user, roster.ver).await {
            Err(StoreError::Conflict { .. }) => {}
            done => return Ok(done?),
        }
    }
    Err(StanzaError::resource_constraint().with_text("the roster is changed too often"))
}

async fn end_all(env: &Arc<Env>, user: &BareJid, but: Option<&Arc<Resource>>, why: Ended) {
    for resource in here(env, user) {
        if but.is_none_or(|b| b.id() != resource.id()) {
            sessions::kick(env, &resource, why).await;
        }
    }
    if let Some(cluster) = &env.cluster {
        outbound::end(env, cluster, user, None, why).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        modules::roster::{RosterConfig, RosterModule},
        registrar::Modules,
        testkit::{World, script::follow},
    };
    use storage::{Account, Activity, RosterChange, RosterItem, Subscription};

    fn user(name: &str) -> BareJid {
        format!("{name}@localhost").parse().unwrap()
    }

    /// The user's half of it.
    async fn befriend(env: &Env, user: &BareJid, contact: &BareJid) {
        let mut item = RosterItem::new(contact.clone().into());
        item.subscription = Subscription::Both;
        let ver = env.stores.rosters.get(user).await.unwrap().ver;
        env.stores.rosters.change(user, ver, RosterChange::Put(item), 1_000).await.unwrap();
    }

    #[test]
    fn contacts_see_an_account_go_and_nothing_is_left_of_it() {
        World::block_on(async {
            let mut modules = Modules::default();
            modules.add_with::<RosterModule>(RosterConfig::default());
            let mut world = World::new(modules, Default::default()).await;
            let env = Arc::clone(&world.env);
            let [juliet, romeo] = ["juliet", "romeo"].map(user);
            let accounts = "account juliet@localhost pencil
                 account romeo@localhost pencil
                 R = romeo@localhost/orchard
                 J = juliet@localhost/balcony";
            follow(accounts, &mut world).await.unwrap();
            befriend(&env, &juliet, &romeo).await;
            befriend(&env, &romeo, &juliet).await;
            env.stores.vcards.set(&juliet, "<vCard xmlns='vcard-temp'/>".into()).await.unwrap();
            let activity = Activity { at: 1, status: String::new() };
            env.stores.activity.set(vec![(juliet.clone(), activity)]).await.unwrap();
            let before = "
                 R C: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
                 R S: <iq type='result' id='r'/>
                 R C: <presence/>
                 R S: <presence from='romeo@localhost/orchard'/>
                 R S: <presence type='unavailable' from='juliet@localhost'/>
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
                 R S: <iq type='set'><query xmlns='jabber:iq:roster'>
                   <item jid='juliet@localhost' subscription='to'/></query></iq>
                 R S: <presence type='unsubscribed' from='juliet@localhost' to='romeo@localhost'/>
                 R S: <iq type='set'><query xmlns='jabber:iq:roster'>
                   <item jid='juliet@localhost' subscription='none'/></query></iq>
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

    #[test]
    fn who_logged_on_to_an_account_that_is_gone_gets_no_session_of_the_next_of_its_name() {
        for again in [false, true] {
            World::block_on(async {
                let mut world = World::new(Modules::default(), Default::default()).await;
                let env = Arc::clone(&world.env);
                let before = "account juliet@localhost pencil\nX ~ juliet@localhost";
                follow(before, &mut world).await.unwrap();
                let juliet = user("juliet");
                assert_eq!(remove(&env, &juliet, None).await, Ok(true));
                if again {
                    let account = Account { created: 1, ..Account::default() };
                    let new = vec![(juliet.clone(), account)];
                    assert_eq!(env.stores.accounts.create(new).await, Ok(1));
                }
                let after = "X C: <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
                    X S: <stream:error>
                      <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
                    X S: </stream:stream>
                    X S: eof";
                follow(after, &mut world).await.unwrap();
                world.stop().await;
                assert!(env.table.is_empty());
            });
        }
    }
}
