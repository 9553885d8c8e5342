//! What reaches a service, and which domains it may have.

use super::*;
use crate::{
    cx::{Answer, Target},
    hooks::{ServiceFn, ServiceInfo},
    iq::respond,
    modules::{
        delay::{DelayConfig, DelayModule},
        disco::{DiscoConfig, DiscoModule},
        roster::{RosterConfig, RosterModule},
        stanza_id::{StanzaIdConfig, StanzaIdModule},
        version::{VersionConfig, VersionModule},
    },
    registrar::{Module, Modules, Registrar, Xep},
    routing,
    testkit::{World, WorldOptions, script::follow},
};
use xmpp::{
    jid::Jid,
    payload::simple::{Ping, VersionQuery},
    stanza::{Kind, Type},
};

config::section! {
    /// Where it is.
    pub struct TellConfig {
        /// The domain.
        pub domain: String = "tell".to_owned(),
    }
}

/// A service that tells romeo of whatever it gets.
#[derive(Debug)]
struct Tell(String);

impl Module for Tell {
    const NAME: &'static str = "tell";
    const XEPS: &'static [Xep] = &[];
    type Config = TellConfig;

    fn new(config: TellConfig) -> Self {
        Self(config.domain)
    }

    fn register(on: &mut Registrar<'_, Self>) {
        let info = info(&on.module().0);
        on.service(info, Self::tell)
            .service_iq_get::<Ping>(|_, cx, _| Answer::Result(name(cx.target).into_bytes()));
    }
}

fn info(domain: &str) -> ServiceInfo {
    let (category, ty, name) = ("component", "generic", "Tell".to_owned());
    ServiceInfo { domain: domain.to_owned(), category, ty, name, features: &["urn:tell"] }
}

fn name(target: &Target) -> String {
    match target {
        Target::Service(jid) => format!("<a xmlns='urn:tell'>{jid}</a>"),
        _ => String::new(),
    }
}

impl Tell {
    #[expect(clippy::needless_pass_by_value, reason = "a service gets its stanzas")]
    fn tell(&self, env: &Arc<Env>, stanza: Stanza) -> BoxFuture<()> {
        let (env, head) = (Arc::clone(env), &stanza.head);
        let of = |jid: &Option<Jid>| jid.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = format!(
            "{} {} {} {}",
            head.kind.as_str(),
            head.ty.as_str().unwrap_or("-"),
            of(&head.from),
            of(&head.to)
        );
        let message = Stanza::new(Kind::Message, Type::Headline)
            .with_to("romeo@localhost/orchard".parse().ok())
            .with_from(head.to.clone())
            .with_payload("urn:tell", "t", format!("<t xmlns='urn:tell'>{text}</t>").into_bytes());
        Box::pin(async move { routing::send(&env, message).await })
    }
}

fn told(text: &str) -> String {
    format!("R S: <message><t xmlns='urn:tell'>{text}</t></message>\n")
}

const LOG_ON: &str = "account juliet@localhost pencil
    account romeo@localhost pencil
    R = romeo@localhost/orchard
    J = juliet@localhost/balcony\n";

fn add(modules: &mut Modules) {
    modules.add_with::<DiscoModule>(DiscoConfig::default());
    modules.add_with::<VersionModule>(VersionConfig::default());
    modules.add_with::<Tell>(TellConfig::default());
}

#[test]
fn every_stanza_for_an_address_of_a_service_reaches_its_module() {
    let me = "juliet@localhost/balcony";
    let script = LOG_ON.to_owned()
        + "J C: <message to='tell.localhost'/>\n"
        + &told(&format!("message - {me} tell.localhost"))
        + "J C: <message to='a@tell.localhost' type='groupchat'/>\n"
        + &told(&format!("message groupchat {me} a@tell.localhost"))
        + "J C: <message to='a@tell.localhost/b' type='chat'/>\n"
        + &told(&format!("message chat {me} a@tell.localhost/b"))
        + "J C: <iq to='a@tell.localhost/b' type='get' id='1'><x xmlns='n:x'/></iq>\n"
        + &told(&format!("iq get {me} a@tell.localhost/b"))
        + "J C: <iq to='a@tell.localhost/b' type='result' id='2'/>\n"
        + &told(&format!("iq result {me} a@tell.localhost/b"))
        + "J C: <presence to='a@tell.localhost/b'/>\n"
        + &told(&format!("presence - {me} a@tell.localhost/b"))
        + "J C: <presence to='a@tell.localhost' type='subscribe'/>\n"
        + &told("presence subscribe juliet@localhost a@tell.localhost")
        // whom it sent its presence sees it go (RFC 6121 section 4.6.3)
        + "J cut\n"
        + &told(&format!("presence unavailable {me} a@tell.localhost/b"));
    World::check(&script, add);
}

#[test]
fn requests_are_answered_by_its_module_and_by_what_answers_for_all() {
    let error = |id, condition| {
        format!(
            "J S: <iq type='error' id='{id}'><error>
               <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>\n"
        )
    };
    let script = LOG_ON.to_owned()
        + "J C: <iq to='tell.localhost' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>
           J S: <iq type='result' id='1'><a xmlns='urn:tell'>tell.localhost</a></iq>
           J C: <iq to='a@tell.localhost' type='get' id='2'><ping xmlns='urn:xmpp:ping'/></iq>
           J S: <iq type='result' id='2'><a xmlns='urn:tell'>a@tell.localhost</a></iq>
           J C: <iq to='tell.localhost' type='get' id='3'>
             <query xmlns='http://jabber.org/protocol/disco#info'/></iq>
           J S: <iq type='result' id='3'><query xmlns='http://jabber.org/protocol/disco#info'>
             <identity category='component' type='generic' name='Tell'/><feature var='urn:tell'/>
             </query></iq>
           J C: <iq to='a@tell.localhost' type='get' id='4'>
             <query xmlns='http://jabber.org/protocol/disco#info'/></iq>\n"
        + &error("4", "service-unavailable")
        // the server's own is not the service's
        + "J C: <iq to='tell.localhost' type='get' id='5'><query xmlns='jabber:iq:version'/></iq>\n"
        + &error("5", "service-unavailable")
        // nor is a service's the server's
        + "J C: <iq to='localhost' type='get' id='6'><ping xmlns='urn:xmpp:ping'/></iq>\n"
        + &error("6", "service-unavailable");
    World::check(&script, add);
}

#[test]
fn nobody_claims_in_the_name_of_a_service_that_it_kept_or_numbered_a_message() {
    // whatever is written of its domain, and of what is below it
    let mine = ["tell.localhost", "TELL.localhost.", "a@tell.localhost", "a@Tell.Localhost/b", ""];
    let others = ["tell.example", "a@nottell.localhost", "localhost.tell"];
    let notes = |by: &[&str]| -> String {
        let note = |by: &&str| {
            format!(
                "<delay xmlns='urn:xmpp:delay' from='{by}' stamp='2002-09-10T23:08:25Z'/>
                 <stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='x'/>"
            )
        };
        by.iter().map(note).collect()
    };
    let script = format!(
        "{LOG_ON}J C: <message to='romeo@localhost/orchard' id='1'><body>a</body>{}{}</message>
         R S: <message id='1'><body>a</body>{}</message>",
        notes(&mine),
        notes(&others),
        notes(&others),
    );
    // what is not there must not be: each of the false ones by itself
    let each = mine.iter().map(|by| {
        format!(
            "\nJ C: <message to='romeo@localhost/orchard' id='2'>{}<body>b</body></message>
             R S: <message id='2'><body>b</body><delay xmlns='urn:xmpp:delay' absent=''/>
               <stanza-id xmlns='urn:xmpp:sid:0' absent=''/></message>",
            notes(&[by])
        )
    });
    World::check(&(script + &each.collect::<String>()), |modules| {
        modules.add_with::<DelayModule>(DelayConfig {});
        modules.add_with::<StanzaIdModule>(StanzaIdConfig {});
        modules.add_with::<Tell>(TellConfig::default());
    });
}

#[test]
fn a_service_hears_what_becomes_of_what_it_asked_and_malformed_requests_end_before_it() {
    let script = LOG_ON.to_owned()
        // of its domain, and of a node
        + "J C: <iq to='a@tell.localhost' type='result' id='0'/>\n"
        + &told("iq result juliet@localhost/balcony a@tell.localhost")
        + "J C: <iq to='tell.localhost' type='error' id='1'><error type='cancel'/></iq>\n"
        + &told("iq error juliet@localhost/balcony tell.localhost")
        + "J C: <message to='tell.localhost' type='error' id='2'/>\n"
        + &told("message error juliet@localhost/balcony tell.localhost")
        + "J C: <iq to='tell.localhost' type='get' id='3'/>
           J S: <iq type='error' id='3' from='tell.localhost'><error>
             <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
           J C: <iq to='tell.localhost' type='get' id='4'><x xmlns='n:x'/><y xmlns='n:x'/></iq>
           J S: <iq type='error' id='4' from='tell.localhost'><error>
             <bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
           J C: <iq to='a b@tell.localhost' type='get' id='5'><ping xmlns='urn:xmpp:ping'/></iq>
           J S: <iq type='error' id='5'><error>
             <jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
           J C: <iq to='TELL.localhost.' type='get' id='6'><ping xmlns='urn:xmpp:ping'/></iq>
           J S: <iq type='result' id='6' to='juliet@localhost/balcony'><a xmlns='urn:tell'>tell.localhost</a></iq>
           R S: nothing
           J S: nothing";
    World::check(&script, add);
}

#[test]
fn a_roster_takes_the_address_of_a_service() {
    let script = LOG_ON.to_owned()
        + "J C: <presence to='a@tell.localhost' type='subscribe'/>\n"
        + &told("presence subscribe juliet@localhost a@tell.localhost")
        + "J S: nothing";
    World::check(&script, |modules| {
        modules.add_with::<RosterModule>(RosterConfig::default());
        modules.add_with::<Tell>(TellConfig::default());
    });
}

#[test]
fn what_a_service_sends_and_nobody_takes_comes_back_to_it() {
    World::block_on(async {
        let mut modules = Modules::default();
        add(&mut modules);
        let mut world = World::new(modules, WorldOptions::default()).await;
        follow(LOG_ON, &mut world).await.unwrap();
        let from = "a@tell.localhost".parse().ok();
        let to = "nobody@localhost".parse().ok();
        let message = Stanza::new(Kind::Message, Type::Normal).with_from(from).with_to(to);
        routing::send(&world.env, message).await;
        let back = told("message error nobody@localhost a@tell.localhost");
        follow(&back, &mut world).await.unwrap();
        world.stop().await;
    });
}

#[test]
fn a_stranger_is_answered_by_a_service_as_well() {
    World::block_on(async {
        let mut modules = Modules::default();
        add(&mut modules);
        let world = World::new(modules, WorldOptions::default()).await;
        let iq = "<iq type='get' id='1' to='a@tell.localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
        let iq = Stanza::parse(iq.as_bytes()).unwrap();
        let from = "nurse@elsewhere.example/x".parse().ok();
        let answer = respond(&world.env, &iq.with_from(from)).await;
        assert_eq!(answer.payload().unwrap().text(), "a@tell.localhost");
        world.stop().await;
    });
}

#[test]
fn a_service_needs_a_domain_of_its_own() {
    // another module with a service
    #[derive(Debug)]
    struct Other;
    impl Module for Other {
        const NAME: &'static str = "other";
        const XEPS: &'static [Xep] = &[];
        type Config = VersionConfig;
        fn new(_: VersionConfig) -> Self {
            Self
        }
        fn register(on: &mut Registrar<'_, Self>) {
            on.service(info("Other.localhost"), |_, _, _| Box::pin(async {}))
                .service_iq_get::<VersionQuery>(|_, _, _| Answer::empty());
        }
    }
    let hosts = Hosts::new(["localhost".into(), "example.org".into()]);
    let built = |domain: &str| {
        let mut modules = Modules::default();
        modules.add_with::<VersionModule>(VersionConfig::default());
        modules.add_with::<Other>(VersionConfig::default());
        modules.add_with::<Tell>(TellConfig { domain: domain.to_owned() });
        let (table, _) = modules.build(&hosts)?;
        Ok(table.services.into_iter().map(|s| s.info.domain).collect::<Vec<_>>())
    };
    let good = |domain: &str| Ok(vec!["other.localhost".to_owned(), domain.to_owned()]);
    assert_eq!(built("tell"), good("tell.localhost"));
    assert_eq!(built("Tell.Example.ORG"), good("tell.example.org"));
    for (domain, names) in [
        ("EXAMPLE.org", ["module tell", "server.hosts", "example.org"]),
        ("other", ["modules other", "and tell", "other.localhost"]),
        ("a b", ["modules.tell", "a b.localhost", "no domain"]),
    ] {
        let wrong: Vec<String> = built(domain).unwrap_err();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(names.iter().all(|name| wrong[0].contains(name)), "{wrong:?}");
    }
}

#[test]
fn a_host_lists_the_services_below_it_and_those_below_none() {
    let hosts = Hosts::new(["localhost".into(), "example.org".into()]);
    let listed = |domain: &str| {
        let run: Arc<ServiceFn> = Arc::new(|_, _| Box::pin(async {}));
        let service = Service { module: "tell", info: info(domain), run };
        let hosts = hosts.iter().filter(|host| service.belongs_to(host, &hosts));
        hosts.map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(listed("tell.localhost"), ["localhost"]);
    assert_eq!(listed("tell.example.org"), ["example.org"]);
    assert_eq!(listed("anotherexample.org"), ["localhost", "example.org"]);
}
