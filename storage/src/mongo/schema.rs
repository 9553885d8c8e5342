//! The schema: collections with their indexes, made and changed in steps by one node at a time.

use super::{MongoStore, failure::is_duplicate, options::OpenError};
use mongodb::{
    Collection, IndexModel,
    bson::{DateTime, Document, doc},
    error::ErrorKind,
    options::{IndexOptions, ReturnDocument},
};
use std::{sync::atomic::Ordering, time::Duration};

/// The version that this program writes: of each before it a step leads on.
pub(super) const VERSION: i64 = 1;

/// For how long a node may take for the steps before another thinks that it died, in milliseconds.
const LEASE: i64 = 60_000;
/// How often a node looks whether another is done.
const AGAIN: Duration = Duration::from_millis(100);

/// Indexes: of which collection, on what, and of which documents only. Hints name them by what they are on.
pub(super) fn indexes() -> Vec<(&'static str, Document, Option<Document>)> {
    vec![
        ("users", doc! { "host": 1, "_id": 1 }, None),
        ("roster", doc! { "u": 1 }, None),
        // what waits, in its order
        ("messages", waiting(), None),
        // how much there is, of whom
        ("messages", sizes(), None),
        // what a session holds
        ("messages", held(), Some(doc! { "w": false })),
        ("messages", doc! { "at": 1 }, Some(doc! { "w": true })),
        ("messages", doc! { "damaged": 1 }, Some(doc! { "damaged": { "$exists": true } })),
        ("sessions", doc! { "u": 1 }, None),
        ("quarantine", doc! { "u": 1, "_id": 1 }, None),
        ("private", doc! { "u": 1 }, None),
    ]
}

pub(super) fn waiting() -> Document {
    doc! { "u": 1, "w": 1, "_id": 1 }
}

pub(super) fn sizes() -> Document {
    doc! { "u": 1, "from": 1, "b": 1 }
}

pub(super) fn held() -> Document {
    doc! { "h": 1, "_id": 1 }
}

/// Collections without an index of their own: they are made, so that transactions need not.
const PLAIN: [&str; 1] = ["vcards"];

impl MongoStore {
    fn meta(&self) -> Collection<Document> {
        self.of("meta")
    }

    /// Looks at the server and brings the schema up to date: then the store can be used.
    pub(super) async fn prepare(&self) -> Result<(), OpenError> {
        self.look().await?;
        let owner = format!("{} {:?}", self.node, self.numbers.take(1));
        let mut made = false;
        while !self.is_current().await? {
            if self.lock(&owner).await? {
                made = true;
                let done = self.bring_up().await;
                let ours = doc! { "_id": "lock", "owner": &owner };
                let unlocked = self.meta().delete_one(ours).await;
                done?;
                unlocked?;
            } else {
                tokio::time::sleep(AGAIN).await;
            }
        }
        if !made {
            self.mend().await?;
        }
        self.ready.store(true, Ordering::Release);
        tracing::info!("the database is there");
        self.breaker.wake();
        Ok(())
    }

    async fn is_current(&self) -> Result<bool, OpenError> {
        let found = self.meta().find_one(doc! { "_id": "schema" }).await?;
        let found = found.map_or(0, |schema| {
            let version = schema.get("version");
            version.and_then(|v| v.as_i64().or(v.as_i32().map(i64::from))).unwrap_or_default()
        });
        if found > VERSION {
            let database = self.db.name().to_owned();
            return Err(OpenError::Newer { database, found, known: VERSION });
        }
        Ok(found == VERSION)
    }

    /// Takes the lock, if nobody has it, or had it for too long: by the server's clock.
    async fn lock(&self, owner: &str) -> Result<bool, OpenError> {
        let free = doc! { "$lt": [{ "$ifNull": ["$until", DateTime::from_millis(0)] }, "$$NOW"] };
        let until = doc! { "$add": ["$$NOW", LEASE] };
        let take = vec![
            doc! { "$set": { "free": free } },
            doc! { "$set": {
                "owner": { "$cond": ["$free", { "$literal": owner }, "$owner"] },
                "until": { "$cond": ["$free", until, "$until"] },
            } },
            doc! { "$unset": "free" },
        ];
        let meta = self.meta();
        let take = meta.find_one_and_update(doc! { "_id": "lock" }, take).upsert(true);
        match take.return_document(ReturnDocument::After).await {
            Ok(lock) => {
                Ok(lock.is_some_and(|lock| lock.get_str("owner").is_ok_and(|it| it == owner)))
            }
            // two were the first
            Err(error) if is_duplicate(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes what is missing, as after a backup that was restored without indexes: nobody could read without them.
    async fn mend(&self) -> Result<(), OpenError> {
        match self.make().await {
            Err(error @ (OpenError::Failed { .. } | OpenError::Refused { .. })) => {
                tracing::warn!(%error, "whether all collections and indexes are there is not known");
                Ok(())
            }
            made => made,
        }
    }

    /// From an empty database to the first version. A step may be made twice: its node may have died.
    async fn bring_up(&self) -> Result<(), OpenError> {
        self.make().await?;
        let is_now = doc! { "$set": { "version": VERSION } };
        self.meta().update_one(doc! { "_id": "schema" }, is_now).upsert(true).await?;
        Ok(())
    }

    /// Collections and indexes, those that are not there.
    async fn make(&self) -> Result<(), OpenError> {
        for name in PLAIN {
            // an error: it is there
            if let Err(error) = self.db.create_collection(name).await
                && !is_there(&error)
            {
                return Err(error.into());
            }
        }
        for (collection, keys, only) in indexes() {
            let options = IndexOptions::builder().partial_filter_expression(only).build();
            let index = IndexModel::builder().keys(keys).options(options).build();
            self.of::<Document>(collection).create_index(index).await?;
        }
        Ok(())
    }
}

/// `NamespaceExists`
fn is_there(error: &mongodb::error::Error) -> bool {
    matches!(&*error.kind, ErrorKind::Command(command) if command.code == 48)
}
