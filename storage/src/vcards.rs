//! vCards (XEP-0054).

use crate::StoreFuture;
use std::sync::Arc;
use xmpp::jid::BareJid;

/// vCards by user, as XML that is complete in itself.
pub trait VcardStore: Send + Sync + 'static {
    /// The vCard, if there is one.
    fn get<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Option<Arc<str>>>;

    /// Replaces it.
    ///
    /// Errors: `NoAccount`.
    fn set<'a>(&'a self, user: &'a BareJid, xml: String) -> StoreFuture<'a, ()>;
}
