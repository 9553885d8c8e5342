//! Streams, authentication and binding as RFC 6120 has them, as scripts against a server in one
//! thread. What can also be run over TCP is a file in `tests/scripts`.

use actors::{
    modules::ping::{PingConfig, PingModule},
    registrar::Modules,
    session::state::Tls,
    settings::Settings,
    testkit::{
        World, WorldOptions, keys,
        script::{Got, Script, Wire},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use config::Sections;
use std::time::Duration;
use storage::Account;
use xmpp::sasl::{Hash, Mechanism};

const OPEN: &str = "X =
    X C: <stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>
    X S: <stream:stream>";

fn modules(modules: &mut Modules) {
    modules.add_with::<PingModule>(PingConfig::default());
}

fn check(script: &str) {
    World::check(script, modules);
}

fn check_with(script: &str, options: &WorldOptions) {
    World::check_with(&script.replace("OPEN", OPEN), options, modules);
}

fn error(who: &str, condition: &str) -> String {
    format!(
        "{who} S: <stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
         {who} S: </stream:stream>
         {who} S: eof\n"
    )
}

/// Under TLS 1.3, with what can be bound to.
fn secure() -> WorldOptions {
    let tls = Tls { exporter: Some(vec![7; 32]), end_point: Some(vec![9; 32]), sni: None };
    WorldOptions { tls: Some(tls), ..WorldOptions::default() }
}

/// The same, with the mechanism that is left out unless it is asked for.
fn secure_with_sha_1_plus() -> WorldOptions {
    let mut options = secure();
    options.settings.mechanisms.insert(4, Mechanism::Scram { hash: Hash::Sha1, plus: true });
    options
}

const PLAIN: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>";
const FAILURE: &str = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";

/// The files of `tests/scripts` must hold for a server with every module as it comes.
#[test]
fn scripts_hold_with_all_modules() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/scripts");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut count = 0;
    for path in files.filter(|path| path.extension().is_some_and(|e| e == "xmpp")) {
        count += 1;
        let script = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let all = |modules: &mut _| *modules = actors::modules::all(&mut Sections::default());
        World::check_at(&script, places(name), all);
    }
    assert!(count > 0);
}

/// Where clients are when there are two nodes, of scripts that say in which order a client hears of two others: where that is defined
/// these are on one node.
fn places(script: &str) -> &'static [(&'static str, usize)] {
    match script {
        "subscription.xmpp" => &[("R", 1), ("J", 0), ("K", 0), ("L", 0)],
        "resume.xmpp" => &[("R", 1), ("J", 0)],
        _ => &[],
    }
}

#[test]
fn headers() {
    check(include_str!("../../tests/scripts/stream-header.xmpp"));
}

#[test]
fn stream_errors() {
    check(include_str!("../../tests/scripts/stream-errors.xmpp"));
}

#[test]
fn binding() {
    check(include_str!("../../tests/scripts/stream-bind.xmpp"));
}

#[test]
fn stanzas() {
    check(include_str!("../../tests/scripts/stream-stanzas.xmpp"));
}

#[test]
fn sasl_failures() {
    check(include_str!("../../tests/scripts/sasl-failures.xmpp"));
}

#[test]
fn sasl_mechanisms() {
    check(include_str!("../../tests/scripts/sasl-mechanisms.xmpp"));
}

#[test]
fn a_stream_that_is_not_bound_in_time_ends() {
    let late = error("X", "connection-timeout");
    check(&format!("X =\nT: 29s\nX S: nothing\nT: 1s\nX S: <stream:stream>\n{late}"));
    check(&format!(
        "account juliet@localhost pencil
         J = juliet@localhost/balcony
         T: 60s
         J S: nothing
         {OPEN}
         X S: <stream:features/>
         X scram SCRAM-SHA-1 juliet pencil
         X S: {SUCCESS}
         X C: <stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>
         X S: <stream:stream>
         X S: <stream:features/>
         T: 30s
         {late}"
    ));
}

#[test]
fn an_element_that_is_too_large_ends_the_stream_before_it_is_complete() {
    let settings =
        Settings { max_stanza: 2_000, max_stanza_unauthenticated: 1_000, ..Settings::default() };
    let options = WorldOptions { settings, ..WorldOptions::default() };
    let (short, long) = ("x".repeat(1_500), "x".repeat(2_000));
    check_with(
        &format!(
            "account juliet@localhost pencil
             OPEN
             X S: <stream:features><limits xmlns='urn:xmpp:stream-limits:0'>
               <max-bytes>1000</max-bytes></limits></stream:features>
             X C: <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{short}
             {}
             J = juliet@localhost/balcony
             J C: <message to='juliet@localhost/balcony'><body>{short}</body></message>
             J S: <message/>
             J C: <message to='juliet@localhost/balcony'><body>{long}
             {}",
            error("X", "policy-violation"),
            error("J", "policy-violation"),
        ),
        &options,
    );
}

#[test]
fn a_user_has_so_many_resources_and_no_more() {
    let settings = Settings { max_resources: 1, ..Settings::default() };
    let options = WorldOptions { settings, ..WorldOptions::default() };
    check_with(
        &format!(
            "account juliet@localhost pencil
             J = juliet@localhost/balcony
             OPEN
             X S: <stream:features/>
             X scram SCRAM-SHA-1 juliet pencil
             X S: {SUCCESS}
             X C: <stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>
             X S: <stream:stream>
             X S: <stream:features/>
             X C: <iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>
             X S: <iq type='error' id='1'><error type='wait'>
               <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>
             X C: <iq type='set' id='2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>
               <resource>balcony</resource></bind></iq>
             X S: <iq type='result' id='2'/>
             {}",
            error("J", "conflict")
        ),
        &options,
    );
}

#[test]
fn starttls_is_offered_once_and_plain_only_after_it() {
    check_with(
        &format!(
            "account juliet@localhost pencil
             OPEN
             X S: <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
               <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>
               <mechanism absent=''>PLAIN</mechanism>
               <mechanism absent=''>SCRAM-SHA-1-PLUS</mechanism></mechanisms></stream:features>
             X C: {PLAIN}AGp1bGlldABwZW5jaWw=</auth>
             X S: {FAILURE}<encryption-required/></failure>
             X C: <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><presence/>
             X S: <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
             X C: <stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>
             X S: <stream:stream>
             X S: <stream:features><starttls absent='' xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
               <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>
               <mechanism>PLAIN</mechanism></mechanisms></stream:features>
             X C: <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
             X S: <failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
             X S: </stream:stream>
             X S: eof"
        ),
        &WorldOptions::default(),
    );
}

#[test]
fn plain_under_tls() {
    // the last three: not three parts; an empty password; as somebody else
    let script = [
        "account juliet@localhost pencil
         account romeo@localhost pencil",
        "X C: PLAINAGp1bGlldABwZW5jaWw=</auth>\nX S: SUCCESS",
        "X C: PLAINanVsaWV0QGxvY2FsaG9zdABqdWxpZXQAcGVuY2ls</auth>\nX S: SUCCESS",
        "X C: PLAINAGp1bGlldABiYWxscG9pbnQ=</auth>\nX S: FAILURE<not-authorized/></failure>",
        "X C: PLAINAG5vYm9keQBwZW5jaWw=</auth>\nX S: FAILURE<not-authorized/></failure>",
        "X C: PLAINanVsaWV0</auth>\nX S: FAILURE<malformed-request/></failure>",
        "X C: PLAINAGp1bGlldAA=</auth>\nX S: FAILURE<malformed-request/></failure>",
        "X C: PLAINcm9tZW9AbG9jYWxob3N0AGp1bGlldABwZW5jaWw=</auth>\nX S: FAILURE<invalid-authzid/></failure>",
    ];
    let script = script.join("\nOPEN\nX S: <stream:features/>\n");
    let script = script.replace("FAILURE", FAILURE).replace("SUCCESS", SUCCESS);
    check_with(&script.replace("PLAIN", PLAIN), &secure());
}

#[test]
fn channel_binding_is_offered_and_checked() {
    let offered = "OPEN
         X S: <stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>
           <mechanism>SCRAM-SHA-512-PLUS</mechanism><mechanism>SCRAM-SHA-256-PLUS</mechanism>
           <mechanism>SCRAM-SHA-1-PLUS</mechanism></mechanisms>
           <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>
           <channel-binding type='tls-exporter'/><channel-binding type='tls-server-end-point'/>
           </sasl-channel-binding></stream:features>";
    let mut script = "account juliet@localhost pencil\n".to_owned();
    for binding in ["tls-exporter", "tls-server-end-point"] {
        for hash in ["1", "256", "512"] {
            script += &format!(
                "{offered}\nX scram SCRAM-SHA-{hash}-PLUS/{binding} juliet pencil\nX S: {SUCCESS}\nX cut\n"
            );
        }
    }
    // bound to something else; a client that says it saw no -PLUS though it was offered one
    script += &format!(
        "{offered}
         X C: <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1-PLUS'>cD10bHMtdW5pcXVlLCxuPWp1bGlldCxyPWFiYw==</auth>
         X S: {FAILURE}<malformed-request/></failure>
         X C: <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>eSwsbj1qdWxpZXQscj1hYmM=</auth>
         X S: {FAILURE}<not-authorized/></failure>\n"
    );
    check_with(&script, &secure_with_sha_1_plus());
    let other = Tls { exporter: None, end_point: None, sni: None };
    let none = WorldOptions { tls: Some(other), ..WorldOptions::default() };
    check_with(
        &format!(
            "account juliet@localhost pencil
             OPEN
             X S: <stream:features>
               <sasl-channel-binding absent='' xmlns='urn:xmpp:sasl-cb:0'/></stream:features>
             X C: <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1-PLUS'>=</auth>
             X S: {FAILURE}<invalid-mechanism/></failure>"
        ),
        &none,
    );
}

/// RFC 5802 section 6: a `y` is a downgrade where the same hash was offered with -PLUS. Who binds channels
/// and knows SHA-1 alone, which is not offered with it, gets in.
#[test]
fn a_changed_offer_is_one_of_the_same_hash() {
    let try_all = |ends: [bool; 3]| {
        let mut script = "account juliet@localhost pencil\n".to_owned();
        for (hash, gets_in) in ["1", "256", "512"].into_iter().zip(ends) {
            script += "OPEN\nX S: <stream:features/>\n";
            script += &if gets_in {
                format!("X scram SCRAM-SHA-{hash}/y juliet pencil\nX S: {SUCCESS}\nX cut\n")
            } else {
                let auth = format!(
                    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-{hash}'>"
                );
                format!(
                    "X C: {auth}eSwsbj1qdWxpZXQscj1hYmM=</auth>
                     X S: {FAILURE}<not-authorized/></failure>\nX cut\n"
                )
            };
        }
        script
    };
    let [usual, with_sha_1] = [secure(), secure_with_sha_1_plus()];
    check_with(&try_all([true, false, false]), &usual);
    check_with(&try_all([false; 3]), &with_sha_1);
    // nothing can be bound to: nothing was offered
    let tls = Some(Tls { exporter: None, end_point: None, sni: None });
    check_with(&try_all([true; 3]), &WorldOptions { tls, ..WorldOptions::default() });
}

#[test]
fn too_many_failures_end_the_stream_and_then_the_account_has_to_wait() {
    let wrong = format!(
        "X scram SCRAM-SHA-1 juliet ballpoint\nX S: {FAILURE}<not-authorized/></failure>\n"
    );
    let stream = format!("OPEN\nX S: <stream:features/>\n{}", wrong.repeat(5));
    let ended = error("X", "policy-violation");
    let streams = format!("{stream}{ended}").repeat(2);
    let first = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1qdWxpZXQscj1hYmM=</auth>";
    check_with(
        &format!(
            "account juliet@localhost pencil
             account romeo@localhost pencil
             {streams}
             OPEN
             X S: <stream:features/>
             X C: {first}
             X S: {FAILURE}<temporary-auth-failure/></failure>
             X cut
             R = romeo@localhost/orchard
             T: 300s
             J = juliet@localhost/balcony"
        ),
        &WorldOptions::default(),
    );
}

#[test]
fn several_hosts_are_served_side_by_side() {
    let options =
        WorldOptions { hosts: vec!["verona.example", "mantua.example"], ..WorldOptions::default() };
    let open = |to: &str| {
        format!(
            "X =\nX C: <stream:stream {to} version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\n"
        )
    };
    check_with(
        &[
            "account juliet@verona.example pencil
             account juliet@mantua.example ballpoint
             J = juliet@verona.example/balcony
             M = juliet@mantua.example/balcony
             M C: <message to='juliet@verona.example/balcony' id='1'><body>hi</body></message>
             J S: <message from='juliet@mantua.example/balcony' id='1'/>
             J C: <iq type='get' to='mantua.example' id='2'><ping xmlns='urn:xmpp:ping'/></iq>
             J S: <iq type='result' from='mantua.example' id='2'/>\n",
            // the header answers for the host it was sent to; it has to say which
            &open("to='MANTUA.example'"),
            "X S: <stream:stream from='mantua.example'>\nX S: <stream:features/>\nX cut\n",
            &open(""),
            "X S: <stream:stream from='verona.example'>\n",
            &error("X", "improper-addressing"),
            // an account of one host is none of the other, and a stream does not change its host
            &open("to='mantua.example'"),
            "X S: <stream:stream>\nX S: <stream:features/>\nX scram SCRAM-SHA-1 juliet pencil\n",
            &format!("X S: {FAILURE}<not-authorized/></failure>\n"),
            &format!("X scram SCRAM-SHA-1 juliet ballpoint\nX S: {SUCCESS}\n"),
            open("to='verona.example'").trim_start_matches("X =\n"),
            "X S: <stream:stream>\n",
            &error("X", "host-unknown"),
        ]
        .concat(),
        &options,
    );
}

#[test]
fn what_comes_after_a_module_closed_the_stream_is_not_looked_at() {
    let config = PingConfig { grace: Duration::from_secs(10) };
    World::check(
        "account juliet@localhost pencil
         J = juliet@localhost/balcony
         T: 310s
         J S: <iq type='get'/>
         J S: <stream:error/>
         J S: </stream:stream>
         J S: eof
         J C: <message to='juliet@localhost/balcony' id='1'/>
         J S: nothing",
        |modules| {
            modules.add_with::<PingModule>(config.clone());
        },
    );
}

#[test]
fn who_has_the_password_of_a_disabled_account_is_told_so() {
    let said = |failure: &str| format!("X S: {FAILURE}<{failure}/></failure>\n");
    let script = [
        OPEN.to_owned(),
        "\nX S: <stream:features/>\nX scram SCRAM-SHA-1 juliet pencil\n".to_owned(),
        said("account-disabled"),
        "X scram SCRAM-SHA-1 juliet ballpoint\n".to_owned(),
        said("not-authorized"),
        format!("X C: {PLAIN}AGp1bGlldABwZW5jaWw=</auth>\n"),
        said("account-disabled"),
        format!("X C: {PLAIN}AGp1bGlldABiYWxscG9pbnQ=</auth>\n"),
        said("not-authorized"),
    ];
    let script = Script::parse(&script.concat()).unwrap();
    World::block_on(async {
        let mut world = World::new(Modules::default(), secure()).await;
        let account = Account { keys: keys("pencil"), disabled: true, ..Account::default() };
        let user = "juliet@localhost".parse().unwrap();
        world.env.stores.accounts.create(vec![(user, account)]).await.unwrap();
        script.run(&mut world).await.unwrap();
        world.stop().await;
    });
}

/// A salt that changes with how a name is written would say that there is no such account.
#[test]
fn an_unknown_account_has_one_salt_however_it_is_written() {
    // n,,n=nobody,r=abc and n,,n=NOBODY,r=abc: the challenges differ in their nonces alone
    let salt = |first: &str| {
        let script = format!(
            "{OPEN}
             X S: <stream:features/>
             X C: <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{first}</auth>"
        );
        let script = Script::parse(&script).unwrap();
        World::block_on(async {
            let mut world = World::new(Modules::default(), WorldOptions::default()).await;
            script.run(&mut world).await.unwrap();
            let Got::Element(challenge) = world.next("X", true).await else { panic!() };
            world.stop().await;
            let text = String::from_utf8(BASE64.decode(challenge.text()).unwrap()).unwrap();
            text.split(',').find(|part| part.starts_with("s=")).unwrap().to_owned()
        })
    };
    assert_eq!(salt("biwsbj1ub2JvZHkscj1hYmM="), salt("biwsbj1OT0JPRFkscj1hYmM="));
}

/// XEP-0198 section 5: a client that comes too late learns how much of what it sent was handled.
#[test]
fn what_was_handled_in_a_session_is_remembered_for_who_comes_too_late() {
    let late = include_str!("../../tests/scripts/resume-late.xmpp");
    let failed = "J S: <failed xmlns='urn:xmpp:sm:3'>";
    let mut script = late.to_owned();
    for handled in [2, 1] {
        assert!(script.contains(failed));
        let counted = format!("J S: <failed xmlns='urn:xmpp:sm:3' h='{handled}'>");
        script = script.replacen(failed, &counted, 1);
    }
    let script = Script::parse(&script).unwrap();
    World::block_on(async {
        let modules = actors::modules::all(&mut Sections::default());
        let mut world = World::new(modules, WorldOptions::default()).await;
        script.run(&mut world).await.unwrap();
        world.stop().await;
    });
}
