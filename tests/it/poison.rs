//! A message over which a client ends its stream, again and again: on a node that is killed meanwhile, and what an operator
//! sees of it.

use crate::support::{PASSWORD, Peer, Program, block_on, stanza_error};
use actors::testkit::script::Got;
use rustix::process::Signal;
use std::{fs, net::SocketAddr, path::Path};
use xmpp::ns;

const ERROR: &str = "<stream:error><bad-format xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
const SECRET: &str = "words-that-nobody-logs";

/// A client with XEP-0198 logs on and takes what there is, one after the other, until it has all of it or meets its
/// poison: what it took, and whether it choked.
async fn visit(to: SocketAddr) -> (Vec<String>, bool) {
    let mut peer = Peer::login(to, "juliet@localhost/balcony").await;
    peer.send(&format!("<enable xmlns='{}' resume='true'/><presence/>", ns::SM)).await;
    let (mut took, mut handled) = (Vec::new(), 0);
    let choked = loop {
        let element = peer.element().await;
        let ack = |handled: u32| format!("<a xmlns='{}' h='{handled}'/>", ns::SM);
        match (element.name(), element.attr("id")) {
            ("enabled", _) => {}
            ("r", _) => peer.send(&ack(handled)).await,
            ("message", Some("poison")) => {
                peer.send(ERROR).await;
                break true;
            }
            ("message", Some(id)) => {
                handled += 1;
                took.push(id.to_owned());
            }
            ("presence", _) => {
                handled += 1;
                peer.send(&(ack(handled) + "</stream:stream>")).await;
                break false;
            }
            _ => panic!("{}", element.to_xml()),
        }
    };
    while !matches!(peer.next().await, Got::Eof) {}
    (took, choked)
}

/// Makes what the store has of the secret no XML any more.
fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let places: Vec<usize> = bytes
        .windows(SECRET.len())
        .enumerate()
        .filter(|(_, b)| *b == SECRET.as_bytes())
        .map(|(n, _)| n)
        .collect();
    assert!(!places.is_empty());
    places.iter().for_each(|place| bytes[*place] = b'<');
    fs::write(file, bytes).unwrap();
}

/// One that cannot be read stays until it is dropped.
fn without_a_node(program: &Program) {
    let id = program.json(&["quarantine", "list"])[0]["id"].to_string();
    damage(&program.path().join("data/core.sqlite"));
    let kept = format!("message {id} cannot be read (");
    for what in ["show", "release"] {
        let said = program.say(&["quarantine", what, &id]).bad(1);
        assert!(said.contains(&kept) && said.contains("quarantine drop"), "{what}: {said}");
    }
    assert_eq!(program.json(&["quarantine", "list"])[0]["id"].to_string(), id);
    assert_eq!(
        program.say(&["quarantine", "drop", &id]).good(),
        format!("message {id} is dropped\n")
    );
    assert_eq!(program.say(&["quarantine", "list"]).good(), "0 messages\n");
}

#[test]
fn a_poisonous_message_keeps_nobody_from_the_others_for_long() {
    let program = Program::new("");
    for name in ["juliet", "romeo"] {
        program.say(&["account", "add", &format!("{name}@localhost"), PASSWORD]).good();
    }
    let node = program.run();
    let to = node.addresses.starttls[0];
    block_on(async {
        let mut romeo = Peer::login(to, "romeo@localhost/orchard").await;
        for id in ["poison", "1", "2"] {
            let message = format!("<message to='juliet@localhost' id='{id}'><body>{SECRET}</body>");
            romeo.send(&(message + "</message>")).await;
        }
        romeo.ping().await;
        assert_eq!(visit(to).await, (vec![], true));
    });
    node.signal(Signal::KILL);
    drop(node);

    let mut node = program.run();
    let to = node.addresses.starttls[0];
    let took = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    block_on(async {
        let mut romeo = Peer::login(to, "romeo@localhost/orchard").await;
        for ids in [&[][..], &[], &["1", "2"], &[]] {
            assert_eq!(visit(to).await, (took(ids), true));
        }
        assert_eq!(program.say(&["quarantine", "list"]).good(), "0 messages\n");
        assert_eq!(romeo.ping().await.len(), 0);
        assert_eq!(visit(to).await, (vec![], true));
        let error = romeo.until(|e| e.name() == "message").await;
        assert_eq!(error.attr("id"), Some("poison"));
        let expected = Some(("modify".to_owned(), "policy-violation".to_owned()));
        assert_eq!(stanza_error(&error), expected);
        assert_eq!(visit(to).await, (vec![], false));
    });

    let text = program.say(&["quarantine", "list"]).good();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("id  user ") && lines[0].ends_with("  bytes"), "{text}");
    assert!(lines[1].contains("  juliet@localhost  romeo@localhost  20"), "{text}");
    assert_eq!((lines.len(), lines[2]), (3, "1 message"), "{text}");
    let json = program.json(&["quarantine", "list", "--user", "juliet@localhost"]);
    assert_eq!(
        (&json[0]["user"], &json[0]["from"]),
        (&"juliet@localhost".into(), &"romeo@localhost".into())
    );
    assert!(!text.contains(SECRET) && !json.to_string().contains(SECRET));
    assert_eq!(
        program.json(&["quarantine", "list", "--user", "romeo@localhost"]),
        serde_json::json!([])
    );
    let id = json[0]["id"].to_string();
    let page = program.say(&["quarantine", "show", &id]).good();
    assert!(page.starts_with("message    ") && page.contains(SECRET), "{page}");
    let shown = program.json(&["quarantine", "show", &id]);
    assert!(shown["stanza"].as_str().unwrap().contains(SECRET), "{shown}");

    // given back, it has to do it six times again
    assert_eq!(
        program.say(&["quarantine", "release", &id]).good(),
        format!("message {id} is released\n")
    );
    let gone = format!(
        "mangrove: there is no message {id} in quarantine; see `mangrove quarantine list`\n"
    );
    assert_eq!(program.say(&["quarantine", "release", &id]).bad(1), gone);
    block_on(async {
        for _ in 0..6 {
            assert_eq!(program.say(&["quarantine", "list"]).good(), "0 messages\n");
            assert_eq!(visit(to).await, (vec![], true));
        }
        assert_eq!(visit(to).await, (vec![], false));
    });
    let warned = node.until_log("a message over which clients end their streams goes last");
    assert!(warned.contains("\"strikes\":3"), "{warned}");
    let warned = node.until_log("a message is in quarantine");
    assert!(warned.contains("\"strikes\":6"), "{warned}");
    assert!(warned.contains("juliet@localhost"), "{warned}");
    node.signal(Signal::TERM);
    assert!(!node.end().err.contains(SECRET));

    without_a_node(&program);
}
