//! Private XML (XEP-0049).

use crate::StoreFuture;
use xmpp::jid::BareJid;

/// Private XML by user and name of the element, as XML that is complete in itself.
pub trait PrivateStore: Send + Sync + 'static {
    /// The element of that name, if there is one.
    fn get<'a>(
        &'a self,
        user: &'a BareJid,
        ns: &'a str,
        name: &'a str,
    ) -> StoreFuture<'a, Option<String>>;

    /// Replaces elements (namespace, name, XML), all or none; at most `limit` a user.
    ///
    /// Errors: `Full`, `NoAccount`.
    fn set<'a>(
        &'a self,
        user: &'a BareJid,
        elements: Vec<(String, String, String)>,
        limit: usize,
    ) -> StoreFuture<'a, ()>;
}
