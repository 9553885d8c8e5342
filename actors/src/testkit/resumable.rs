//! Juliet, whose sessions can be resumed for a minute, and Romeo, who writes to her: what tests of what waits for a session
//! have in common.

use super::{
    World, WorldOptions,
    script::{Got, Wire},
};
use crate::{
    modules::offline::{OfflineConfig, OfflineModule},
    registrar::Modules,
    resource::{Durability, QueueLimits, Resource},
    settings::Settings,
};
use std::sync::Arc;
use xmpp::jid::Jid;

/// Juliet logs on as J and has presence, which she has not acknowledged; Romeo logs on as R.
pub const PAIR: &str = "account juliet@localhost pencil
    account romeo@localhost rose
    J = juliet@localhost/balcony
    R = romeo@localhost/orchard
    J C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    J S: <enabled xmlns='urn:xmpp:sm:3' id='{token}' resume='true' max='60'/>
    J C: <presence/>
    J S: <presence/>
    J S: <r xmlns='urn:xmpp:sm:3'/>
    ";

/// And another session of hers, L, of the same priority: neither has anything to acknowledge.
pub const SECOND: &str = "password juliet@localhost pencil
    L = juliet@localhost/garden
    L C: <enable xmlns='urn:xmpp:sm:3' resume='true' max='60'/>
    L S: <enabled xmlns='urn:xmpp:sm:3' id='{second}'/>
    L C: <presence/>
    L S: <presence from='juliet@localhost/garden'/>
    L S: <presence from='juliet@localhost/balcony'/>
    L S: <r xmlns='urn:xmpp:sm:3'/>
    L C: <a xmlns='urn:xmpp:sm:3' h='2'/>
    J S: <presence from='juliet@localhost/garden'/>
    J C: <a xmlns='urn:xmpp:sm:3' h='2'/>
    ";

/// Both sessions.
pub fn two() -> String {
    PAIR.to_owned() + SECOND
}

/// What keeps messages, and nothing else.
pub fn offline() -> Modules {
    let mut modules = Modules::default();
    modules.add_with::<OfflineModule>(OfflineConfig::default());
    modules
}

/// All that can be asked of the store.
pub const DURABILITIES: [Durability; 4] =
    [Durability::Memory, Durability::Detached, Durability::Behind, Durability::Always];

/// K is asked what it has.
pub const ASKED: &str = "K S: <r xmlns='urn:xmpp:sm:3'/>\n";

/// There is no such session (any more).
pub const FAILED: &str = "<failed xmlns='urn:xmpp:sm:3'>
    <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";

/// A session goes on, of whose stanzas so many have been handled.
pub fn resumed(h: u32) -> String {
    format!("<resumed xmlns='urn:xmpp:sm:3' h='{h}'/>")
}

/// K asks to go on with a session of Juliet's, having got `h` stanzas. (Her password is not known to the script of another process.)
pub fn resume(token: &str, h: u32, answer: &str) -> String {
    format!(
        "password juliet@localhost pencil
         K ~ juliet@localhost
         K C: <resume xmlns='urn:xmpp:sm:3' previd='{token}' h='{h}'/>
         K S: {answer}\n"
    )
}

/// Romeo sends Juliet his message of that number.
pub fn message(n: u32) -> String {
    format!("R C: <message to='juliet@localhost' type='chat' id='{n}'><body>{n}</body></message>\n")
}

/// And somebody gets it.
pub fn got(name: &str, n: u32) -> String {
    format!("{name} S: <message id='{n}'><body>{n}</body></message>\n")
}

/// A line for each number.
pub fn all(of: impl IntoIterator<Item = u32>, line: impl Fn(u32) -> String) -> String {
    of.into_iter().map(line).collect()
}

/// A client closes its stream in order.
pub fn closes(name: &str) -> String {
    format!("{name} C: </stream:stream>\n{name} S: </stream:stream>\n{name} S: eof\n")
}

/// Juliet logs on as L, and these are all messages that there are.
pub fn has(ids: impl IntoIterator<Item = u32>) -> String {
    "password juliet@localhost pencil
     L = juliet@localhost/garden
     L C: <presence/>\n"
        .to_owned()
        + &all(ids, |n| got("L", n))
        + "L S: <presence/>\nL S: nothing\n"
}

/// Options of a world that keeps what waits as [`Durability`] says.
pub fn options(durability: Durability) -> WorldOptions {
    limited(QueueLimits { durability, ..QueueLimits::default() })
}

/// Options of a world with these limits.
pub fn limited(queues: QueueLimits) -> WorldOptions {
    let settings = Settings { queues, ..Settings::default() };
    WorldOptions { settings, ..WorldOptions::default() }
}

impl World {
    /// The session of this full address.
    pub fn resource(&self, jid: &str) -> Option<Arc<Resource>> {
        let jid: Jid = jid.parse().ok()?;
        self.env.table.find(&jid.bare(), jid.resource()?)
    }

    /// With which the session of this full address can be resumed.
    pub fn token(&self, jid: &str) -> Option<String> {
        self.resource(jid)?.with_sm(|sm| sm.as_ref()?.token.clone())
    }

    /// The ids of the messages among what was sent to a client.
    pub async fn messages(&mut self, name: &str) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            match self.next(name, false).await {
                Got::Element(e) if e.name() == "message" => {
                    ids.extend(e.attr("id").map(str::to_owned));
                }
                Got::Element(_) => {}
                _ => return ids,
            }
        }
    }
}
