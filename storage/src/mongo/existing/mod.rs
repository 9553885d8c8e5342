//! Users in a collection that another application made and keeps: they are read, their passwords written if that is wanted,
//! and nothing else is touched there.
//!
//! Anything may stand in it. What is read of a document is cut off by the server (`fields`), what cannot be read is one
//! user's trouble, and a name may be there several times: who asks has to say which of them is meant.

mod changes;
mod fields;

pub use changes::{ExistingChange, ExistingChanges};
pub use fields::filter;

use super::{
    connect,
    failure::{Failure, is_away, is_refused, why},
    options::{OpenError, Options},
};
use crate::{StoreError, error::LATER};
use mongodb::{
    Client, Collection,
    bson::{Bson, Document, RawDocumentBuf, Timestamp, doc},
    error::Error,
    options::{Collation, CollationStrength},
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{fmt, future::Future, slice, sync::Arc, time::Duration};
use thiserror::Error as Described;
use tokio::time::timeout;

/// Documents that may have one name, in another writing or by mistake, and are still told apart.
const ALIKE: usize = 16;

/// Where users are, and what their fields are called.
#[derive(Clone, Debug)]
pub struct ExistingOptions {
    /// The server; its `node` and `write_concern` count, its `database` is where the collection is.
    pub server: Options,
    /// The collection.
    pub collection: String,
    /// The field with the name, dotted where it is nested.
    pub user_field: String,
    /// Names are found whatever their case. Needs an index with the collation `{locale: "en", strength: 2}`.
    pub ignore_case: bool,
    /// The field with what the password is checked with.
    pub password_field: String,
    /// The field that is true for users who may not log on.
    pub disabled_field: Option<String>,
    /// What else a user has to be, in Extended JSON; others are not there.
    pub filter: String,
    /// How often it is said that anything may have changed, where there are no change streams.
    pub poll: Duration,
}

/// A user as found there.
#[derive(Clone, PartialEq)]
pub struct ExistingUser {
    /// The document's `_id`, as text: in canonical Extended JSON.
    pub id: String,
    /// The name, as it is written there.
    pub name: String,
    /// May not log on.
    pub disabled: bool,
    /// What the password is checked with, in relaxed Extended JSON; null when there is nothing.
    pub password: Result<Value, Unreadable>,
}

/// Why a value was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Described)]
pub enum Unreadable {
    /// More than anything that would make sense.
    #[error("it is larger than {} bytes", fields::MOST)]
    Large,
    /// A text that is not in UTF-8, for one.
    #[error("it is no well-formed BSON")]
    Damaged,
}

impl fmt::Debug for ExistingUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExistingUser({} {:?}, disabled: {})", self.id, self.name, self.disabled)
    }
}

/// The collection.
pub struct Existing {
    client: Client,
    users: Collection<Document>,
    /// What is read is as it was then, or later.
    since: Mutex<Option<Timestamp>>,
    filter: Document,
    options: ExistingOptions,
}

impl fmt::Debug for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Existing({:?})", self.options)
    }
}

impl Existing {
    /// Asks nobody yet: whether the server is there is seen when a user is looked for.
    ///
    /// # Errors
    /// `Options` when these make no sense.
    pub async fn open(options: ExistingOptions) -> Result<Arc<Self>, OpenError> {
        let filter = filter(&options.filter)?;
        let (client, database) =
            connect::client(&options.server, connect::app(&options.server)).await?;
        let users = client.database(&database).collection(&options.collection);
        Ok(Arc::new(Self { client, users, since: Mutex::default(), filter, options }))
    }

    /// Who has that name: one user, or none, unless names differ in nothing that the collection's owner or the collation sees.
    ///
    /// # Errors
    /// `Unavailable`; `Corrupt` when very many have it.
    pub async fn find(&self, name: &str) -> Result<Vec<ExistingUser>, StoreError> {
        let found = self.named(slice::from_ref(&name.to_owned())).await?;
        found.ok_or_else(|| {
            let Self { options: ExistingOptions { collection, .. }, .. } = self;
            StoreError::Corrupt(format!(
                "too many documents of {collection} have the name {name:?}"
            ))
        })
    }

    /// Users of these names, in any order, those that are there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn find_all(&self, names: &[String]) -> Result<Vec<ExistingUser>, StoreError> {
        if let Some(found) = self.named(names).await? {
            return Ok(found);
        }
        // one of them must not hide the others
        let mut all = Vec::new();
        for name in names {
            match self.find(name).await {
                Ok(found) => all.extend(found),
                Err(StoreError::Corrupt(why)) => tracing::warn!(why, "a user cannot be told"),
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// `None`: there are more documents than were read.
    async fn named(&self, names: &[String]) -> Result<Option<Vec<ExistingUser>>, StoreError> {
        let field = self.options.user_field.as_str();
        let wanted = match names {
            [] => return Ok(Some(Vec::new())),
            [name] => doc! { field: name },
            names => doc! { field: { "$in": names } },
        };
        let most = names.len() + ALIKE;
        let pipeline = vec![
            doc! { "$match": { "$and": [wanted, self.filter.clone()] } },
            doc! { "$limit": i64::try_from(most).unwrap_or(i64::MAX) },
            doc! { "$project": fields::fields(&self.options) },
        ];
        let collation = self.options.ignore_case.then(|| {
            Collation::builder().locale("en").strength(CollationStrength::Secondary).build()
        });
        let found = self.read(pipeline, collation).await?;
        let users = found.iter().filter_map(|found| {
            let user = fields::user(found);
            if user.is_none() {
                let collection = &self.options.collection;
                tracing::warn!(collection, "a document has no text as its name, or no id");
            }
            user
        });
        Ok((found.len() < most).then(|| users.collect()))
    }

    async fn read(
        &self,
        pipeline: Vec<Document>,
        collation: Option<Collation>,
    ) -> Result<Vec<RawDocumentBuf>, StoreError> {
        self.within(async {
            let mut session = self.client.start_session().causal_consistency(true).await?;
            let since = *self.since.lock();
            since.iter().for_each(|since| session.advance_operation_time(*since));
            let mut query = self.users.aggregate(pipeline).session(&mut session);
            if let Some(collation) = collation {
                query = query.collation(collation);
            }
            let mut found = query.await?;
            let mut all = Vec::new();
            while found.advance(&mut session).await? {
                all.push(found.current().to_owned());
            }
            Ok(all)
        })
        .await
    }

    /// Replaces what the password is checked with, if it is still what was found. `false`: it is not.
    ///
    /// # Errors
    /// `Unavailable`, `Timeout`.
    pub async fn set_password(&self, user: &ExistingUser, new: Value) -> Result<bool, StoreError> {
        let field = self.options.password_field.as_str();
        let Ok(found) = user.password.clone() else { return Ok(false) };
        let corrupt = |value: Value| {
            Bson::try_from(value).map_err(|error| StoreError::Corrupt(error.to_string()))
        };
        let id: Value =
            serde_json::from_str(&user.id).map_err(|e| StoreError::Corrupt(e.to_string()))?;
        let this = doc! { "_id": corrupt(id)?, field: corrupt(found)? };
        let change = doc! { "$set": { field: corrupt(new)? } };
        let updated =
            timeout(self.options.server.deadline, self.users.update_one(this, change)).await;
        match updated.map_err(|_| StoreError::Timeout)? {
            Ok(updated) => Ok(updated.matched_count == 1),
            Err(error) => Err(Failure::from(error).tell(true)),
        }
    }

    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, StoreError> {
        match timeout(self.options.server.deadline, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                tracing::warn!(
                    why = why(&error),
                    collection = self.options.collection,
                    "accounts cannot be read"
                );
                match is_away(&error) || is_refused(&error) {
                    true => Err(LATER),
                    false => Err(Failure::from(error).tell(false)),
                }
            }
            Err(_) => Err(LATER),
        }
    }
}
