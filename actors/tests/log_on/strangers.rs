//! What clients see of accounts that are there and of those that are not, before and after log-on.

use super::{SASL, account, auth, open, outcome, response, secure};
use actors::{
    registrar::Modules,
    testkit::{
        World, WorldOptions, keys,
        scram::Client,
        script::{Got, Script, Wire},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use config::Sections;
use std::{fmt::Write as _, time::Duration};
use storage::Account;
use xmpp::sasl::{Hash, Mechanism};

/// What a try does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    Password,
    Empty,
    NotBase64,
    Malformed,
    Control,
    Authzid,
    OwnAuthzid,
    Downgrade,
    Abort,
    Twice,
    ProofNotBase64,
    ProofMalformed,
    ProofShort,
    Nonce,
    Binding,
}

const MISTAKES: [Mistake; 15] = {
    use Mistake::*;
    [
        Password,
        Empty,
        NotBase64,
        Malformed,
        Control,
        Authzid,
        OwnAuthzid,
        Downgrade,
        Abort,
        Twice,
        ProofNotBase64,
        ProofMalformed,
        ProofShort,
        Nonce,
        Binding,
    ]
};

/// One client that writes down everything it can see of the server.
struct Observer {
    world: World,
    seen: String,
    /// Salts in the order in which they were seen: what they are differs, which are the same must not.
    salts: Vec<String>,
}

impl Observer {
    fn note(&mut self, got: &Got) {
        let text = match got {
            Got::Element(e) if e.name() == "challenge" && !e.text().is_empty() => {
                let text = String::from_utf8(BASE64.decode(e.text()).unwrap()).unwrap();
                let parts: Vec<_> = text.split(',').map(|part| self.mask(part)).collect();
                parts.join(",")
            }
            Got::Element(e) => e.to_xml(),
            Got::Open(header) => format!("{:?} {:?}", header.from, header.to),
            other => format!("{other:?}"),
        };
        writeln!(self.seen, "  {text}").unwrap();
    }

    fn mask(&mut self, part: &str) -> String {
        match part.split_once('=') {
            Some(("r", nonce)) => format!("r={} bytes", nonce.len()),
            Some(("s", salt)) => {
                let known = self.salts.iter().position(|s| s == salt);
                let at = known.unwrap_or_else(|| {
                    self.salts.push(salt.to_owned());
                    self.salts.len() - 1
                });
                format!("s=salt {at} of {} bytes", BASE64.decode(salt).unwrap().len())
            }
            _ => part.to_owned(),
        }
    }

    async fn say(&mut self, xml: &str) -> Got {
        self.world.send("X", xml, false).await;
        let mut first = None;
        loop {
            match self.world.next("X", true).await {
                Got::Nothing => return first.unwrap_or(Got::Nothing),
                got => {
                    self.note(&got);
                    first.get_or_insert(got);
                }
            }
        }
    }

    async fn attempt(&mut self, mechanism: Mechanism, user: &str, mistake: Mistake) {
        writeln!(self.seen, "{} {mistake:?}", mechanism.name()).unwrap();
        open(&mut self.world, "X").await;
        let mut client = None;
        let message = match mechanism {
            Mechanism::Plain => match mistake {
                Mistake::Authzid => format!("other@localhost\0{user}\0wrong"),
                Mistake::OwnAuthzid => format!("{user}@localhost\0{user}\0wrong"),
                Mistake::Control => format!("\0{user}\0bell\u{7}"),
                Mistake::Malformed => format!("\0{user}\0"),
                _ => format!("\0{user}\0wrong"),
            },
            Mechanism::OAuthBearer => unreachable!("no host here takes tokens"),
            Mechanism::Scram { hash, plus } => {
                let mut scram = Client::new(hash, user, "wrong");
                if plus {
                    scram = scram.bound(
                        "tls-exporter",
                        &[if mistake == Mistake::Binding { 8 } else { 7 }; 32],
                    );
                }
                let first = String::from_utf8(BASE64.decode(scram.first()).unwrap()).unwrap();
                client = Some(scram);
                match mistake {
                    Mistake::Authzid => first.replacen(",,", ",a=other@localhost,", 1),
                    Mistake::OwnAuthzid => {
                        first.replacen(",,", &format!(",a={user}@localhost,"), 1)
                    }
                    Mistake::Malformed => first.replace(",r=", ",x="),
                    Mistake::Control => first.replace(",r=", ",r= "),
                    Mistake::Downgrade if !plus => first.replacen("n,", "y,", 1),
                    Mistake::Binding => first.replace("tls-exporter", "tls-unique"),
                    _ => first,
                }
            }
        };
        let message = BASE64.encode(message);
        let mut got = match mistake {
            Mistake::Empty => {
                self.say(&auth(mechanism, "")).await;
                self.say(&response(&message)).await
            }
            Mistake::NotBase64 => self.say(&auth(mechanism, &format!("{message}!"))).await,
            Mistake::Twice => {
                self.say(&auth(mechanism, &message)).await;
                self.say(&auth(mechanism, &message)).await
            }
            _ => self.say(&auth(mechanism, &message)).await,
        };
        if let (Some(mut client), Got::Element(challenge)) = (client, &got)
            && challenge.name() == "challenge"
        {
            let proof = client.last(&challenge.text()).unwrap();
            let clear = String::from_utf8(BASE64.decode(&proof).unwrap()).unwrap();
            let proof = match mistake {
                Mistake::Abort => None,
                Mistake::ProofNotBase64 => Some(format!("{proof}!")),
                Mistake::ProofMalformed => Some(BASE64.encode("c=biws")),
                Mistake::ProofShort => {
                    let short =
                        clear.split_once(",p=").map(|(before, _)| format!("{before},p=AAAA"));
                    Some(BASE64.encode(short.unwrap()))
                }
                Mistake::Nonce => Some(BASE64.encode(clear.replacen("r=", "r=x", 1))),
                _ => Some(proof),
            };
            let answer = proof.map_or_else(|| format!("<abort xmlns='{SASL}'/>"), |p| response(&p));
            got = self.say(&answer).await;
        }
        assert_ne!(outcome(&got), "success");
        self.world.cut("X").await;
    }
}

/// Every mechanism, every mistake, once in a fresh world for each; then again and again in one, until
/// the account has to wait and after it.
fn transcript(user: &'static str) -> String {
    let mechanisms = || {
        let scram = |plus| Hash::ALL.map(move |hash| Mechanism::Scram { hash, plus });
        scram(true).into_iter().chain(scram(false)).chain([Mechanism::Plain])
    };
    World::block_on(async {
        let mut seen = String::new();
        for patient in [true, false] {
            let mut world = World::new(Modules::default(), secure()).await;
            let known = Account::with_password("pencil", 0).unwrap();
            account(&world, "disabled", Account { disabled: true, ..known.clone() }).await;
            account(
                &world,
                "older",
                Account { keys: vec![known.keys[2].clone()], ..known.clone() },
            )
            .await;
            account(&world, "known", known).await;
            world.account("other@localhost", "pencil").await;
            let mut observer = Observer { world, seen: String::new(), salts: Vec::new() };
            for mechanism in mechanisms() {
                for mistake in MISTAKES {
                    observer.attempt(mechanism, user, mistake).await;
                    if patient {
                        observer.world.pass(Duration::from_secs(301)).await;
                    }
                }
                // however the name is written
                observer.attempt(mechanism, &user.to_uppercase(), Mistake::Password).await;
            }
            let metrics = &observer.world.env.throttle;
            writeln!(observer.seen, "{} counts", metrics.entries()).unwrap();
            seen += &observer.seen;
            observer.world.stop().await;
        }
        seen.replace(user, "USER")
    })
}

/// RFC 5802 section 9, RFC 6120 section 13.11: nothing before log-on says who exists.
#[test]
fn who_exists_cannot_be_told_from_who_does_not() {
    let unknown = transcript("nobody");
    for salts in ["salt 0 of 16", "salt 1 of 16", "salt 2 of 16"] {
        assert!(unknown.contains(salts), "one for each hash");
    }
    assert!(unknown.contains("i=4096") && !unknown.contains("salt 3"));
    for failure in
        ["not-authorized", "temporary-auth-failure", "malformed-request", "invalid-authzid"]
    {
        assert!(unknown.contains(failure), "{failure}");
    }
    for user in ["known", "disabled", "older"] {
        let seen = transcript(user);
        for (n, (a, b)) in unknown.lines().zip(seen.lines()).enumerate() {
            let before: Vec<_> = seen.lines().skip(n.saturating_sub(4)).take(5).collect();
            assert_eq!(a, b, "{user}, line {n}: {before:#?}");
        }
        assert_eq!(unknown, seen);
    }
}

/// What a stranger who has logged on sees of an account that is there and away, and of one that is
/// not. RFC 6121 section 8.5 leaves two differences: a message is kept, and a ping is answered.
#[test]
fn a_stranger_sees_of_an_account_that_messages_are_kept_and_pings_answered() {
    let payloads = [
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        "<query xmlns='http://jabber.org/protocol/disco#items'/>",
        "<vCard xmlns='vcard-temp'/>",
        "<query xmlns='jabber:iq:last'/>",
        "<query xmlns='jabber:iq:version'/>",
        "<query xmlns='jabber:iq:roster'/>",
        "<query xmlns='jabber:iq:register'/>",
        "<query xmlns='jabber:iq:private'><x xmlns='x'/></query>",
        "<blocklist xmlns='urn:xmpp:blocking'/>",
        "<time xmlns='urn:xmpp:time'/>",
        "<ping xmlns='urn:xmpp:ping'/>",
        "<unheard xmlns='of'/>",
    ];
    let mut stanzas = Vec::new();
    for to in ["USER@localhost", "USER@localhost/x"] {
        for ty in ["get", "set"] {
            stanzas.extend(payloads.map(|p| format!("<iq to='{to}' type='{ty}' id='1'>{p}</iq>")));
        }
        let presence =
            ["", "type='unavailable'", "type='probe'", "type='subscribe'", "type='subscribed'"];
        let more = ["type='unsubscribe'", "type='unsubscribed'", "type='error'"];
        stanzas.extend(presence.iter().chain(&more).map(|t| format!("<presence to='{to}' {t}/>")));
        for ty in ["groupchat", "headline", "error", "chat", "normal"] {
            stanzas.push(format!("<message to='{to}' type='{ty}' id='1'><body>?</body></message>"));
        }
    }
    let see = |user: &str| {
        World::block_on(async {
            let modules = actors::modules::all(&mut Sections::default());
            let mut world = World::new(modules, WorldOptions::default()).await;
            let account_of = Account { keys: keys("pencil"), created: 0, ..Account::default() };
            account(&world, "known", account_of).await;
            let log_on = "account romeo@localhost pencil\nR = romeo@localhost/orchard";
            Script::parse(log_on).unwrap().run(&mut world).await.unwrap();
            let mut seen = Vec::new();
            for stanza in &stanzas {
                world.send("R", &stanza.replace("USER", user), false).await;
                let mut answers = String::new();
                loop {
                    match world.next("R", false).await {
                        Got::Nothing => break,
                        Got::Element(e) => answers += &e.to_xml().replace(user, "USER"),
                        other => panic!("{stanza}: {other:?}"),
                    }
                }
                seen.push((stanza.clone(), answers));
            }
            world.stop().await;
            seen
        })
    };
    let (known, unknown) = (see("known"), see("nobody"));
    let mut differ = Vec::new();
    for ((stanza, a), (_, b)) in known.into_iter().zip(unknown) {
        if a != b {
            differ.push((stanza, a, b));
        }
    }
    let kept = |(stanza, known, unknown): &(String, String, String)| {
        let message = stanza.contains("type='chat'") || stanza.contains("type='normal'");
        let ping = stanza.contains("urn:xmpp:ping") && known.contains("type='result'");
        (message && known.is_empty() || ping) && unknown.contains("service-unavailable")
    };
    assert!(differ.iter().all(kept), "{differ:#?}");
    assert_eq!(differ.len(), 4, "one of them to a full address: {differ:#?}");
}
