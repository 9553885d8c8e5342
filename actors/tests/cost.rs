//! What each element that a client can send costs: CPU for each byte, and how that grows with its size.
//!
//! Exact figures are what `bench/cost` prints, which runs this with optimisation. What is demanded is less, and of
//! CPU time of one thread only, never of the clock: an element eight
//! times as large must not cost much more than eight times as much (what is linear gives 8, what is quadratic 64),
//! and no byte a great deal more than a byte of a message.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    reason = "a test fails by panicking; this one has a table to show"
)]

use actors::{
    env::Env,
    modules::{
        self,
        register::{RegisterConfig, RegisterModule},
    },
    session::{
        out::Dialect,
        state::{Conn, Tls},
        turn::Turn,
    },
    testkit::{World, WorldOptions, keys},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use config::Sections;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use storage::{Account, RosterChange, RosterItem, Subscription};

const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";
/// How much larger the larger element is.
const GROWTH: usize = 8;
/// What a byte may cost at most, in what it costs in a message: without optimisation 16 is what is
/// reached, and a fault of the kind that stops a server is in the hundreds.
const FACTOR: f64 = 64.0;
/// Contacts, and addresses that are blocked.
const CONTACTS: usize = 1_000;

/// CPU nanoseconds of this thread.
fn cpu() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// A client without a socket.
struct Client(Turn);

impl Client {
    fn new(env: &Arc<Env>) -> Self {
        let tls = Some(Tls::default());
        let conn = Conn {
            peer: [127, 0, 0, 1].into(),
            starttls: false,
            tls_required: true,
            tls,
            dialect: Dialect::Document,
        };
        let mut turn = Turn::new(conn, env);
        turn.feed(HEADER.as_bytes(), env);
        turn.out().take();
        Self(turn)
    }

    /// Sends these bytes and does all that they cause. How many bytes came back.
    async fn send(&mut self, xml: &str, env: &Arc<Env>) -> usize {
        let mut back = 0;
        let turn = &mut self.0;
        turn.feed(xml.as_bytes(), env);
        loop {
            drop(turn.todo());
            while let Some(job) = turn.job() {
                let then = job.await;
                turn.done(then, env);
            }
            let more = turn.drain(64, env) == Some(true);
            let out = turn.out().take().len();
            back += out;
            if turn.waiting() {
                turn.go_on(env);
            } else if !more && out == 0 && !turn.pending() {
                return back;
            }
        }
    }

    async fn log_on(name: &str, env: &Arc<Env>) -> Self {
        let mut client = Self::new(env);
        let plain = BASE64.encode(format!("\0{name}\0pencil"));
        let auth = format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>"
        );
        for xml in [
            &auth,
            HEADER,
            "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>r</resource></bind></iq><presence/>",
        ] {
            client.send(xml, env).await;
        }
        assert_eq!(client.0.session().phase(), "established");
        client
    }
}

async fn world() -> World {
    let tls = Some(Tls::default());
    let options = WorldOptions { tls, ..WorldOptions::default() };
    let mut modules = modules::all(&mut Sections::default());
    modules.add_with::<RegisterModule>(RegisterConfig::default());
    let world = World::new(modules, options).await;
    let env = &world.env;
    for name in ["a", "b"] {
        let account = Account { keys: keys("pencil"), ..Account::default() };
        let user = format!("{name}@localhost").parse().unwrap();
        env.stores.accounts.create(vec![(user, account)]).await.unwrap();
    }
    let a = "a@localhost".parse().unwrap();
    for n in 0..CONTACTS {
        let mut item = RosterItem::new(format!("c{n}@localhost").parse().unwrap());
        // most would see a presence of a's: that is not what is measured
        item.subscription = Subscription::To;
        let put = RosterChange::Put(item);
        env.stores.rosters.change(&a, n as u64, put, 2 * CONTACTS).await.unwrap();
    }
    let blocked = (0..CONTACTS / 2).map(|n| format!("x{n}@y").parse().unwrap()).collect();
    env.stores.blocklists.add(&a, blocked, CONTACTS).await.unwrap();
    world
}

fn times(n: usize, xml: impl Fn(usize) -> String) -> String {
    (0..n).fold(String::new(), |all, n| all + &xml(n))
}

fn iq(ty: &str, payload: &str) -> String {
    format!("<iq type='{ty}' id='i'>{payload}</iq>")
}

fn to_b(content: &str) -> String {
    format!("<message to='b@localhost/r' type='chat' id='m'>{content}</message>")
}

type Make = fn(usize) -> String;

/// Everything after log-on: what it is, and it with so many parts.
const AFTER: &[(&str, Make)] = &[
    ("message: text", |n| to_b(&format!("<body>{}</body>", "x".repeat(16 * n)))),
    ("message: children", |n| to_b(&times(n, |_| "<x xmlns='n:x'/>".to_owned()))),
    ("message: children, prefixed", |n| {
        to_b(&format!("<p:a xmlns:p='n:p'>{}</p:a>", "<p:b/>".repeat(n)))
    }),
    ("message: depth", |n| {
        let deep = n.min(56);
        to_b(&(format!("{}{}", "<d>".repeat(deep), "</d>".repeat(deep))).repeat(n.div_ceil(56)))
    }),
    ("message: attributes", |n| {
        let some = times(n.min(48), |n| format!(" a{n}='v'"));
        to_b(&format!("<x xmlns='n:x'{some}/>").repeat(n.div_ceil(48)))
    }),
    ("message: character references", |n| to_b(&format!("<body>{}</body>", "&#120;".repeat(n)))),
    ("message: CDATA", |n| to_b(&format!("<body>{}</body>", "<![CDATA[x]]>".repeat(n)))),
    ("message: claims of stanza ids", |n| {
        to_b(&"<stanza-id xmlns='urn:xmpp:sid:0' id='1' by='a@localhost'/>".repeat(n))
    }),
    ("message: claims of delay", |n| {
        to_b(&"<delay xmlns='urn:xmpp:delay' from='localhost' stamp='x'/>".repeat(n))
    }),
    ("message: to nobody", |n| {
        format!("<message to='nobody@localhost'>{}</message>", "<x/>".repeat(n))
    }),
    ("message: another domain", |n| "<message to='elsewhere.example'/>".repeat(n)),
    ("message: malformed address", |n| "<message to='@'/>".repeat(n)),
    ("presence: children", |n| {
        format!("<presence>{}</presence>", times(n, |_| "<x xmlns='n:x'/>".to_owned()))
    }),
    ("presence: directed to many", |n| times(n, |n| format!("<presence to='d{n}@localhost'/>"))),
    ("presence: directed, taken back", |n| {
        times(n, |n| {
            format!(
                "<presence to='d{0}@localhost'/><presence to='d{0}@localhost' type='unavailable'/>",
                n % 500
            )
        })
    }),
    ("presence: probes", |n| {
        times(n, |n| format!("<presence type='probe' to='b@localhost/{n}'/>"))
    }),
    ("presence: subscriptions", |n| {
        times(n, |n| format!("<presence type='subscribe' to='c{n}@localhost'/>"))
    }),
    ("iq: ping", |n| iq("get", "<ping xmlns='urn:xmpp:ping'/>").repeat(n)),
    ("iq: version, time, last, info, items", |n| {
        let all = ["jabber:iq:version", "jabber:iq:last", "http://jabber.org/protocol/disco#info"];
        let some = times(all.len(), |n| iq("get", &format!("<query xmlns='{}'/>", all[n])));
        let time = iq("get", "<time xmlns='urn:xmpp:time'/>");
        let items = iq("get", "<query xmlns='http://jabber.org/protocol/disco#items'/>");
        format!("{some}{time}{items}").repeat(n)
    }),
    ("iq: unknown, large", |n| {
        iq("set", &format!("<u xmlns='n:u'>{}</u>", "<x y='z'/>".repeat(n)))
    }),
    ("iq: nobody asked", |n| "<iq type='result' id='i'/>".repeat(n)),
    ("iq: private XML", |n| {
        let all = times(n, |n| format!("<e xmlns='n:{}'>{n}</e>", n % 80));
        iq("set", &format!("<query xmlns='jabber:iq:private'>{all}</query>"))
    }),
    ("iq: vCard", |n| {
        iq("set", &format!("<vCard xmlns='vcard-temp'>{}</vCard>", "<FN>Juliet</FN>".repeat(n)))
    }),
    ("iq: roster item with groups", |n| {
        let item = |n: usize| {
            let groups = times(n.min(60), |n| format!("<group>{n}</group>"));
            let item = format!("<item jid='c1@localhost'>{groups}</item>");
            iq("set", &format!("<query xmlns='jabber:iq:roster'>{item}</query>"))
        };
        item(n).repeat(n.div_ceil(60))
    }),
    ("iq: roster with many items", |n| {
        let items = times(n, |n| format!("<item jid='c{n}@localhost'/>"));
        iq("set", &format!("<query xmlns='jabber:iq:roster'>{items}</query>"))
    }),
    ("iq: block and unblock many", |n| {
        let items = times(n.min(480), |n| format!("<item jid='c{n}@localhost/r'/>"));
        let one = |name| iq("set", &format!("<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>"));
        (one("block") + &one("unblock")).repeat(n.div_ceil(480))
    }),
    ("XEP-0198: <r/>", |n| "<r xmlns='urn:xmpp:sm:3'/>".repeat(n)),
    ("XEP-0198: <a/>", |n| "<a xmlns='urn:xmpp:sm:3' h='0'/>".repeat(n)),
    ("white space", |n| " \n".repeat(n)),
];

/// Whose cost is not in its own length: 1,000 contacts, 500 blocked addresses, thousands of hashes.
const OTHERS: &[(&str, Make)] = &[
    ("iq: password, when 20 were changed", |n| {
        let fields = "<username>a</username><password>pencil</password>";
        iq("set", &format!("<query xmlns='jabber:iq:register'>{fields}</query>")).repeat(n)
    }),
    ("iq: roster (answer: 60 KB)", |n| iq("get", "<query xmlns='jabber:iq:roster'/>").repeat(n)),
    ("iq: blocklist (answer: 12 KB)", |n| {
        iq("get", "<blocklist xmlns='urn:xmpp:blocking'/>").repeat(n)
    }),
];

/// Before log-on. What ends the stream is measured until then.
const BEFORE: &[(&str, Make)] = &[
    ("before: <r/>", |n| "<r xmlns='urn:xmpp:sm:3'/>".repeat(n)),
    ("before: <resume/>", |n| "<resume xmlns='urn:xmpp:sm:3' previd='p' h='0'/>".repeat(n)),
    ("before: unknown, large", |n| format!("<u xmlns='n:u'>{}</u>", "<x y='z'/>".repeat(n))),
    ("before: message, large", |n| format!("<message>{}</message>", "<x y='z'/>".repeat(n))),
    ("before: <abort/>", |n| "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>".repeat(n)),
    ("before: <auth/>, large", |n| {
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>";
        format!("{auth}{}</auth>", "AAAA".repeat(n))
    }),
    ("before: white space", |n| " \n".repeat(n)),
    ("before: header again", |n| HEADER.repeat(n)),
];

/// What everything is compared with: so many messages.
fn message(n: usize) -> String {
    to_b(&format!("<body>{}</body>", "x".repeat(100))).repeat(n)
}

/// CPU nanoseconds, the least of some runs, bytes of the client, bytes it got.
async fn cost(world: &World, make: Make, n: usize, before: bool) -> (u64, usize, usize) {
    let (xml, env) = (make(n), &world.env);
    let mut least = (u64::MAX, xml.len(), 0);
    for _ in 0..5 {
        // in place of those of the run before
        let mut b = Client::log_on("b", env).await;
        let mut a = if before { Client::new(env) } else { Client::log_on("a", env).await };
        // the code and the pools are warm
        if !before {
            a.send(&make(1), env).await;
            b.send(" ", env).await;
        }
        let begin = cpu();
        let back = a.send(&xml, env).await;
        b.send(" ", env).await;
        let took = cpu() - begin;
        if took < least.0 {
            least = (took, xml.len(), back);
        }
    }
    least
}

#[test]
fn no_element_costs_more_for_each_byte_when_it_is_larger() {
    World::block_on(async {
        let world = world().await;
        // what grows with the length, by more than can be measured by mistake
        const MOST: u64 = 3 * GROWTH as u64;
        let (ns, bytes, _) = cost(&world, message, 500, false).await;
        let unit = ns as f64 / bytes as f64;
        println!("a message of {} bytes: {unit:.1} ns a byte", bytes / 500);
        println!("| what | bytes | CPU us | ns a byte | to a message's | in and out | growth |");
        println!("|---|---|---|---|---|---|---|");
        let rows =
            [(AFTER, 100, false, false), (OTHERS, 10, false, true), (BEFORE, 50, true, false)];
        for (cases, n, before, others) in rows {
            for &(name, make) in cases {
                let (mut linear, mut found) = (false, String::new());
                // a busy machine disturbs a measurement, not three
                for _ in 0..3 {
                    let (small, ..) = cost(&world, make, n, before).await;
                    let (large, bytes, back) = cost(&world, make, n * GROWTH, before).await;
                    let each = large as f64 / bytes as f64;
                    found = format!(
                        "| {name} | {bytes} | {:.0} | {each:.1} | {:.2} | {:.2} | {:.1} |",
                        large as f64 / 1e3,
                        each / unit,
                        large as f64 / (bytes + back) as f64 / unit,
                        large as f64 / small as f64,
                    );
                    // where all is as fast as it can be measured, nothing grows
                    linear = large <= MOST * small.max(20_000) && (others || each <= FACTOR * unit);
                    if linear {
                        break;
                    }
                }
                println!("{found}");
                assert!(linear, "{found}");
            }
        }
        world.stop().await;
    });
}
