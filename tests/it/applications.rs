//! Accounts that are those of another application: its passwords are good here, and what changes there ends sessions here.

use crate::{
    support::{Program, block_on},
    tls::{HEADER, own, secure, until},
};
use actors::testkit::scram::Client as Scram;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::Write,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    sync::Arc,
};
use storage::testkit::{Member, ReplicaSet};
use xmpp::{ns, sasl::Hash};

/// What an application stores for `pencil`, by the libraries that do it: one of each format.
fn stored() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/interop/venv/bin/python");
    assert!(python.exists(), "Django is not installed: run the tests by `cargo xtask test`");
    let made = Command::new(python).arg(root.join("tests/interop/passwords.py")).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut kinds = BTreeSet::new();
    let lines = String::from_utf8(made.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["password"] == "pencil");
    let stored = lines.map(|line| line["stored"].as_str().unwrap().to_owned());
    stored.filter(|text| kinds.insert(text.chars().take(9).collect::<String>())).collect()
}

enum Server {
    Set(Arc<ReplicaSet>),
    Alone(Member),
}

/// An application's database and a node that has its accounts from there.
struct Scene {
    server: Server,
    database: String,
    program: Program,
}

impl Scene {
    fn on(server: Server, uri: &str, database: String) -> Self {
        let program = Program::new(&format!(
            "modules.register = {{ enabled = true, create = false }}\nsasl.throttle_failures = 1000\nmongodb.deadline = '30s'\n[[mongodb_accounts]]\nhost = 'localhost'\nuri = '{uri}'\ndatabase = '{database}'\n\
             collection = 'users'\ndisabled_field = 'disabled'\nscram = 'when_known'\nwrite = true\nrefuse_after = '0ms'\n"
        ));
        Self { server, database, program }
    }

    fn in_a_set() -> Self {
        let set = block_on(ReplicaSet::shared()).unwrap();
        let options = set.options("node");
        Self::on(Server::Set(set), &options.uri, options.database.unwrap())
    }

    fn alone() -> Self {
        let member = block_on(Member::start(None, None)).unwrap();
        let uri = format!("mongodb://{}", member.address());
        Self::on(Server::Alone(member), &uri, "app".to_owned())
    }

    fn say(&self, name: &str, rest: Value) {
        let said = block_on(async {
            match &self.server {
                Server::Set(set) => set.say(&self.database, (name, "users"), rest).await,
                Server::Alone(member) => member.say(&self.database, (name, "users"), rest).await,
            }
        });
        said.unwrap();
    }

    fn insert(&self, users: &[(String, String)]) {
        let user =
            |(name, stored): &(String, String)| json!({ "username": name, "password": stored });
        self.say("insert", json!({ "documents": users.iter().map(user).collect::<Vec<_>>() }));
    }

    fn set(&self, user: &str, field: &str, value: &str) {
        let update = json!({ "q": { "username": user }, "u": { "$set": { field: value } } });
        self.say("update", json!({ "updates": [update] }));
    }

    fn delete(&self, user: &str) {
        self.say("delete", json!({ "deletes": [{ "q": { "username": user }, "limit": 1 }] }));
    }
}

/// A client over TLS.
struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    fn connect(scene: &Scene, to: SocketAddr) -> Self {
        let trusted = own(&scene.program.path().join("data"));
        let mut client = Self(secure(TcpStream::connect(to).unwrap(), &trusted));
        client.ask(std::str::from_utf8(HEADER).unwrap(), "</stream:features>");
        client
    }

    fn ask(&mut self, xml: &str, end: &str) -> String {
        self.0.write_all(xml.as_bytes()).unwrap();
        until(&mut self.0, end)
    }

    fn auth(&mut self, mechanism: &str, message: &str) -> String {
        let auth = format!("<auth xmlns='{}' mechanism='{mechanism}'>{message}</auth>", ns::SASL);
        self.ask(&auth, "urn:ietf:params:xml:ns:xmpp-sasl")
    }

    fn plain(&mut self, user: &str, password: &str) -> String {
        self.auth("PLAIN", &BASE64.encode(format!("\0{user}\0{password}")))
    }

    fn scram(&mut self, user: &str, password: &str) -> String {
        let mut scram = Scram::new(Hash::Sha256, user, password);
        let mut said = self.auth("SCRAM-SHA-256", &scram.first());
        if !said.contains("<challenge") {
            return said;
        }
        while !said.contains("</challenge>") {
            said += &until(&mut self.0, ">");
        }
        let challenge = said.split(['<', '>']).nth(2).unwrap();
        let proof = scram.last(challenge).unwrap();
        let response = format!("<response xmlns='{}'>{proof}</response>", ns::SASL);
        self.ask(&response, "urn:ietf:params:xml:ns:xmpp-sasl")
    }

    /// Goes on to a session after log-on.
    fn bind(&mut self) {
        self.ask(std::str::from_utf8(HEADER).unwrap(), "</stream:features>");
        let bind = format!("<iq type='set' id='b'><bind xmlns='{}'/></iq>", ns::BIND);
        let bound = self.ask(&bind, "</iq>");
        assert!(bound.contains("type='result'"), "{bound}");
    }

    /// All that comes until the stream is closed.
    fn end(&mut self) -> String {
        until(&mut self.0, "</stream:stream>")
    }

    fn ping(&mut self) {
        let said = self.ask("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>", "id='p'");
        assert!(!said.contains("stream:error"), "{said}");
    }
}

/// Whose sessions are there, one of each.
fn sessions(scene: &Scene, to: SocketAddr, users: &[(String, String)]) -> Vec<Client> {
    let session = |(user, _): &(String, String)| {
        let mut client = Client::connect(scene, to);
        let said = client.plain(user, "pencil");
        assert!(said.contains("<success"), "{user}: {said}");
        client.bind();
        client
    };
    users.iter().map(session).collect()
}

const PENCIL: &str = "{SSHA}35wiB9gaXlxv/Gv6ARg+n5iwdLyGcA7h";
const ANOTHER: &str = "{SHA}a7vpVlYmJFTWI2zLhq0Ovhf8c6w=";

fn what_changes_there_ends_sessions_here(scene: &Scene) {
    let users = ["changed", "disabled", "deleted", "other"];
    let users = users.map(|user| (user.to_owned(), PENCIL.to_owned()));
    scene.insert(&users);
    let running = scene.program.run();
    let to = running.addresses.direct_tls[0];
    let mut sessions = sessions(scene, to, &users);
    let mut other = sessions.pop().unwrap();
    for ((user, _), client) in users.iter().zip(&mut sessions) {
        match user.as_str() {
            "changed" => scene.set(user, "password", ANOTHER),
            "disabled" => scene.set(user, "disabled", "spam"),
            _ => scene.delete(user),
        }
        let said = client.end();
        assert!(said.contains("not-authorized"), "{user}: {said}");
        let refused = Client::connect(scene, to).plain(user, "pencil");
        assert!(refused.contains("<failure"), "{user}: {refused}");
        other.ping();
    }
}

#[test]
fn what_changes_in_the_collection_of_an_application_ends_sessions() {
    what_changes_there_ends_sessions_here(&Scene::in_a_set());
}

#[test]
fn what_changes_in_a_server_by_itself_ends_sessions() {
    what_changes_there_ends_sessions_here(&Scene::alone());
}

#[test]
fn passwords_of_every_library_are_good_and_have_keys_from_the_first_time_on() {
    let scene = Scene::in_a_set();
    let stored = stored();
    assert!(stored.len() > 20, "{}", stored.len());
    let users: Vec<(String, String)> =
        stored.into_iter().enumerate().map(|(n, stored)| (format!("user{n}"), stored)).collect();
    scene.insert(&users);
    let running = scene.program.run();
    let to = running.addresses.direct_tls[0];
    for (user, stored) in &users {
        let mut client = Client::connect(&scene, to);
        let first = client.scram(user, "pencil");
        assert!(stored.starts_with("SCRAM") || first.contains("<failure"), "{stored}: {first}");
        let wrong = Client::connect(&scene, to).plain(user, "pencil2");
        assert!(wrong.contains("not-authorized"), "{stored}: {wrong}");
        let plain = Client::connect(&scene, to).plain(user, "pencil");
        assert!(plain.contains("<success"), "{stored}: {plain}");
        let mut again = Client::connect(&scene, to);
        let said = again.scram(user, "pencil");
        assert!(said.contains("<success"), "{stored}: {said}");
        again.bind();
    }
    println!("{} formats", users.len());
}

/// The application's stream tells of the new password too.
#[test]
fn a_session_that_changes_its_password_goes_on() {
    let scene = Scene::in_a_set();
    let users = ["romeo", "last"].map(|user| (user.to_owned(), PENCIL.to_owned()));
    scene.insert(&users);
    let running = scene.program.run();
    let to = running.addresses.direct_tls[0];
    let mut sessions = sessions(&scene, to, &users);
    let (mut last, mut romeo) = (sessions.pop().unwrap(), sessions.pop().unwrap());
    for n in 0..5 {
        let said = romeo.ask(
            &format!(
                "<iq type='set' id='r{n}'><query xmlns='jabber:iq:register'><username>romeo</username>\
                 <password>pen{n}</password></query></iq>"
            ),
            &format!("id='r{n}'"),
        );
        assert!(said.contains("type='result'"), "{said}");
    }
    // what is told after it
    scene.set("last", "disabled", "yes");
    last.end();
    romeo.ping();
    let said = Client::connect(&scene, to).plain("romeo", "pen4");
    assert!(said.contains("<success"), "{said}");
}
