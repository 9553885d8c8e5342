//! What changes in a collection of another application.

use super::{
    Existing, ExistingOptions,
    fields::{capped, fields, top, user, value},
};
use crate::{
    StoreError,
    error::LATER,
    mongo::failure::{Failure, is_command, why},
};
use mongodb::{
    bson::{Bson, Document, RawDocumentBuf, doc},
    change_stream::ChangeStream,
    error::Error,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long the server waits for a change before it says that there is none.
const AWAIT: Duration = Duration::from_secs(1);
/// Changes within a second of which it is said whose they are; of more, that anything may have changed.
const EACH: u32 = 100;

/// Something that changed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExistingChange {
    /// Something of the user of that name, as it is written there.
    Named(String),
    /// Nobody knows of whom.
    Any,
}

/// What changes in the collection.
pub struct ExistingChanges {
    of: Arc<Existing>,
    /// None: there is no stream.
    stream: Option<ChangeStream<RawDocumentBuf>>,
    /// When a second began, and what has changed in it.
    second: (Instant, u32),
}

impl fmt::Debug for ExistingChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExistingChanges({:?})", self.of)
    }
}

/// Has the server send what is needed of events that matter, and no more: documents may be large, and updates of other fields
/// many.
fn pipeline(options: &ExistingOptions, filter: &Document) -> Vec<Document> {
    let ExistingOptions { user_field, password_field, disabled_field, .. } = options;
    let update = |field: &str| format!("$updateDescription.{field}");
    let names = |of: Document, name: &str| {
        doc! { "$map": { "input": of, "in": { "$first": { "$split": [format!("$$this{name}"), "."] } } } }
    };
    let updated = doc! { "$objectToArray": { "$ifNull": [update("updatedFields"), {}] } };
    let list = |field: &str| doc! { "$ifNull": [update(field), []] };
    let changed = doc! { "$concatArrays": [
        names(updated, ".k"),
        names(list("removedFields"), ""),
        names(list("truncatedArrays"), ".field"),
    ] };
    let of = doc! { "operationType": 1, "ns": 1 };
    let mut event = of.clone();
    event.extend(doc! {
        "id": capped("documentKey._id"),
        "name": capped(&format!("fullDocument.{user_field}")),
        "changed": changed,
    });
    let mut told = of;
    told.extend(doc! { "id": 1, "name": 1, "renamed": { "$in": [top(user_field), "$changed"] } });
    let read = [Some(user_field), Some(password_field), disabled_field.as_ref()];
    let read = read.into_iter().flatten().chain(filter.keys());
    let read: Vec<&str> = read.map(|field| top(field)).collect();
    // an operator at the top of the filter may look at anything
    let matters = match read.iter().any(|field| field.starts_with('$')) {
        true => doc! {},
        false => {
            doc! { "$or": [{ "operationType": { "$ne": "update" } }, { "changed": { "$in": read } }] }
        }
    };
    vec![doc! { "$project": event }, doc! { "$match": matters }, doc! { "$project": told }]
}

impl Existing {
    /// What changes from now on. Where the server has no change streams, or does not let us have one, it is said again and
    /// again that anything may have changed.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn watch(self: &Arc<Self>) -> Result<ExistingChanges, StoreError> {
        let pipeline = pipeline(&self.options, &self.filter);
        let watch = async {
            let stream = self.users.watch().pipeline(pipeline).max_await_time(AWAIT).await?;
            self.look_no_further_back().await?;
            Ok(stream)
        };
        let opened = timeout(self.options.server.deadline, watch).await;
        let stream = match opened.map_err(|_| LATER)? {
            Ok(stream) => Some(stream.with_type()),
            // no replica set, no right to it, a view
            Err(error) if is_command(&error) => {
                tracing::info!(why = why(&error), collection = self.options.collection, poll = ?self.options.poll,
                    "no change stream: users with sessions are looked up again and again");
                None
            }
            Err(error) => {
                let collection = &self.options.collection;
                tracing::warn!(why = why(&error), collection, "accounts cannot be watched");
                return Err(Failure::from(error).tell(false));
            }
        };
        Ok(ExistingChanges { of: Arc::clone(self), stream, second: (Instant::now(), 0) })
    }

    /// What is read from here on is no older than now: a primary that was just elected may know only later what a majority has, and
    /// a stream tells nothing of what was before it.
    async fn look_no_further_back(&self) -> Result<(), Error> {
        let mut session = self.client.start_session().await?;
        let admin = self.client.database("admin");
        admin.run_command(doc! { "ping": 1 }).session(&mut session).await?;
        if let Some(now) = session.operation_time() {
            *self.since.lock() = Some(now);
        }
        Ok(())
    }

    /// Whose document that is, whether or not the filter takes it.
    async fn name_of(&self, id: Bson) -> Result<Option<String>, StoreError> {
        let one = [doc! { "$match": { "_id": id } }, doc! { "$project": fields(&self.options) }];
        let found = self.read(one.to_vec(), None).await?;
        Ok(found.first().and_then(|found| user(found)).map(|user| user.name))
    }

    async fn changed(&self, event: &RawDocumentBuf) -> Result<Option<ExistingChange>, StoreError> {
        let is = |name| matches!(value(event, name), Ok(Some(Bson::Boolean(true))));
        let kind = event.get_str("operationType").unwrap_or_default();
        match (kind, value(event, "id")) {
            ("insert", _) => Ok(match value(event, "name") {
                Ok(Some(Bson::String(name))) => Some(ExistingChange::Named(name)),
                // nobody's
                _ => None,
            }),
            ("update", Ok(Some(id))) if !is("renamed") => {
                let name = self.name_of(id).await?;
                Ok(Some(name.map_or(ExistingChange::Any, ExistingChange::Named)))
            }
            // nobody says what the name was
            _ => Ok(Some(ExistingChange::Any)),
        }
    }
}

impl ExistingChanges {
    /// Whether it is a change stream; otherwise it is polled.
    pub fn is_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether so much changes that it takes less to look at everybody who has a session than at whoever changes.
    fn is_much(&mut self) -> bool {
        if self.second.0.elapsed() > Duration::from_secs(1) {
            self.second = (Instant::now(), 0);
        }
        self.second.1 += 1;
        self.second.1 > EACH
    }

    /// The next change. One that has come when this is dropped before it is ready may be lost.
    ///
    /// # Errors
    /// `Unavailable`; nothing more comes then.
    pub async fn next(&mut self) -> Result<ExistingChange, StoreError> {
        loop {
            let Some(event) = self.event().await? else { return Ok(ExistingChange::Any) };
            if self.is_much() {
                return Ok(ExistingChange::Any);
            }
            if let Some(change) = self.of.changed(&event).await? {
                return Ok(change);
            }
        }
    }

    /// The next event of the stream; none, later, where there is no stream.
    async fn event(&mut self) -> Result<Option<RawDocumentBuf>, StoreError> {
        let ExistingOptions { poll, server, .. } = &self.of.options;
        let Some(stream) = &mut self.stream else {
            sleep(*poll).await;
            return Ok(None);
        };
        // a server that hangs says nothing at all
        let patience = AWAIT + server.deadline;
        let why = loop {
            match timeout(patience, stream.next_if_any()).await {
                Ok(Ok(Some(event))) => return Ok(Some(event)),
                // the server had nothing for a while
                Ok(Ok(None)) if stream.is_alive() => continue,
                Ok(Ok(None)) => break "the collection is gone, or has another name".to_owned(),
                Ok(Err(error)) => break why(&error),
                Err(_) => break "the server does not answer".to_owned(),
            }
        };
        tracing::warn!(why, collection = self.of.options.collection, "a change stream ended");
        Err(LATER)
    }
}
