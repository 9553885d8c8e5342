//! The domains of a node.

use std::sync::Arc;
use xmpp::jid::Jid;

/// The domains whose users this node serves (RFC 6120 section 1.3: one server, several domains).
#[derive(Debug, Default)]
pub struct Hosts(Vec<Arc<str>>);

impl Hosts {
    /// The hosts, the default one first. Names must be prepared domainparts.
    pub fn new(names: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self(names.into_iter().collect())
    }

    /// The host of an address, if it is one of ours.
    pub fn find(&self, jid: &Jid) -> Option<Arc<str>> {
        self.0.iter().find(|h| &***h == jid.domain()).cloned()
    }

    /// The host of that name.
    pub fn named(&self, name: &str) -> Option<Arc<str>> {
        self.0.iter().find(|h| &***h == name).cloned()
    }

    /// The first host: whose name goes into errors for clients that did not say which.
    pub fn default(&self) -> Option<Arc<str>> {
        self.0.first().cloned()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.iter()
    }
}
