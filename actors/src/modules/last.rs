//! Last activity (XEP-0012): how long the server is up, and when an account was last available.
//!
//! Noted when the last resource of a user goes unavailable, and written once a second for all users
//! together: sessions are short, and what a crash may lose is a second. What a resource does while
//! it is available it says itself: such a question is routed to it, if who asks may see the user.

use crate::{
    cx::{Answer, IqCx, SessionCx, Target},
    env::Env,
    future::BoxFuture,
    hooks::{Flow, Order},
    registrar::{Module, Registrar, Xep},
    resource::Resource,
    routing,
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use storage::Activity;
use supervision::{ChildSpec, Cx, Exit, InitError, Next, Server};
use xmpp::{
    error::StanzaError,
    jid::{BareJid, Jid},
    ns,
    payload::last::{self, LastQuery},
    stanza::{Kind, Stanza, Type},
};

config::section! {
    /// Says how long the server is up and when its users were last available (XEP-0012).
    pub struct LastConfig {}
}

/// What is kept of a status, in bytes.
const MAX_STATUS: usize = 1023;

/// How often what was noted is written.
const FLUSH: Duration = Duration::from_secs(1);

/// The size of what waits to be written, in bytes; beyond it what comes is not kept until the next write.
const MAX_NOTED: usize = 32 << 20;

/// What was noted and is not written yet.
type Noted = Arc<Mutex<Notes>>;

#[derive(Debug, Default)]
struct Notes {
    users: HashMap<BareJid, Activity>,
    bytes: usize,
}

impl Notes {
    fn weight(user: &BareJid, of: &Activity) -> usize {
        size_of::<(BareJid, Activity)>() + user.as_str().len() + of.status.len() + 64
    }

    fn insert(&mut self, user: &BareJid, activity: Activity) {
        self.remove(user);
        let bytes = self.bytes + Self::weight(user, &activity);
        if bytes <= MAX_NOTED {
            self.bytes = bytes;
            self.users.insert(user.clone(), activity);
        }
    }

    fn remove(&mut self, user: &BareJid) {
        if let Some(old) = self.users.remove(user) {
            self.bytes = self.bytes.saturating_sub(Self::weight(user, &old));
        }
        if self.users.is_empty() {
            self.users.shrink_to(64);
        }
    }
}

/// The module.
#[derive(Debug)]
pub struct LastModule {
    noted: Noted,
}

impl Module for LastModule {
    const NAME: &'static str = "last";
    const XEPS: &'static [Xep] = &[Xep(12, "2.0")];
    const HIDES_ACCOUNTS: bool = true;
    type Config = LastConfig;

    fn new(_: LastConfig) -> Self {
        Self { noted: Noted::default() }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.feature(ns::LAST)
            .iq_get::<LastQuery>(Self::last)
            .inbound(Order::Last, Self::of_resource)
            .unavailable(Order::Main, Self::unavailable)
            .removed(Order::Main, Self::removed);
    }

    fn children(self: &Arc<Self>, env: &Arc<Env>) -> Vec<ChildSpec> {
        let (env, noted) = (Arc::clone(env), Arc::clone(&self.noted));
        vec![ChildSpec::server::<Writer>("last", move || (Arc::clone(&env), Arc::clone(&noted)))]
    }
}

impl LastModule {
    fn last(&self, cx: &mut IqCx<'_, '_>, _: LastQuery) -> Answer {
        let env = Arc::clone(cx.env);
        match cx.target {
            Target::Server(_) => answer(env.uptime().as_secs(), ""),
            // whoever asks for himself is connected
            Target::Account(user) if cx.is_own(user) => answer(0, ""),
            Target::Service(_) => StanzaError::service_unavailable().into(),
            Target::Account(user) => {
                let Some(from) = cx.from.cloned() else { return StanzaError::forbidden().into() };
                let user = user.clone();
                let noted = self.noted.lock().users.get(&user).cloned();
                Answer::later(account(env, user, from, noted))
            }
        }
    }

    /// Section 4: who may not see the user's presence does not reach a resource either.
    fn of_resource(&self, cx: &mut SessionCx<'_>, stanza: &Stanza) -> Flow {
        // what is no proper request is refused later on
        let proper = stanza.head.id.is_some() && stanza.head.children.len() == 1;
        let asks = proper && stanza.head.kind == Kind::Iq && stanza.head.ty == Type::Get;
        let Some(to) = stanza.head.to.clone().filter(|_| asks && stanza.has(ns::LAST, "query"))
        else {
            return Flow::Continue;
        };
        if to.node().is_none() || to.resource().is_none() || cx.env.hosts.find(&to).is_none() {
            return Flow::Continue;
        }
        let (env, from, iq) = (Arc::clone(cx.env), cx.jid().clone().into(), stanza.clone());
        cx.job(async move { routing::sees(&env, &to.bare(), &from).await }, move |cx, sees| {
            match sees {
                Ok(true) => cx.route(iq),
                Ok(false) => cx.refuse(&iq, &StanzaError::forbidden()),
                Err(error) => cx.refuse(&iq, &error.into()),
            }
        });
        Flow::Stop
    }

    /// A resource went unavailable; `None`: it had been so already, or never was available.
    fn unavailable(
        &self,
        env: &Arc<Env>,
        resource: &Arc<Resource>,
        presence: Option<&Stanza>,
    ) -> BoxFuture<()> {
        let Some(presence) = presence else { return Box::pin(async {}) };
        let mut status = presence.text_of("status").unwrap_or_default();
        status.truncate(status.floor_char_boundary(MAX_STATUS));
        let activity = Activity { at: env.clock.millis(), status };
        let (env, resource, noted) =
            (Arc::clone(env), Arc::clone(resource), Arc::clone(&self.noted));
        Box::pin(async move {
            if !routing::others_available(&env, &resource).await {
                noted.lock().insert(resource.user(), activity);
            }
        })
    }

    fn removed(&self, _: &Arc<Env>, user: &BareJid) -> BoxFuture<()> {
        self.noted.lock().remove(user);
        Box::pin(async {})
    }
}

/// Writes what was noted.
struct Writer {
    env: Arc<Env>,
    noted: Noted,
}

/// It is time to write.
struct Flush;

impl Server for Writer {
    type Args = (Arc<Env>, Noted);
    type Msg = Flush;
    const NAME: &'static str = "last_activity";

    async fn init((env, noted): Self::Args, cx: &mut Cx<Flush>) -> Result<Self, InitError> {
        cx.trap_exit(true);
        cx.send_every(FLUSH, || Flush);
        Ok(Self { env, noted })
    }

    async fn handle(&mut self, Flush: Flush, _: &mut Cx<Flush>) -> Next {
        self.flush().await;
        Next::Continue
    }

    async fn terminate(&mut self, _: &Exit, _: &mut Cx<Flush>) {
        self.flush().await;
    }
}

impl Writer {
    async fn flush(&self) {
        let all: Vec<_> =
            self.noted.lock().users.iter().map(|(user, of)| (user.clone(), of.clone())).collect();
        if all.is_empty() {
            return;
        }
        if let Err(error) = self.env.stores.activity.set(all.clone()).await {
            return tracing::warn!(%error, "last activity was not written; tried again");
        }
        // what was noted anew meanwhile stays
        let mut noted = self.noted.lock();
        for (user, written) in all {
            if noted.users.get(&user) == Some(&written) {
                noted.remove(&user);
            }
        }
    }
}

/// Sections 3 and 4, for somebody else's account.
async fn account(env: Arc<Env>, user: BareJid, from: Jid, noted: Option<Activity>) -> Answer {
    match routing::sees(&env, &user, &from).await {
        Ok(true) => {}
        // the same for an account that does not exist
        Ok(false) => return StanzaError::forbidden().into(),
        Err(error) => return Answer::Error(error.into()),
    }
    // connected is enough (section 3)
    if routing::is_connected(&env, &user).await {
        return answer(0, "");
    }
    let known = match noted {
        Some(noted) => Ok(Some(noted)),
        None => env.stores.activity.get(&user).await,
    };
    match known {
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
             J cut
             T: 10s
             N C: <iq type='get' id='3' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>
             N S: <iq type='result' id='3'><query xmlns='jabber:iq:last' seconds='0'/></iq>
             K C: <presence type='unavailable'><status>Good night</status></presence>
             T: 30s
             N C: <iq type='get' id='c' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>
             N S: <iq type='result' id='c'><query xmlns='jabber:iq:last' seconds='0'/></iq>
             K cut
             T: 5s
             N C: <iq type='get' id='4' to='juliet@localhost'><query xmlns='jabber:iq:last'/></iq>
             N S: <iq type='result' id='4' from='juliet@localhost'>
               <query xmlns='jabber:iq:last' seconds='35'>Good night</query></iq>",
        );
    }

    #[test]
    fn what_waits_to_be_written_has_a_limit_in_bytes() {
        let mut notes = Notes::default();
        let user = |n: usize| BareJid::new(&n.to_string(), "localhost").unwrap();
        let long = || Activity { at: 1, status: "é".repeat(MAX_STATUS / 2) };
        let many = MAX_NOTED / MAX_STATUS + 1;
        (0..many).for_each(|n| notes.insert(&user(n), long()));
        assert!(notes.users.len() < many && notes.bytes <= MAX_NOTED);
        let has = notes.users.len();
        notes.insert(&user(0), Activity { at: 2, status: String::new() });
        assert_eq!(notes.users.get(&user(0)).map(|a| a.at), Some(2), "the last is what counts");
        (0..many).for_each(|n| notes.remove(&user(n)));
        assert_eq!((notes.bytes, notes.users.len()), (0, 0), "of {has}");
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
    fn a_resource_is_asked_by_those_alone_who_may_see_it() {
        check(
            "account juliet@localhost pencil
             account romeo@localhost pencil
             account nurse@localhost pencil
             J = juliet@localhost/balcony
             N = nurse@localhost/house
             R = romeo@localhost/orchard
             N C: <iq type='get' id='1' to='juliet@localhost/balcony'>
               <query xmlns='jabber:iq:last'/></iq>
             J S: <iq type='get' id='1' from='nurse@localhost/house'>
               <query xmlns='jabber:iq:last'/></iq>
             J C: <iq type='result' id='1' to='nurse@localhost/house'>
               <query xmlns='jabber:iq:last' seconds='123'/></iq>
             N S: <iq type='result' id='1' from='juliet@localhost/balcony'>
               <query xmlns='jabber:iq:last' seconds='123'/></iq>
             R C: <iq type='get' id='2' to='juliet@localhost/balcony'>
               <query xmlns='jabber:iq:last'/></iq>
             R S: <iq type='error' id='2' from='juliet@localhost/balcony'><error type='auth'>
               <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
             R C: <iq type='get' id='3' to='nobody@localhost/nowhere'>
               <query xmlns='jabber:iq:last'/></iq>
             R S: <iq type='error' id='3'><error type='auth'>
               <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
             R C: <iq type='get' id='4' to='juliet@localhost/balcony'><ping xmlns='urn:xmpp:ping'/></iq>
             J S: <iq type='get' id='4' from='romeo@localhost/orchard'/>
             J S: nothing",
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
