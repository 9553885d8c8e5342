//! An application whose users log on here.

use crate::formats::Stored;
use std::sync::Arc;
use storage::StoreFuture;
use supervision::ChildSpec;
use xmpp::{jid::BareJid, sasl::ScramKeys};

/// What a password is checked with there.
#[derive(Clone, Debug)]
pub enum Secret {
    /// SCRAM keys: nobody has to see the password.
    Keys(Vec<ScramKeys>),
    /// A hash of some format, or the password itself.
    Stored(Arc<Stored>),
    /// Only the application can tell: [`Source::check`].
    Ask,
    /// Nothing that fits any password: why.
    Unusable(String),
}

/// A user as the application has it now.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its key there: another user of that name, later, has another.
    pub id: String,
    /// May not log on.
    pub disabled: bool,
    /// What the password is checked with.
    pub secret: Secret,
    /// Of the secret: another password has another. `None`: the application does not say, so keys made of a password are
    /// worth nothing the next time.
    pub fingerprint: Option<String>,
}

/// What a source knows of a user.
#[derive(Clone, Debug)]
pub enum Found {
    /// There is none.
    Nobody,
    /// This one.
    User(Entry),
    /// It cannot tell: whoever comes with a good token is one.
    Untold,
}

/// What has changed there.
#[derive(Clone, Debug)]
pub enum Change {
    /// Something of this user, who is this now, or is not there.
    User(BareJid, Option<Entry>),
    /// Of nobody knows whom.
    Any,
}

/// Changes of a source, as they come.
pub trait Changes: Send {
    /// The next one.
    ///
    /// Errors: those of the source; nothing more comes then, and it is to be [watched](Source::watch) anew.
    fn next(&mut self) -> StoreFuture<'_, Change>;
}

/// An application whose users log on here. Every method answers within a deadline of its own.
pub trait Source: Send + Sync + 'static {
    /// The user as it is there now.
    fn find<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Found>;

    /// Several users, in any order; those that are not there are left out.
    fn find_all<'a>(&'a self, users: &'a [BareJid]) -> StoreFuture<'a, Vec<(BareJid, Entry)>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for user in users {
                if let Found::User(entry) = self.find(user).await? {
                    all.push((user.clone(), entry));
                }
            }
            Ok(all)
        })
    }

    /// Whether that is the user's password (or token), where [`Secret::Ask`] says so or the user is [`Found::Untold`]: the user's
    /// entry then.
    fn check<'a>(&'a self, user: &'a BareJid, password: &'a str) -> StoreFuture<'a, Option<Entry>> {
        let (_, _) = (user, password);
        Box::pin(async { Ok(None) })
    }

    /// Whose token that is, for a source that takes tokens (RFC 7628): a user of `host`.
    fn bearer<'a>(&'a self, host: &'a str, token: &'a str) -> StoreFuture<'a, Option<BareJid>> {
        let (_, _) = (host, token);
        Box::pin(async { Ok(None) })
    }

    /// Gives the user another password: the entry then. `None`: it is not for us to change.
    fn set_password<'a>(
        &'a self,
        user: &'a BareJid,
        password: &'a str,
    ) -> StoreFuture<'a, Option<Entry>> {
        let (_, _) = (user, password);
        Box::pin(async { Ok(None) })
    }

    /// The processes that serve it.
    fn children(&self) -> Vec<ChildSpec> {
        Vec::new()
    }

    /// Changes from now on; `None`: it has no way to tell.
    fn watch(&self) -> StoreFuture<'_, Option<Box<dyn Changes>>> {
        Box::pin(async { Ok(None) })
    }
}
