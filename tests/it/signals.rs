//! The program and its signals: an orderly stop loses nothing and tells everybody.

use crate::support::{Program, Tcp, block_on};
use actors::testkit::script::follow;
use rustix::process::Signal;

async fn say(tcp: &mut Tcp<'_>, script: &str) {
    follow(script, tcp).await.unwrap_or_else(|e| panic!("{e}"));
}

/// What was handled is counted, so that nobody sends it again.
const SHUTDOWN: &str = "\
A S: <a xmlns='urn:xmpp:sm:3' h='2'/>
A S: <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>
A S: </stream:stream>
A S: eof
";

#[test]
fn sigterm_tells_clients_and_what_they_were_promised_is_kept() {
    let program = Program::new("");
    let mut running = program.run();
    program.say(&["account", "add", "a@localhost", "pw"]).good();
    program.say(&["account", "add", "b@localhost", "pw"]).good();
    block_on(async {
        let mut tcp = Tcp::to(running.addresses.starttls[0]);
        say(
            &mut tcp,
            "\
password a@localhost pw
A = a@localhost/x
A C: <enable xmlns='urn:xmpp:sm:3'/>
A S: <enabled xmlns='urn:xmpp:sm:3'/>
A C: <iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>A</FN></vCard></iq>
A S: <iq type='result' id='v'/>
A S: <r xmlns='urn:xmpp:sm:3'/>
A C: <message to='b@localhost' type='chat'><body>kept for you</body></message>
",
        )
        .await;
        running.signal(Signal::TERM);
        say(&mut tcp, SHUTDOWN).await;
    });
    let end = running.end();
    assert_eq!((end.code, end.out.as_str()), (Some(0), ""), "{end:?}");
    assert!(!program.path().join("data/admin.sock").exists());
    let running = program.run();
    block_on(async {
        let mut tcp = Tcp::to(running.addresses.starttls[0]);
        say(
            &mut tcp,
            "\
password a@localhost pw
A = a@localhost/x
A C: <iq type='get' id='v'><vCard xmlns='vcard-temp'/></iq>
A S: <iq type='result' id='v'><vCard xmlns='vcard-temp'><FN>A</FN></vCard></iq>
password b@localhost pw
B = b@localhost/y
B C: <presence/>
B S: <message from='a@localhost/x' type='chat'><body>kept for you</body><delay xmlns='urn:xmpp:delay' stamp='{*}'/></message>
B S: <presence from='b@localhost/y'/>
B S: nothing
",
        )
        .await;
    });
}

#[test]
fn an_operator_stops_the_node_and_waits_for_it() {
    let program = Program::new("");
    let mut running = program.run();
    assert_eq!(program.say(&["stop"]).good(), "stopped\n");
    assert_eq!(running.end().code, Some(0));
    program.say(&["stop"]).bad(1);
}

#[test]
fn a_killed_node_leaves_nothing_in_the_way_of_the_next() {
    let program = Program::new("");
    let mut running = program.run();
    program.say(&["account", "add", "a@localhost", "pw"]).good();
    running.signal(Signal::KILL);
    assert_eq!(running.end().code, None);
    assert!(program.path().join("data/admin.sock").exists());
    assert_eq!(program.say(&["account", "list"]).good(), "a@localhost\n1 account\n");
    let mut running = program.run();
    running.signal(Signal::INT);
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn sighup_reads_everything_again_and_says_what_takes_a_restart() {
    let program = Program::new("");
    let mut running = program.run();
    let file = program.path().join("mangrove.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let after = before.replace("require_tls = false", "require_tls = true");
    std::fs::write(&file, format!("{after}c2s.idle = '1m'\n")).unwrap();
    running.signal(Signal::HUP);
    // both are handled in one loop, but which of two waiting signals is first is chance
    let told = running.until_log("these take a restart");
    assert!(told.contains("c2s.require_tls"), "{told}");
    std::fs::write(&file, "nonsense").unwrap();
    running.signal(Signal::HUP);
    running.until_log("nothing has changed");
    running.signal(Signal::TERM);
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn the_first_start_says_how_to_make_an_account() {
    let program = Program::new("server.hosts = ['one.example', 'two.example']");
    let ready = program.first_line();
    let version = env!("CARGO_PKG_VERSION");
    assert!(ready[0].starts_with(&format!("mangrove {version} ready in ")), "{ready:?}");
    assert!(
        ready[0].contains(" s: c2s 127.0.0.1:") && ready[0].ends_with(", admin data/admin.sock")
    );
    let how = ready[1].strip_prefix("There are no accounts yet. To make one: ").unwrap();
    let (command, account) = how.split_once(" account add ").unwrap();
    assert!(command.ends_with("mangrove --config mangrove.toml"), "{how}");
    assert_eq!(account, "NAME@one.example");
    assert_eq!(
        ready[2..],
        [
            "Clients log on to: one.example, two.example",
            "The certificate is self-signed, in data/certificates; a client asks whether to trust it",
        ]
    );
    program.say(&["account", "add", "a@one.example", "pw"]).good();
    assert_eq!(program.first_line().len(), 1);
}
