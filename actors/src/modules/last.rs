//! Last activity (XEP-0012): how long the server is up, and when an account was last available.
//!
//! Written when the last resource of a user goes unavailable. What a resource does while it is
//! available it says itself: such a question is routed to it.

use crate::{
    env::Env,
    hooks::Order,
    registrar::{Answer, IqCx, Module, Registrar, Target, Xep},
    resource::Resource,
    routing,
    session::effects::BoxFuture,
};
use std::sync::Arc;
use storage::Activity;
use xmpp::{
    error::StanzaError,
    jid::{BareJid, Jid},
    ns,
    payload::last::{self, LastQuery},
    stanza::Stanza,
};

config::section! {
    /// Says how long the server is up and when its users were last available (XEP-0012).
    pub struct LastConfig {}
}

/// Characters of a status that are kept.
const MAX_STATUS: usize = 1023;

/// The module.
#[derive(Debug)]
pub struct LastModule;

impl Module for LastModule {
    const NAME: &'static str = "last";
    const XEPS: &'static [Xep] = &[Xep(12, "2.0")];
    type Config = LastConfig;

    fn new(_: LastConfig) -> Self {
        Self
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.feature(ns::LAST)
            .iq_get::<LastQuery>(Self::last)
            .unavailable(Order::Main, Self::unavailable);
    }
}

impl LastModule {
    fn last(&self, cx: &mut IqCx<'_, '_>, _: LastQuery) -> Answer {
        let env = Arc::clone(cx.session.env);
        match cx.target {
            Target::Server(_) => {
                answer(env.clock.millis().saturating_sub(env.incarnation) / 1000, "")
            }
            // whoever asks for himself is connected
            Target::Account(user) if user == cx.session.user() => answer(0, ""),
            Target::Account(user) => {
                let (user, from) = (user.clone(), cx.session.jid().clone().into());
                Answer::later(account(env, user, from))
            }
        }
    }

    /// A resource went unavailable; `None`: it had been so already, or never was available.
    fn unavailable(
        &self,
        env: &Arc<Env>,
        resource: &Arc<Resource>,
        presence: Option<&Stanza>,
    ) -> BoxFuture<()> {
        let others = |r: &&Arc<Resource>| r.id() != resource.id() && r.priority().is_some();
        let others = env.table.with_user(resource.user(), |all| all.iter().any(|r| others(&r)));
        let (Some(presence), false) = (presence, others) else { return Box::pin(async {}) };
        let status = presence.text_of("status").unwrap_or_default();
        let status = status.chars().take(MAX_STATUS).collect();
        let (env, user) = (Arc::clone(env), resource.user().clone());
        Box::pin(async move {
            let activity = Activity { at: env.clock.millis(), status };
            if let Err(error) = env.stores.activity.set(&user, activity).await {
                tracing::warn!(%error, "the last activity of a user was not kept");
            }
        })
    }
}

/// Sections 3 and 4, for somebody else's account.
async fn account(env: Arc<Env>, user: BareJid, from: Jid) -> Answer {
    match routing::sees(&env, &user, &from).await {
        Ok(true) => {}
        // the same for an account that does not exist
        Ok(false) => return StanzaError::forbidden().into(),
        Err(error) => return Answer::Error(error.into()),
    }
    if env.table.with_user(&user, |all| all.iter().any(|r| r.priority().is_some())) {
        return answer(0, "");
    }
    match env.stores.activity.get(&user).await {
        Ok(Some(Activity { at, status })) => {
            answer(env.clock.millis().saturating_sub(at) / 1000, &status)
        }
        Ok(None) => StanzaError::item_not_found().with_text("never seen").into(),
        Err(error) => Answer::Error(error.into()),
    }
}

fn answer(seconds: u64, status: &str) -> Answer {
    Answer::Result(last::last(seconds, status).to_xml().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{modules::testing::Secretive, testkit::World};

    fn check(script: &str) {
        World::check(script, |modules| {
            modules.add_with::<LastModule>(LastConfig {});
            modules.add_with::<Secretive>(Default::default());
        });
    }

    #[test]
    fn the_server_says_how_long_it_is_up() {
        check(
            "account juliet@localhost pencil
             T: 61s
             J = juliet@localhost/balcony
             J C: <iq type='get' id='1' to='localhost'><query xmlns='jabber:iq:last'/></iq>
             J S: <iq type='result' id='1' from='localhost'>
               <query xmlns='jabber:iq:last' seconds='61'/></iq>
             J C: <iq type='get' id='2'><query xmlns='jabber:iq:last'/></iq>
             J S: <iq type='result' id='2'><query xmlns='jabber:iq:last' seconds='0'/></iq>",
        );
    }

    #[test]
    fn an_account_was_last_seen_when_its_last_resource_went() {
        check(
            "account juliet@localhost pencil
             account nurse@localhost pencil
             N = nurse@localhost/house
             N C: <iq type='get' id='1' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>
             N S: <iq type='error' id='1'><error type='cancel'>
               <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
             J = juliet@localhost/balcony
             J C: <presence/>
             J S: <presence from='juliet@localhost/balcony'/>
             K = juliet@localhost/chamber
             K C: <presence/>
             J S: <presence from='juliet@localhost/chamber'/>
             N C: <iq type='get' id='2' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>
             N S: <iq type='result' id='2'><query xmlns='jabber:iq:last' seconds='0'/></iq>
             J C: <presence type='unavailable'><status>Parting is such sweet sorrow</status></presence>
             J S: <presence type='unavailable' from='juliet@localhost/balcony'/>
             T: 10s
             N C: <iq type='get' id='3' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>
             N S: <iq type='result' id='3'><query xmlns='jabber:iq:last' seconds='0'/></iq>
             K C: <presence type='unavailable'><status>Good night</status></presence>
             T: 30s
             K cut
             T: 5s
             N C: <iq type='get' id='4' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>
             N S: <iq type='result' id='4' from='juliet@localhost'>
               <query xmlns='jabber:iq:last' seconds='35'>Good night</query></iq>",
        );
    }

    #[test]
    fn a_lost_connection_counts_from_its_loss() {
        check(
            "account juliet@localhost pencil
             account nurse@localhost pencil
             J = juliet@localhost/balcony
             J C: <presence/>
             J S: <presence from='juliet@localhost/balcony'/>
             T: 60s
             J cut
             T: 7s
             N = nurse@localhost/house
             N C: <iq type='get' id='1' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>
             N S: <iq type='result' id='1'><query xmlns='jabber:iq:last' seconds='7'/></iq>",
        );
    }

    #[test]
    fn who_may_not_see_presence_is_refused_whether_there_is_an_account_or_not() {
        check(
            "account juliet@localhost pencil
             account romeo@localhost pencil
             R = romeo@localhost/orchard
             R C: <iq type='get' id='1' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>
             R S: <iq type='error' id='1'><error type='auth'>
               <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
             R C: <iq type='get' id='2' to='nobody@localhost'><query xmlns='jabber:iq:last'/></iq>
             R S: <iq type='error' id='2'><error type='auth'>
               <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        );
    }
}
