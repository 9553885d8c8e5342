//! What a server writes, as expat and libxml2 read it: a stream that has ended is one document however it ended, and
//! with RFC 7395 each message is one, which says the same.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../../xmpp/tests/judges/program.rs"]
mod program;

use actors::{
    env::Env,
    modules::{
        ping::{PingConfig, PingModule},
        roster::{RosterConfig, RosterModule},
    },
    registrar::Modules,
    session::{
        effects::TimerKey,
        out::Dialect,
        state::{Conn, Tls},
        turn::Turn,
    },
    testkit::{
        World, WorldOptions,
        script::{Wire, follow, header},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use program::judge;
use std::sync::Arc;
use xmpp::{
    error::{StreamError, StreamErrorCondition as Condition},
    ns,
};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// A client without a socket, and what it was sent.
struct Client {
    turn: Turn,
    env: Arc<Env>,
    document: Vec<u8>,
    sent: usize,
    messages: Vec<Vec<u8>>,
}

impl Client {
    fn new(tls: Option<Tls>, dialect: Dialect, env: &Arc<Env>) -> Self {
        let peer = [127, 0, 0, 1].into();
        let conn = Conn { peer, starttls: tls.is_none(), tls_required: false, tls, dialect };
        let (document, sent, messages) = Default::default();
        Self { turn: Turn::new(conn, env), env: Arc::clone(env), document, sent, messages }
    }

    /// The client says that, and hears what comes of it.
    async fn says(&mut self, xml: &str) {
        self.turn.feed(xml.as_bytes(), &self.env);
        while let Some(job) = self.turn.job() {
            let then = job.await;
            self.turn.done(then, &self.env);
        }
        self.turn.drain(64, &self.env);
        self.hears();
    }

    fn hears(&mut self) {
        let out = self.turn.out();
        self.messages.extend(out.messages().map(<[u8]>::to_vec));
        self.sent += out.len();
        self.document.extend(out.take());
        assert_eq!(out.messages().count(), 0);
    }

    /// Begins a stream: what came before is none of it.
    async fn opens(&mut self) {
        self.document.clear();
        self.says(&header("localhost")).await;
    }

    async fn logs_on(&mut self) {
        self.opens().await;
        let plain = BASE64.encode("\0juliet\0pencil");
        self.says(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>")).await;
        self.opens().await;
        self.says(
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>balcony</resource></bind></iq>",
        )
        .await;
        assert_eq!(self.turn.session().phase(), "established");
    }
}

async fn world() -> World {
    let mut modules = Modules::default();
    modules.add_with::<PingModule>(PingConfig::default());
    modules.add_with::<RosterModule>(RosterConfig::default());
    let mut world = World::new(modules, WorldOptions::default()).await;
    world.account("juliet@localhost", "pencil").await;
    world
}

/// What both judges make of each document, which is the same.
#[track_caller]
fn read(documents: &[Vec<u8>]) -> Vec<String> {
    let said = judge(documents.iter().map(Vec::as_slice));
    let one = |(document, [expat, libxml]): (&Vec<u8>, [String; 2])| {
        let document = String::from_utf8_lossy(document);
        assert!(!expat.starts_with('!'), "{expat}: {document}");
        assert_eq!(expat, libxml, "{document}");
        expat
    };
    documents.iter().zip(said).map(one).collect()
}

/// How far a client is.
const STAGES: [&str; 4] = ["connected", "opened", "bound", "over"];

async fn client(stage: &str, env: &Arc<Env>) -> Client {
    let mut client = Client::new(Some(Tls::default()), Dialect::Document, env);
    match stage {
        "connected" => {}
        "opened" => client.opens().await,
        _ => client.logs_on().await,
    }
    if stage == "over" {
        // its ping is not answered, and it reads nothing: it is told so, and is still there
        client.turn.timer(TimerKey::Module("ping"), env);
        client.turn.timer(TimerKey::Module("ping"), env);
        assert!(client.turn.out().is_closed());
    }
    client
}

#[test]
fn a_stream_is_one_document_however_it_ended() {
    type End = fn(&mut Turn, &Arc<Env>);
    const ENDS: [(&str, End); 5] = [
        ("the node stops", |turn, env| turn.end(StreamError::new(Condition::SystemShutdown), env)),
        ("a handler panics", |turn, env| drop(turn.crashed(env))),
        ("and the node stops", |turn, env| {
            turn.crashed(env);
            turn.end(StreamError::new(Condition::SystemShutdown), env);
        }),
        ("the client sends no XML", |turn, env| turn.feed(b"<<", env)),
        ("the client closes", |turn, env| turn.feed(b"</stream:stream>", env)),
    ];
    World::block_on(async {
        let world = world().await;
        for stage in STAGES {
            for (how, end) in ENDS {
                let mut client = client(stage, &world.env).await;
                end(&mut client.turn, &world.env);
                client.hears();
                let said = read(&[client.document]);
                let errors = said[0].matches(&format!("({}\terror\n", ns::STREAM)).count();
                let silent = how == "the client closes" && ["opened", "bound"].contains(&stage);
                assert_eq!(errors, usize::from(!silent), "{how} when {stage}: {}", said[0]);
                drop(client.turn.detach());
            }
        }
        // RFC 6120 section 5.4.2.2: what fails is the negotiation, and the stream with it
        let mut client = client("opened", &world.env).await;
        client.says(&format!("<starttls xmlns='{}'/>", ns::TLS)).await;
        let said = read(&[client.document]);
        assert!(said[0].ends_with(&format!("({}\tfailure\n)\n)\n", ns::TLS)), "{}", said[0]);
        world.stop().await;
    });
}

/// The first line of what a judge wrote: namespace and name.
fn name(said: &str) -> (&str, &str) {
    said.lines().next().unwrap().strip_prefix('(').unwrap().split_once('\t').unwrap()
}

#[test]
fn each_message_of_rfc_7395_stands_for_itself() {
    World::block_on(async {
        let mut world = world().await;
        let mut client = Client::new(Some(Tls::default()), Dialect::Messages, &world.env);
        client.logs_on().await;
        client.says("<enable xmlns='urn:xmpp:sm:3'/>").await;
        follow(
            "account romeo@localhost rose
             R = romeo@localhost/orchard
             R C: <message xmlns:s='urn:s' to='juliet@localhost/balcony' s:a='1'>
               <body>what</body><s:light/><x xmlns='urn:x'/></message>",
            &mut world,
        )
        .await
        .unwrap();
        client.says("<r xmlns='urn:xmpp:sm:3'/>").await;
        client.says("<iq type='get' id='i'><query xmlns='jabber:iq:roster'/></iq>").await;
        client.turn.end(StreamError::new(Condition::SystemShutdown), &world.env);
        client.hears();
        let sizes = client.messages.iter().map(|message| message.len() + 1);
        assert_eq!(sizes.sum::<usize>(), client.sent, "nothing is between messages but their ends");
        let said = read(&client.messages);
        let names: Vec<_> = said.iter().map(|said| name(said)).collect();
        let sasl = (SASL, "success");
        let (open, features) = ((ns::FRAMING, "open"), (ns::STREAM, "features"));
        assert_eq!(
            names,
            [
                [open, features, sasl, open, features].as_slice(),
                &[(ns::CLIENT, "iq"), (ns::SM, "enabled"), (ns::SM, "a")],
                &[(ns::CLIENT, "message"), (ns::SM, "r"), (ns::CLIENT, "iq")],
                &[(ns::SM, "a"), (ns::STREAM, "error"), (ns::FRAMING, "close")],
            ]
            .concat()
        );
        assert_eq!(
            said[8],
            "(jabber:client\tmessage\n=\tfrom\tromeo@localhost/orchard\n\
             =\tto\tjuliet@localhost/balcony\n=urn:s\ta\t1\n\
             (jabber:client\tbody\n\"what\n)\n(urn:s\tlight\n)\n(urn:x\tx\n)\n)\n"
        );
        // RFC 7395 sections 3.4 and 3.6: the attributes of the stream's header
        let opens = &client.messages[3];
        let opens = std::str::from_utf8(opens).unwrap();
        assert!(opens.contains(" version='1.0'") && opens.contains(" from='localhost'"), "{opens}");
        assert!(names.iter().all(|(ns, _)| !ns.is_empty()), "{names:?}");
        assert!(said.iter().all(|said| !said.contains("\n(\t")), "in no namespace: {said:?}");
        drop(client.turn.detach());
        world.stop().await;
    });
}
