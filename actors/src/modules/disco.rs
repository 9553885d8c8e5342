//! Service discovery (XEP-0030) of the server and of accounts, its entity capabilities (XEP-0115)
//! and its contact addresses (XEP-0157).
//!
//! It says what the other modules registered as features; it has no nodes but the capabilities'.

use crate::{
    cx::{Answer, IqCx, Target},
    env::Env,
    hooks::{Order, ServiceInfo, Stage},
    registrar::{Module, Registrar, Xep},
    routing,
};
use std::sync::{Arc, OnceLock};
use xmpp::{
    Element,
    error::StanzaError,
    jid::BareJid,
    ns,
    payload::{
        caps,
        disco::{self, InfoQuery, ItemsQuery},
    },
};

config::section! {
    /// Service discovery: what the server and accounts can do, and whom to turn to (XEP-0030,
    /// XEP-0157). Addresses are URIs, such as "mailto:abuse@example.org".
    pub struct DiscoConfig {
        /// What the server calls itself.
        pub name: String = "Mangrove".to_owned(),
        /// Where abuse is reported.
        pub abuse: Vec<String> = Vec::new(),
        /// The administrators.
        pub admin: Vec<String> = Vec::new(),
        /// Where feedback is welcome.
        pub feedback: Vec<String> = Vec::new(),
        /// Who sells the service.
        pub sales: Vec<String> = Vec::new(),
        /// Where security problems are reported.
        pub security: Vec<String> = Vec::new(),
        /// Who helps users.
        pub support: Vec<String> = Vec::new(),
    }
}

/// The URI of this software in capabilities (XEP-0115 section 4).
const NODE: &str = "mangrove:server";

/// The module.
#[derive(Debug)]
pub struct DiscoModule {
    config: DiscoConfig,
    /// The capabilities as every log-on is told them.
    caps: OnceLock<String>,
}

impl Module for DiscoModule {
    const NAME: &'static str = "disco";
    const XEPS: &'static [Xep] =
        &[Xep(30, "2.5.0"), Xep(115, "1.6.0"), Xep(128, "1.0.1"), Xep(157, "1.1.1")];
    const HIDES_ACCOUNTS: bool = true;
    const FOR_SERVICES: bool = true;
    type Config = DiscoConfig;

    fn new(config: DiscoConfig) -> Self {
        Self { config, caps: OnceLock::new() }
    }

    fn register(on: &mut Registrar<'_, Self>) {
        on.feature(ns::DISCO_INFO)
            .feature(ns::DISCO_ITEMS)
            .service_feature(ns::DISCO_INFO)
            .service_feature(ns::DISCO_ITEMS)
            .server_feature(ns::CAPS)
            .features(Order::Main, Self::features)
            .iq_get::<InfoQuery>(Self::info)
            .iq_get::<ItemsQuery>(Self::items);
    }
}

impl DiscoModule {
    /// XEP-0115 section 6.3: a client that knows the string need not ask.
    fn features(&self, env: &Env, stage: Stage, out: &mut Vec<u8>) {
        if stage == Stage::Authenticated {
            let made = || caps::caps(NODE, &caps::ver(&self.server(env, None))).to_xml();
            out.extend_from_slice(self.caps.get_or_init(made).as_bytes());
        }
    }

    fn info(&self, cx: &mut IqCx<'_, '_>, query: InfoQuery) -> Answer {
        let node = query.node.filter(|n| !n.is_empty());
        let env = cx.env;
        match cx.target {
            Target::Server(_) => {
                let known = node.as_deref().is_none_or(|node| {
                    let ver = node.strip_prefix(NODE).and_then(|rest| rest.strip_prefix('#'));
                    ver.is_some_and(|ver| ver == caps::ver(&self.server(env, None)))
                });
                if known { result(&self.server(env, node.as_deref())) } else { not_found() }
            }
            Target::Service(_) if node.is_some() => not_found(),
            Target::Service(to) => match env.service(to) {
                Some(service) => result(&of_service(env, &service.info)),
                None => not_found(),
            },
            Target::Account(user) => {
                let none = node.is_none();
                let identities = [("account", "registered", "")];
                let features = unique(&env.hooks().account_features);
                let info = disco::info(None, &identities, &features);
                let answer = if none { result(&info) } else { not_found() };
                ask(cx, user, StanzaError::service_unavailable().into(), |_, _| async { answer })
            }
        }
    }

    fn items(&self, cx: &mut IqCx<'_, '_>, query: ItemsQuery) -> Answer {
        let node = query.node.filter(|n| !n.is_empty());
        match cx.target {
            Target::Server(_) | Target::Service(_) if node.is_some() => not_found(),
            Target::Server(host) => {
                let services = cx.env.hooks().services.iter();
                let services = services.filter(|s| s.belongs_to(host, &cx.env.hosts));
                result(&disco::items(None, services.map(|s| s.info.domain.clone())))
            }
            // what is below it is its module's to say
            Target::Service(_) => result(&disco::items(None, [])),
            Target::Account(user) => {
                // section 8: who may not know gets what an account without resources has
                let nothing = result(&disco::items(node.as_deref(), []));
                ask(cx, user, nothing, move |env, user| async move {
                    if node.is_some() {
                        return not_found();
                    }
                    let by = user.clone().into();
                    let (all, _) = routing::everywhere::shown(&env, &by, &[user]).await;
                    let available = all.iter().filter(|one| one.presence.is_some());
                    result(&disco::items(None, available.map(|one| one.jid.as_str().to_owned())))
                })
            }
        }
    }

    /// What the server is, in answer to a question for `node`.
    fn server(&self, env: &Env, node: Option<&str>) -> Element {
        let features = unique(&env.hooks().server_features);
        let info = disco::info(node, &[("server", "im", &self.config.name)], &features);
        let contacts = self.contacts();
        if contacts.is_empty() {
            return info;
        }
        info.with_child(disco::form(ns::SERVER_INFO, contacts))
    }

    fn contacts(&self) -> Vec<(&'static str, &[String])> {
        let all: [(_, &[String]); 6] = [
            ("abuse-addresses", &self.config.abuse),
            ("admin-addresses", &self.config.admin),
            ("feedback-addresses", &self.config.feedback),
            ("sales-addresses", &self.config.sales),
            ("security-addresses", &self.config.security),
            ("support-addresses", &self.config.support),
        ];
        all.into_iter().filter(|(_, addresses)| !addresses.is_empty()).collect()
    }
}

/// What a service is: for modules that answer such questions of their nodes themselves.
pub fn of_service(env: &Env, info: &ServiceInfo) -> Element {
    let features = [env.hooks().service_features.as_slice(), info.features].concat();
    disco::info(None, &[(info.category, info.ty, &info.name)], &unique(&features))
}

/// Answers for an account if the asking user may see it, otherwise with `denied` (section 8).
fn ask<F: Future<Output = Answer> + Send>(
    cx: &IqCx<'_, '_>,
    user: &BareJid,
    denied: Answer,
    answer: impl FnOnce(Arc<Env>, BareJid) -> F + Send + 'static,
) -> Answer {
    let (env, user) = (Arc::clone(cx.env), user.clone());
    let Some(from) = cx.from.cloned() else { return denied };
    Answer::later(async move {
        match routing::sees(&env, &user, &from).await {
            Ok(true) => answer(env, user).await,
            Ok(false) => denied,
            Err(error) => Answer::Error(error.into()),
        }
    })
}

fn result(element: &Element) -> Answer {
    Answer::Result(element.to_xml().into_bytes())
}

fn not_found() -> Answer {
    StanzaError::item_not_found().into()
}

/// Features in order, each once: two modules may have the same.
fn unique(features: &[&'static str]) -> Vec<&'static str> {
    let mut all = features.to_vec();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{modules::testing::Secretive, testkit::World};

    fn check(script: &str) {
        World::check(script, |modules| {
            let abuse = vec!["mailto:abuse@localhost".to_owned()];
            modules.add_with::<DiscoModule>(DiscoConfig { abuse, ..DiscoConfig::default() });
            modules.add_with::<Secretive>(Default::default());
        });
    }

    #[test]
    fn the_server_and_one_s_own_account_say_what_they_are() {
        check(include_str!("../../../tests/scripts/disco.xmpp"));
    }

    #[test]
    fn contact_addresses_are_a_form_beside_the_features() {
        check(
            "account juliet@localhost pencil
             J = juliet@localhost/balcony
             J C: <iq type='get' id='1' to='localhost'>
               <query xmlns='http://jabber.org/protocol/disco#info'/></iq>
             J S: <iq type='result' id='1'>
               <query xmlns='http://jabber.org/protocol/disco#info'>
               <identity category='server' type='im' name='Mangrove'/>
               <x xmlns='jabber:x:data' type='result'>
               <field var='FORM_TYPE' type='hidden'>
               <value>http://jabber.org/network/serverinfo</value></field>
               <field var='abuse-addresses'><value>mailto:abuse@localhost</value></field>
               </x></query></iq>",
        );
    }

    #[test]
    fn who_may_not_see_an_account_cannot_tell_it_from_none() {
        check(
            "account juliet@localhost pencil
             account romeo@localhost pencil
             account nurse@localhost pencil
             J = juliet@localhost/balcony
             J C: <presence/>
             J S: <presence from='juliet@localhost/balcony'/>
             N = nurse@localhost/house
             N C: <iq type='get' id='1' to='juliet@localhost'>
               <query xmlns='http://jabber.org/protocol/disco#info'/></iq>
             N S: <iq type='result' id='1'>
               <query xmlns='http://jabber.org/protocol/disco#info'>
               <identity category='account' type='registered'/></query></iq>
             N C: <iq type='get' id='2' to='juliet@localhost'>
               <query xmlns='http://jabber.org/protocol/disco#items'/></iq>
             N S: <iq type='result' id='2'>
               <query xmlns='http://jabber.org/protocol/disco#items'>
               <item jid='juliet@localhost/balcony'/></query></iq>
             R = romeo@localhost/orchard
             R C: <iq type='get' id='1' to='juliet@localhost'>
               <query xmlns='http://jabber.org/protocol/disco#info'/></iq>
             R S: <iq type='error' id='1'><error type='cancel'>
               <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
             R C: <iq type='get' id='2' to='nobody@localhost'>
               <query xmlns='http://jabber.org/protocol/disco#info'/></iq>
             R S: <iq type='error' id='2'><error type='cancel'>
               <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
             R C: <iq type='get' id='3' to='juliet@localhost'>
               <query xmlns='http://jabber.org/protocol/disco#items'/></iq>
             R S: <iq type='result' id='3'>
               <query xmlns='http://jabber.org/protocol/disco#items' absent-node=''/></iq>
             R C: <iq type='get' id='4' to='nobody@localhost'>
               <query xmlns='http://jabber.org/protocol/disco#items' node='x'/></iq>
             R S: <iq type='result' id='4'>
               <query xmlns='http://jabber.org/protocol/disco#items' node='x'/></iq>",
        );
    }

    #[test]
    fn the_capabilities_of_the_stream_features_are_those_of_the_answer() {
        World::block_on(async {
            let mut modules = crate::registrar::Modules::default();
            modules.add_with::<DiscoModule>(DiscoConfig::default());
            let world = World::new(modules, Default::default()).await;
            let module = DiscoModule::new(DiscoConfig::default());
            let info = module.server(&world.env, Some("x"));
            let mut out = Vec::new();
            module.features(&world.env, Stage::Authenticated, &mut out);
            let element = Element::parse(&out, "").unwrap();
            assert_eq!(element.attr("ver"), Some(caps::ver(&info).as_str()));
            let before = out.len();
            module.features(
                &world.env,
                Stage::Unauthenticated { secure: true, own: true },
                &mut out,
            );
            assert_eq!(out.len(), before, "not before authentication");
            world.stop().await;
        });
    }
}
