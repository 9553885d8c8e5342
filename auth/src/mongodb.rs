//! Users in a collection of another application's MongoDB.

use crate::{
    documents::{fingerprint, secret},
    formats::renewed,
    source::{Change, Changes, Entry, Found, Secret, Source},
};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, sync::Arc};
use storage::{
    StoreError, StoreFuture,
    mongo::{Existing, ExistingChange, ExistingChanges, ExistingUser},
};
use xmpp::{
    escaping::{escape, unescape},
    jid::BareJid,
};

/// What the name of a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// The localpart of the address, escaped where it cannot stand there (XEP-0106).
    Localpart,
    /// The address.
    Jid,
}

/// How it is read and written.
#[derive(Clone, Debug)]
pub struct MongoOptions {
    /// The host of the users.
    pub host: String,
    /// What their names are.
    pub naming: Naming,
    /// What has no known format is the password itself.
    pub plain: bool,
    /// Passwords may be changed here.
    pub write: bool,
}

/// The collection as a source.
pub struct MongoSource {
    users: Arc<Existing>,
    options: MongoOptions,
}

impl fmt::Debug for MongoSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MongoSource({:?})", self.options)
    }
}

impl MongoSource {
    /// Users of that collection.
    pub fn new(users: Arc<Existing>, options: MongoOptions) -> Self {
        Self { users, options }
    }

    /// The name of a user of the host there.
    fn name(&self, user: &BareJid) -> Option<String> {
        match self.options.naming {
            Naming::Localpart => user.node().map(unescape),
            Naming::Jid => Some(user.as_str().to_owned()),
        }
    }

    /// Whose name that is; none of the host's users may have it.
    fn user(&self, name: &str) -> Option<BareJid> {
        let host = &self.options.host;
        match self.options.naming {
            Naming::Localpart => BareJid::new(&escape(name), host).ok(),
            Naming::Jid => name.parse().ok().filter(|user: &BareJid| user.domain() == host),
        }
    }

    fn entry(&self, user: ExistingUser) -> Entry {
        let ExistingUser { id, name, disabled, password } = user;
        let secret = match &password {
            Ok(password) => secret(password, self.options.plain),
            Err(why) => Secret::Unusable(why.to_string()),
        };
        if let Secret::Unusable(why) = &secret {
            let host = &self.options.host;
            tracing::warn!(host, name, why, "the password of a user there cannot be used");
        }
        let fingerprint = password.ok().map(|password| fingerprint(&id, &password));
        Entry { id, disabled, secret, fingerprint }
    }

    /// The one who has that address.
    async fn one(&self, user: &BareJid) -> Result<Option<ExistingUser>, StoreError> {
        let Some(name) = self.name(user) else { return Ok(None) };
        let mut found = self.users.find(&name).await?;
        // a collation takes more for the same than addresses do
        found.retain(|found| self.user(&found.name).as_ref() == Some(user));
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(StoreError::Corrupt(several(user))),
        }
    }
}

fn several(user: &BareJid) -> String {
    format!("several documents have the name of {user}: nobody can tell which of them it is")
}

impl Source for MongoSource {
    fn find<'a>(&'a self, user: &'a BareJid) -> StoreFuture<'a, Found> {
        Box::pin(async move {
            let found = self.one(user).await;
            let found = found.inspect_err(|error| tracing::warn!(%user, %error, "no log-on"))?;
            Ok(found.map_or(Found::Nobody, |found| Found::User(self.entry(found))))
        })
    }

    fn find_all<'a>(&'a self, users: &'a [BareJid]) -> StoreFuture<'a, Vec<(BareJid, Entry)>> {
        Box::pin(async move {
            let names: Vec<String> = users.iter().filter_map(|user| self.name(user)).collect();
            let mut all = BTreeMap::<BareJid, Vec<ExistingUser>>::new();
            for found in self.users.find_all(&names).await? {
                if let Some(user) = self.user(&found.name) {
                    all.entry(user).or_default().push(found);
                }
            }
            let one = |(user, mut found): (BareJid, Vec<ExistingUser>)| match found.len() {
                0 | 1 => Some((user, self.entry(found.pop()?))),
                _ => {
                    tracing::warn!(why = several(&user), "a user cannot be told");
                    None
                }
            };
            Ok(all.into_iter().filter_map(one).collect())
        })
    }

    fn set_password<'a>(
        &'a self,
        user: &'a BareJid,
        password: &'a str,
    ) -> StoreFuture<'a, Option<Entry>> {
        Box::pin(async move {
            if !self.options.write {
                return Ok(None);
            }
            let Some(found) = self.one(user).await? else { return Ok(None) };
            let Some(text) = found.password.as_ref().ok().and_then(Value::as_str) else {
                return Ok(None);
            };
            let Some(new) = renewed(text, password, self.options.plain) else { return Ok(None) };
            let new = Value::String(new);
            match self.users.set_password(&found, new.clone()).await? {
                true => Ok(Some(self.entry(ExistingUser { password: Ok(new), ..found }))),
                // somebody else changed it just now
                false => Err(StoreError::Conflict { now: 0 }),
            }
        })
    }

    fn watch(&self) -> StoreFuture<'_, Option<Box<dyn Changes>>> {
        Box::pin(async move {
            let changes = self.users.watch().await?;
            let of = Self::new(Arc::clone(&self.users), self.options.clone());
            Ok(Some(Box::new(Watched { of, changes }) as Box<dyn Changes>))
        })
    }
}

struct Watched {
    of: MongoSource,
    changes: ExistingChanges,
}

impl Changes for Watched {
    fn next(&mut self) -> StoreFuture<'_, Change> {
        Box::pin(async move {
            loop {
                let ExistingChange::Named(name) = self.changes.next().await? else {
                    return Ok(Change::Any);
                };
                // another host's
                let Some(user) = self.of.user(&name) else { continue };
                let entry = match self.of.one(&user).await {
                    Ok(found) => found.map(|found| self.of.entry(found)),
                    Err(StoreError::Corrupt(why)) => {
                        tracing::warn!(why, "a user cannot be told");
                        None
                    }
                    Err(error) => return Err(error),
                };
                return Ok(Change::User(user, entry));
            }
        })
    }
}
