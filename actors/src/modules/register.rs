//! In-band registration (XEP-0077): accounts made before logging on, their passwords changed and
//! they themselves removed after it. Off unless it is configured.
//!
//! A password is never kept: the account gets SCRAM keys.

use crate::{
    account,
    cx::{Answer, IqCx, SessionCx, Target},
    env::Env,
    hooks::{Order, Stage},
    registrar::{Module, Registrar, Xep},
    throttle::{Attempt, FrozenThrottle, Throttle, ThrottleLimits},
};
use config::{hours, secs};
use serde::Deserialize;
use serde_json::Value;
use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};
use storage::Account;
use xmpp::{
    error::{StanzaError, StreamError, StreamErrorCondition as Condition},
    jid::BareJid,
    ns,
    payload::register::{self, Register},
    sasl::{self, PASSWORD_RULE},
};

config::section! {
    /// Lets clients make accounts, change their password and remove their account (XEP-0077). Only
    /// under TLS.
    #[off]
    pub struct RegisterConfig {
        /// Anybody may make an account. Without it only the users there are can change theirs.
        pub create: bool = true,
        /// Most attempts to make an account from one address (IPv6: from one /64) within `window`.
        pub per_address: u32 = 5, in 1..,
        /// How long attempts count.
        pub window: Duration = hours(1), in secs(1)..,
    }
}

/// Changes of one user's password within `window`: each costs thousands of hashes.
const CHANGES: u32 = 20;

/// Addresses whose attempts are remembered, and users whose changes are: at the limit that with the
/// fewest makes room.
const REMEMBERED: usize = 10_000;

/// The module.
#[derive(Debug)]
pub struct RegisterModule {
    config: RegisterConfig,
    attempts: Arc<Throttle>,
    changes: Arc<Throttle>,
}

impl Module for RegisterModule {
    const NAME: &'static str = "register";
    const XEPS: &'static [Xep] = &[Xep(77, "2.4")];
    const HIDES_ACCOUNTS: bool = true;
    type Config = RegisterConfig;

    fn new(config: RegisterConfig) -> Self {
        let throttle = |per_pair, per_address| {
            let (window, entries) = (config.window, REMEMBERED);
            Arc::new(Throttle::new(ThrottleLimits { per_pair, per_address, window, entries }))
        };
        let (attempts, changes) = (throttle(0, config.per_address), throttle(CHANGES, 0));
        Self { config, attempts, changes }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.server_feature(ns::REGISTER)
            .features(Order::Main, Self::features)
            .iq_get_before_auth::<Register>(Self::get)
            .iq_set_before_auth::<Register>(Self::set)
            .freeze(Order::Main, Self::freeze)
            .thaw(Order::Main, Self::thaw);
    }
}

impl RegisterModule {
    fn freeze(&self) -> Value {
        serde_json::to_value([self.attempts.freeze(), self.changes.freeze()]).unwrap_or_default()
    }

    fn thaw(&self, frozen: &Value) {
        let [attempts, changes] = <[FrozenThrottle; 2]>::deserialize(frozen).unwrap_or_default();
        self.attempts.thaw(attempts);
        self.changes.thaw(changes);
    }

    /// Section 8.
    fn features(&self, _: &Env, stage: Stage, out: &mut Vec<u8>) {
        if self.config.create && stage == (Stage::Unauthenticated { secure: true, own: true }) {
            out.extend_from_slice(
                format!("<register xmlns='{}'/>", ns::REGISTER_FEATURE).as_bytes(),
            );
        }
    }

    /// What is needed to make an account (section 3.1), or to change it.
    fn get(&self, cx: &mut IqCx<'_, '_>, _: Register) -> Answer {
        if cx.from.is_none() {
            return match self.offered() {
                Ok(()) => Answer::Result(register::form(None).to_xml().into_bytes()),
                Err(error) => error.into(),
            };
        }
        match home(cx) {
            Ok(session) => {
                let form = register::form(session.user().node());
                Answer::Result(form.to_xml().into_bytes())
            }
            Err(error) => error.into(),
        }
    }

    /// Whether anybody may make an account.
    fn offered(&self) -> Result<(), StanzaError> {
        if self.config.create { Ok(()) } else { Err(StanzaError::service_unavailable()) }
    }

    /// A client that has not logged on makes an account (section 3.1).
    fn make(&self, cx: &IqCx<'_, '_>, request: Register) -> Answer {
        let (Target::Server(host), Some(peer)) = (cx.target, cx.peer) else {
            return StanzaError::not_allowed().into();
        };
        match self.check(cx.env, host, peer, request) {
            Ok((user, account)) => {
                let env = Arc::clone(cx.env);
                Answer::later(async move { create(&env, user, account).await })
            }
            Err(error) => error.into(),
        }
    }

    /// The account to make.
    fn check(
        &self,
        env: &Env,
        host: &str,
        peer: IpAddr,
        request: Register,
    ) -> Result<(BareJid, Account), StanzaError> {
        self.offered()?;
        if request.remove {
            return Err(StanzaError::unexpected_request());
        }
        let filled = |field: Option<String>| field.filter(|text| !text.is_empty());
        let (Some(name), Some(password)) = (filled(request.username), filled(request.password))
        else {
            return Err(
                StanzaError::not_acceptable().with_text("a username and a password are needed")
            );
        };
        if let Err(wait) = counted(&self.attempts, "", peer) {
            tracing::info!(%peer, wait_s = wait.as_secs(), "registration throttled");
            return Err(too_many());
        }
        let user = BareJid::new(&name, host)
            .map_err(|_| StanzaError::not_acceptable().with_text("no such username is possible"))?;
        let now = env.clock.millis();
        let account = Account::with_password(&password, now).ok_or_else(bad_password)?;
        Ok((user, account))
    }

    fn set(&self, cx: &mut IqCx<'_, '_>, request: Register) -> Answer {
        if cx.from.is_none() {
            return self.make(cx, request);
        }
        let session = match home(cx) {
            Ok(session) => session,
            Err(error) => return error.into(),
        };
        let (env, user) = (Arc::clone(session.env), session.user().clone());
        if request.remove {
            if request.username.is_some() || request.password.is_some() {
                // section 3.2: it has to be the only child
                return StanzaError::bad_request().into();
            }
            let own = Arc::clone(session.resource());
            return Answer::later(async move {
                match account::remove(&env, &user, Some(&own)).await {
                    Ok(_) => {
                        let error = StreamError::new(Condition::NotAuthorized);
                        Answer::Last(error.with_text("the account was removed"))
                    }
                    Err(error) => Answer::Error(error),
                }
            });
        }
        let (Some(name), Some(password)) = (request.username, request.password) else {
            return StanzaError::bad_request()
                .with_text("a username and a password are needed")
                .into();
        };
        if BareJid::new(&name, user.domain()).ok().as_ref() != Some(&user) {
            return StanzaError::forbidden().into();
        }
        if !session.is_secure() {
            // section 3.3: the channel is not safe enough
            return StanzaError::not_authorized().into();
        }
        if password.is_empty() {
            // section 3.3
            return StanzaError::bad_request().with_text("a password must not be empty").into();
        }
        // wherever they come from
        if counted(&self.changes, user.as_str(), Ipv6Addr::UNSPECIFIED.into()).is_err() {
            return too_many().into();
        }
        if sasl::prepare(&password).is_none() {
            return bad_password().into();
        }
        Answer::later(async move {
            match env.accounts.set_password(&user, &password).await {
                Ok(true) => Answer::empty(),
                Ok(false) => StanzaError::item_not_found().into(),
                Err(error) => Answer::Error(error.into()),
            }
        })
    }
}

/// The session of the asking user, if the request is for his own server or account.
fn home<'c, 's>(cx: &'c mut IqCx<'_, 's>) -> Result<&'c mut SessionCx<'s>, StanzaError> {
    match (cx.target, cx.from) {
        (Target::Server(host), Some(from)) if **host == *from.domain() => cx.session(),
        _ => cx.own_session(),
    }
}

/// Counts, whatever comes of it.
fn counted(throttle: &Arc<Throttle>, user: &str, peer: IpAddr) -> Result<(), Duration> {
    throttle.begin(user, peer).and_then(|mut attempt: Attempt| attempt.prove().map(drop))
}

fn too_many() -> StanzaError {
    StanzaError::policy_violation().with_text("too many attempts, try again later")
}

fn bad_password() -> StanzaError {
    StanzaError::not_acceptable().with_text(PASSWORD_RULE)
}

async fn create(env: &Env, user: BareJid, account: Account) -> Answer {
    let name = user.as_str().to_owned();
    match env.stores.accounts.create(vec![(user, account)]).await {
        Ok(0) => StanzaError::conflict().into(),
        Ok(_) => {
            tracing::info!(user = name, "account registered");
            Answer::empty()
        }
        Err(error) => Answer::Error(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        registrar::Modules,
        session::state::Tls,
        testkit::{World, WorldOptions, script::follow},
    };

    const OPEN: &str = "X =
        X C: <stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>
        X S: <stream:stream>";

    fn check(script: &str, config: &RegisterConfig, tls: bool) {
        let tls = tls.then(Tls::default);
        let options = WorldOptions { tls, ..WorldOptions::default() };
        World::check_with(&script.replace("OPEN", OPEN), &options, |modules| {
            modules.add_with::<RegisterModule>(config.clone());
        });
    }

    fn register(id: &str, name: &str, password: &str) -> String {
        format!(
            "X C: <iq type='set' id='{id}'><query xmlns='jabber:iq:register'>
             <username>{name}</username><password>{password}</password></query></iq>\n"
        )
    }

    fn refused(id: &str, ty: &str, condition: &str) -> String {
        format!(
            "X S: <iq type='error' id='{id}'><error type='{ty}'>
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>\n"
        )
    }

    #[test]
    fn an_account_is_made_before_logging_on() {
        let script = [
            "account romeo@localhost pencil
             OPEN
             X S: <stream:features><register xmlns='http://jabber.org/features/iq-register'/>
               </stream:features>
             X C: <iq type='get' id='1' to='localhost'><query xmlns='jabber:iq:register'/></iq>
             X S: <iq type='result' id='1' from='localhost'><query xmlns='jabber:iq:register'>
               <instructions/><username/><password/><registered absent=''/></query></iq>\n",
            &register("2", "Romeo", "pencil"),
            &refused("2", "cancel", "conflict"),
            &register("3", "", "pencil"),
            &refused("3", "modify", "not-acceptable"),
            &register("4", "juliet", ""),
            &refused("4", "modify", "not-acceptable"),
            &register("5", "juli@et", "pencil"),
            &refused("5", "modify", "not-acceptable"),
            "X C: <iq type='set' id='6'><query xmlns='jabber:iq:register'><remove/></query></iq>\n",
            &refused("6", "wait", "unexpected-request"),
            "X C: <iq type='get'><query xmlns='jabber:iq:register'/></iq>
             X S: <iq type='error'><error type='modify'>
               <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>\n",
            &register("7", "Juliet", "pencil"),
            "X S: <iq type='result' id='7'/>
             X cut
             password juliet@localhost pencil
             J = juliet@localhost/balcony
             J C: <iq type='get' id='8'><query xmlns='jabber:iq:register'/></iq>
             J S: <iq type='result' id='8'><query xmlns='jabber:iq:register'><registered/>
               <instructions/><username>juliet</username><password/></query></iq>",
        ];
        check(&script.concat(), &RegisterConfig::default(), true);
    }

    #[test]
    fn not_without_tls_and_not_when_only_users_may_change_theirs() {
        let asked = "OPEN
             X S: <stream:features><register absent='' xmlns='http://jabber.org/features/iq-register'/>
               </stream:features>
             X C: <iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>\n";
        let clear = "X S: <stream:error>
             <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        check(&format!("{asked}{clear}"), &RegisterConfig::default(), false);
        let closed = RegisterConfig { create: false, ..RegisterConfig::default() };
        let unavailable = refused("1", "cancel", "service-unavailable");
        check(&format!("{asked}{unavailable}"), &closed, true);
    }

    #[test]
    fn a_server_without_registration_says_so() {
        let script = format!(
            "{OPEN}
             X S: <stream:features/>
             X C: <iq type='get' id='1' to='localhost'><query xmlns='jabber:iq:register'/></iq>
             {}
             X C: <iq type='get' id='2' to='localhost'><query xmlns='jabber:iq:version'/></iq>
             X S: <stream:error>
               <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            refused("1", "cancel", "service-unavailable")
        );
        World::check(&script, |_| {});
    }

    #[test]
    fn one_address_may_try_so_often_in_a_while() {
        let config =
            RegisterConfig { per_address: 2, window: secs(60), ..RegisterConfig::default() };
        let script = [
            "OPEN\nX S: <stream:features/>\n",
            &register("1", "a", "p"),
            "X S: <iq type='result' id='1'/>\n",
            &register("2", "a", "p"),
            &refused("2", "cancel", "conflict"),
            &register("3", "b", "p"),
            &refused("3", "wait", "policy-violation"),
            "X cut\nT: 60s\nOPEN\nX S: <stream:features/>\n",
            &register("4", "b", "p"),
            "X S: <iq type='result' id='4'/>\n",
        ];
        check(&script.concat(), &config, true);
    }

    #[test]
    fn a_password_is_changed_by_its_owner_alone() {
        let script = "account juliet@localhost pencil
             account romeo@localhost pencil
             X = juliet@localhost/balcony\n"
            .to_owned()
            + &register("1", "romeo", "ballpoint")
            + &refused("1", "auth", "forbidden")
            + &register("2", "juliet", "")
            + &refused("2", "modify", "bad-request")
            + "X C: <iq type='set' id='3' to='romeo@localhost'><query xmlns='jabber:iq:register'>
               <username>romeo</username><password>ballpoint</password></query></iq>\n"
            + &refused("3", "auth", "forbidden")
            + &register("4", "juliet", "ballpoint")
            + "X S: <iq type='result' id='4'/>
               password juliet@localhost ballpoint
               K = juliet@localhost/chamber
               R = romeo@localhost/orchard";
        check(&script, &RegisterConfig::default(), true);
    }

    #[test]
    fn a_password_is_changed_so_often_in_a_while() {
        let begin = "account juliet@localhost pencil\nX = juliet@localhost/balcony\n".to_owned();
        let changed = register("1", "juliet", "pencil") + "X S: <iq type='result' id='1'/>\n";
        let script = begin
            + &changed.repeat(CHANGES as usize)
            + &register("2", "juliet", "pencil")
            + &refused("2", "wait", "policy-violation")
            + "X cut\nX = juliet@localhost/balcony\n"
            + &register("3", "juliet", "pencil")
            + &refused("3", "wait", "policy-violation")
            + "T: 3600s\n"
            + &changed;
        let options = WorldOptions { tls: Some(Tls::default()), ..WorldOptions::default() };
        World::block_on(async {
            let mut modules = Modules::default();
            modules.add_with::<RegisterModule>(RegisterConfig::default());
            let mut world = World::new(modules, options).await;
            follow(&script, &mut world).await.unwrap();
            world.stop().await;
        });
    }

    #[test]
    fn the_longest_password_that_can_be_set_is_one_that_can_be_tried() {
        use xmpp::sasl::MAX_PASSWORD;
        let (longest, longer) = ("x".repeat(MAX_PASSWORD), "x".repeat(MAX_PASSWORD + 1));
        let (made, written) = ("A".repeat(MAX_PASSWORD), "\u{1d400}".repeat(MAX_PASSWORD));
        let script = [
            "OPEN\nX S: <stream:features/>\n",
            &register("1", "juliet", &longer),
            &refused("1", "modify", "not-acceptable"),
            &register("2", "juliet", &longest),
            "X S: <iq type='result' id='2'/>\nX cut\n",
            &plain("juliet", &longest, "success"),
            &plain("juliet", &longer, "failure"),
            &format!("password juliet@localhost {longest}\nX = juliet@localhost/balcony\n"),
            &register("3", "juliet", &longer),
            &refused("3", "modify", "not-acceptable"),
            &register("4", "juliet", &made),
            "X S: <iq type='result' id='4'/>\nX cut\n",
            &plain("juliet", &made, "success"),
            // the same in four times as many bytes
            &plain("juliet", &written, "success"),
            &plain("juliet", &format!("{written}\u{ad}"), "failure"),
        ];
        check(&script.concat(), &RegisterConfig::default(), true);
    }

    /// Logs on with PLAIN.
    fn plain(user: &str, password: &str, how: &str) -> String {
        use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
        let text = BASE64.encode(format!("\0{user}\0{password}"));
        format!(
            "OPEN\nX S: <stream:features/>
             X C: <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{text}</auth>
             X S: <{how} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
             X cut\n"
        )
    }

    #[test]
    fn a_password_is_not_changed_in_the_clear() {
        let script = "account juliet@localhost pencil\nX = juliet@localhost/balcony\n".to_owned()
            + &register("1", "juliet", "ballpoint")
            + &refused("1", "auth", "not-authorized")
            + "X cut\nX = juliet@localhost/balcony";
        check(&script, &RegisterConfig::default(), false);
    }

    #[test]
    fn a_removed_account_ends_with_all_its_sessions() {
        check(
            "account juliet@localhost pencil
             account romeo@localhost pencil
             K = juliet@localhost/chamber
             R = romeo@localhost/orchard
             J = juliet@localhost/balcony
             J C: <enable xmlns='urn:xmpp:sm:3' resume='true'/>
             J S: <enabled xmlns='urn:xmpp:sm:3'/>
             J C: <presence to='romeo@localhost/orchard'/>
             R S: <presence from='juliet@localhost/balcony'/>
             J C: <presence/>
             J S: <presence from='juliet@localhost/balcony'/>
             J S: <r xmlns='urn:xmpp:sm:3'/>
             J C: <iq type='set' id='1'><query xmlns='jabber:iq:register'><remove/>
               <username>juliet</username></query></iq>
             J S: <iq type='error' id='1'><error type='modify'>
               <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
             J C: <iq type='set' id='2'><query xmlns='jabber:iq:register'><remove/></query></iq>
               <iq type='get' id='3'><query xmlns='jabber:iq:register'/></iq>
             J S: <iq type='result' id='2'/>
             J S: <stream:error>
               <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
             J S: </stream:stream>
             J S: eof
             K S: <stream:error>
               <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
             K S: </stream:stream>
             K S: eof
             R S: <presence type='unavailable' from='juliet@localhost/balcony'/>
             R C: <message to='juliet@localhost' type='chat' id='4'><body>?</body></message>
             R S: <message type='error' id='4'><error type='cancel'>
               <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
             X =
             X C: <stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>
             X S: <stream:stream>
             X S: <stream:features/>
             X C: <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABwZW5jaWw=</auth>
             X S: <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
            &RegisterConfig::default(),
            true,
        );
    }
}
