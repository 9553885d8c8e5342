//! Conversations as text, run against anything that talks like a server.
//!
//! ```text
//! # a comment
//! account juliet@localhost pencil      an account, and its password
//! password juliet@localhost pen        the password of an account that the script made or changed
//! J = juliet@localhost/balcony         J connects, logs on and binds; sends no presence
//! X =                                  X connects and says nothing
//! X scram SCRAM-SHA-256 juliet pencil  X authenticates; how it ends is for X S: to say. With a
//!                                      -PLUS mechanism: X scram MECHANISM/BINDING juliet pencil;
//!                                      MECHANISM/y: as one who saw no -PLUS and has it
//! J ~ juliet@localhost                 J connects and logs on; binds nothing
//! J C: <presence/>                     J sends; lines that begin with < go on
//! X S: <stream:stream from='localhost'> X gets a stream header; its xml:lang is called lang here
//! J S: <presence from='{*}'/>          the next thing J gets fits this pattern (see `matcher`)
//! J S: nothing                         nothing waits for J
//! J S: </stream:stream>                the server closes its stream
//! J S: eof                             the server closes the connection
//! J cut                                J's connection breaks
//! T: 61s                               that much time passes
//! ```

use super::matcher::{Vars, fill, fits};
use std::{fmt::Write as _, time::Duration};
use xmpp::{Element, framer::StreamHeader, jid::Jid, ns, sasl::Mechanism};

/// What a client got.
#[derive(Clone, Debug)]
pub enum Got {
    /// The server's stream header.
    Open(StreamHeader),
    /// A stanza or another element.
    Element(Element),
    /// The server's closing tag.
    Close,
    /// The end of the connection.
    Eof,
    /// Nothing at all.
    Nothing,
}

/// A server, as scripts talk to it.
#[expect(async_fn_in_trait, reason = "tests await it where they are")]
pub trait Wire {
    /// Makes an account.
    async fn account(&mut self, jid: &str, password: &str);
    /// Opens a connection under that name.
    async fn connect(&mut self, name: &str);
    /// Sends bytes; `restart`: they begin a new stream.
    async fn send(&mut self, name: &str, bytes: &str, restart: bool);
    /// The next thing that client gets. `wait`: something is expected, otherwise only what is
    /// there.
    async fn next(&mut self, name: &str, wait: bool) -> Got;
    /// Breaks the connection without a word.
    async fn cut(&mut self, name: &str);
    /// Lets time pass; `false` when this server's time cannot be moved.
    async fn pass(&mut self, time: Duration) -> bool;
    /// What channel bindings of that name bind to; `None` where scripts cannot know it.
    fn binding(&self, _name: &str) -> Option<Vec<u8>> {
        None
    }
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Account(String, String),
    Password(String, String),
    Login(String, String),
    Authenticate(String, String),
    Connect(String),
    Scram { name: String, mechanism: String, user: String, password: String },
    Client(String, String),
    Server(String, String),
    Cut(String),
    Pass(Duration),
}

/// A parsed script.
#[derive(Clone, Debug)]
pub struct Script(Vec<(usize, Step)>);

/// The header with which scripts open their streams.
pub fn header(host: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream to='{host}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

/// Parses a script and runs it once.
///
/// # Errors
/// As [`Script::parse`] and [`Script::run`].
pub async fn follow(text: &str, wire: &mut impl Wire) -> Result<(), String> {
    Script::parse(text)?.run(wire).await
}

impl Script {
    /// Parses a script.
    ///
    /// # Errors
    /// A line that makes no sense, with its number.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines: Vec<(usize, String)> = Vec::new();
        for (n, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            match lines.last_mut().filter(|_| line.trim().starts_with('<')) {
                Some((_, last)) => last.push_str(line.trim()),
                None => lines.push((n + 1, line.trim().to_owned())),
            }
        }
        let steps = lines.into_iter().map(|(n, line)| {
            let step = step(&line).ok_or_else(|| format!("line {n}: what is this? {line}"))?;
            Ok((n, step))
        });
        steps.collect::<Result<_, String>>().map(Self)
    }

    /// Runs the script.
    ///
    /// # Errors
    /// What was not as expected, with its line and what was said so far.
    pub async fn run(&self, wire: &mut impl Wire) -> Result<(), String> {
        let mut vars = Vars::new();
        let mut log = String::new();
        for (n, step) in &self.0 {
            let said = run_step(step, wire, &mut vars).await;
            let _ = writeln!(log, "{step:?}");
            said.map_err(|e| format!("line {n}: {e}\n{log}"))?;
        }
        Ok(())
    }

    /// Whether time passes in it.
    pub fn has_time(&self) -> bool {
        self.0.iter().any(|(_, s)| matches!(s, Step::Pass(_)))
    }
}

fn step(line: &str) -> Option<Step> {
    if let Some(rest) = line.strip_prefix("account ") {
        let (jid, password) = rest.split_once(' ')?;
        return Some(Step::Account(jid.to_owned(), password.trim().to_owned()));
    }
    if let Some(rest) = line.strip_prefix("password ") {
        let (jid, password) = rest.split_once(' ')?;
        return Some(Step::Password(jid.to_owned(), password.trim().to_owned()));
    }
    if let Some(time) = line.strip_prefix("T: ") {
        return Some(Step::Pass(Duration::from_secs(time.strip_suffix('s')?.parse().ok()?)));
    }
    let (name, rest) = line.split_once(' ')?;
    let name = name.to_owned();
    if let Some(xml) = rest.strip_prefix("C: ") {
        return Some(Step::Client(name, xml.to_owned()));
    }
    if let Some(xml) = rest.strip_prefix("S: ") {
        return Some(Step::Server(name, xml.to_owned()));
    }
    if let Some(rest) = rest.strip_prefix("scram ") {
        let mut words = rest.split_whitespace().map(str::to_owned);
        let (mechanism, user, password) = (words.next()?, words.next()?, words.next()?);
        return Some(Step::Scram { name, mechanism, user, password });
    }
    match rest.trim() {
        "cut" => Some(Step::Cut(name)),
        "=" => Some(Step::Connect(name)),
        other if other.starts_with("~ ") => {
            Some(Step::Authenticate(name, other.strip_prefix("~ ")?.trim().to_owned()))
        }
        other => Some(Step::Login(name, other.strip_prefix("= ")?.trim().to_owned())),
    }
}

async fn run_step(step: &Step, wire: &mut impl Wire, vars: &mut Vars) -> Result<(), String> {
    match step {
        Step::Account(jid, password) => {
            vars.insert(format!("password of {jid}"), password.clone());
            wire.account(jid, password).await;
            Ok(())
        }
        Step::Password(jid, password) => {
            vars.insert(format!("password of {jid}"), password.clone());
            Ok(())
        }
        Step::Connect(name) => {
            wire.connect(name).await;
            Ok(())
        }
        Step::Scram { name, mechanism, user, password } => {
            scram(wire, name, mechanism, user, password).await
        }
        Step::Authenticate(name, bare) => authenticate(wire, name, bare, vars).await,
        Step::Login(name, jid) => login(wire, name, jid, vars).await,
        Step::Client(name, xml) => {
            let restart = xml.contains("<stream:stream");
            wire.send(name, &fill(xml, vars), restart).await;
            Ok(())
        }
        Step::Server(name, wanted) => expect(wire, name, wanted, vars).await,
        Step::Cut(name) => {
            wire.cut(name).await;
            Ok(())
        }
        Step::Pass(time) => {
            if wire.pass(*time).await {
                Ok(())
            } else {
                Err("time cannot be moved".to_owned())
            }
        }
    }
}

async fn expect(
    wire: &mut impl Wire,
    name: &str,
    wanted: &str,
    vars: &mut Vars,
) -> Result<(), String> {
    let got = wire.next(name, wanted != "nothing").await;
    let wrong = |why: &str| Err(format!("{name} got {got:?}: {why}"));
    match (&got, wanted) {
        (Got::Nothing, "nothing") | (Got::Close, "</stream:stream>") | (Got::Eof, "eof") => Ok(()),
        (Got::Open(header), wanted) if wanted.starts_with("<stream:stream") => {
            let wanted = wanted.trim_end_matches('>').to_owned() + "/>";
            let pattern = Element::parse_in_stream(wanted.as_bytes());
            let pattern = pattern.ok_or_else(|| format!("what is this? {wanted}"))?;
            fits(&pattern, &opening(header), vars).map_err(|why| format!("{header:?}: {why}"))
        }
        (Got::Element(element), wanted) if wanted.starts_with('<') => {
            let Some(pattern) = Element::parse_in_stream(wanted.as_bytes()) else {
                return wrong("the pattern is not one element");
            };
            match fits(&pattern, element, vars) {
                Ok(()) => Ok(()),
                Err(why) => Err(format!("{name} got {}: {why}", element.to_xml())),
            }
        }
        _ => wrong(&format!("expected {wanted}")),
    }
}

/// A stream header as an element without content, its language as `lang`.
fn opening(header: &StreamHeader) -> Element {
    let jid = |jid: &Option<Jid>| jid.as_ref().map(|j| j.as_str().to_owned());
    Element::new(ns::STREAM, "stream")
        .with_attr_opt("from", jid(&header.from))
        .with_attr_opt("to", jid(&header.to))
        .with_attr_opt("id", header.id.clone())
        .with_attr_opt("version", header.version.map(|(a, b)| format!("{a}.{b}")))
        .with_attr_opt("lang", header.lang.as_deref())
}

/// Says everything that a client says to authenticate.
async fn scram(
    wire: &mut impl Wire,
    name: &str,
    mechanism: &str,
    user: &str,
    password: &str,
) -> Result<(), String> {
    let (mechanism, binding) = mechanism.split_once('/').unwrap_or((mechanism, ""));
    let Some(Mechanism::Scram { hash, plus }) = Mechanism::parse(mechanism) else {
        return Err(format!("{mechanism} is no SCRAM"));
    };
    let mut client = super::scram::Client::new(hash, user, password);
    if plus {
        let data = wire.binding(binding).ok_or("there is nothing to bind to")?;
        client = client.bound(binding, &data);
    } else if binding == "y" {
        client = client.able();
    }
    let ns = "urn:ietf:params:xml:ns:xmpp-sasl";
    let first = client.first();
    let auth = format!("<auth xmlns='{ns}' mechanism='{mechanism}'>{first}</auth>");
    wire.send(name, &auth, false).await;
    let Got::Element(challenge) = wire.next(name, true).await else {
        return Err(format!("{name} got no challenge"));
    };
    let proof =
        client.last(&challenge.text()).ok_or_else(|| format!("bad challenge {challenge:?}"))?;
    wire.send(name, &format!("<response xmlns='{ns}'>{proof}</response>"), false).await;
    Ok(())
}

/// Logs on with SCRAM-SHA-1 and binds the resource.
async fn login(wire: &mut impl Wire, name: &str, jid: &str, vars: &mut Vars) -> Result<(), String> {
    let (bare, resource) = jid.split_once('/').unwrap_or((jid, ""));
    authenticate(wire, name, bare, vars).await?;
    let resource = if resource.is_empty() {
        String::new()
    } else {
        format!("<resource>{resource}</resource>")
    };
    let bind = format!(
        "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind></iq>"
    );
    wire.send(name, &bind, false).await;
    expect(wire, name, "<iq type='result' id='bind'/>", vars).await
}

/// Logs on with SCRAM-SHA-1, up to the features after it.
async fn authenticate(
    wire: &mut impl Wire,
    name: &str,
    bare: &str,
    vars: &mut Vars,
) -> Result<(), String> {
    let (local, host) = bare.split_once('@').ok_or("a login needs user@host")?;
    let password = vars.get(&format!("password of {bare}")).ok_or("no such account")?.clone();
    wire.connect(name).await;
    wire.send(name, &header(host), true).await;
    expect(wire, name, "<stream:stream>", vars).await?;
    expect(wire, name, "<stream:features/>", vars).await?;
    scram(wire, name, "SCRAM-SHA-1", local, &password).await?;
    expect(wire, name, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", vars).await?;
    wire.send(name, &header(host), true).await;
    expect(wire, name, "<stream:stream>", vars).await?;
    expect(wire, name, "<stream:features/>", vars).await
}
