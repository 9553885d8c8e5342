//! An application with its users.

use auth::{Change, Changes, Entry, Found, MongoOptions, MongoSource, Naming, Secret, Source};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use storage::{
    StoreError,
    mongo::{Existing, ExistingOptions, Options},
    testkit::{Member, ReplicaSet},
};
use xmpp::jid::BareJid;

/// `pencil`
pub const PENCIL: &str = "{SSHA}35wiB9gaXlxv/Gv6ARg+n5iwdLyGcA7h";
/// Nothing takes so long that is not stuck.
const PATIENCE: Duration = Duration::from_secs(60);

pub enum Server {
    Set(Arc<ReplicaSet>),
    Alone(Member),
}

/// Its collection `users`, in a database of its own.
pub struct App {
    pub server: Server,
    pub options: Options,
}

impl App {
    pub async fn shared() -> Self {
        Self::on(ReplicaSet::shared().await.unwrap())
    }

    pub fn on(set: Arc<ReplicaSet>) -> Self {
        let options = Options { deadline: Duration::from_secs(30), ..set.options("one") };
        Self { server: Server::Set(set), options }
    }

    pub async fn alone() -> Self {
        let member = Member::start(None, None).await.unwrap();
        let options = Options {
            uri: format!("mongodb://{}", member.address()),
            database: Some("app".to_owned()),
            deadline: Duration::from_secs(30),
            ..Options::default()
        };
        Self { server: Server::Alone(member), options }
    }

    pub async fn say(&self, name: &str, of: &str, rest: Value) -> Value {
        let database = self.options.database.as_deref().unwrap();
        let said = match &self.server {
            Server::Set(set) => set.say(database, (name, of), rest).await,
            Server::Alone(member) => member.say(database, (name, of), rest).await,
        };
        said.unwrap()
    }

    pub async fn insert(&self, users: Value) {
        self.say("insert", "users", json!({ "documents": users })).await;
    }

    /// An update, of the first one or all.
    pub async fn update(&self, which: Value, update: Value, multi: bool) {
        let update = json!({ "q": which, "u": update, "multi": multi });
        self.say("update", "users", json!({ "updates": [update] })).await;
    }

    pub async fn delete(&self, which: Value) {
        self.say("delete", "users", json!({ "deletes": [{ "q": which, "limit": 0 }] })).await;
    }

    pub fn existing(&self) -> ExistingOptions {
        ExistingOptions {
            server: self.options.clone(),
            collection: "users".to_owned(),
            user_field: "username".to_owned(),
            ignore_case: false,
            password_field: "password".to_owned(),
            disabled_field: Some("disabled".to_owned()),
            filter: "{}".to_owned(),
            poll: Duration::from_millis(100),
        }
    }

    pub async fn source(&self) -> MongoSource {
        source(self.existing(), |_| ()).await
    }
}

pub async fn source(
    existing: ExistingOptions,
    change: impl FnOnce(&mut MongoOptions),
) -> MongoSource {
    let mut options = MongoOptions {
        host: "here".to_owned(),
        naming: Naming::Localpart,
        plain: false,
        write: false,
    };
    change(&mut options);
    MongoSource::new(Existing::open(existing).await.unwrap(), options)
}

pub fn jid(text: &str) -> BareJid {
    text.parse().unwrap()
}

/// What is found, in a few words.
pub async fn found(source: &MongoSource, user: &str) -> String {
    match source.find(&jid(user)).await {
        Ok(Found::Nobody) => "nobody".to_owned(),
        Ok(Found::User(entry)) => of(&entry),
        Ok(Found::Untold) => "untold".to_owned(),
        Err(StoreError::Corrupt(why)) => why,
        Err(error) => format!("{error:?}"),
    }
}

pub fn of(entry: &Entry) -> String {
    let secret = match &entry.secret {
        Secret::Stored(stored) if stored.verify("pencil") => "pencil".to_owned(),
        Secret::Stored(_) => "another".to_owned(),
        Secret::Keys(keys) if keys.iter().all(|keys| keys.verify("pencil")) => {
            format!("{} keys", keys.len())
        }
        Secret::Keys(_) => "other keys".to_owned(),
        Secret::Ask => "ask".to_owned(),
        Secret::Unusable(why) => why.clone(),
    };
    if entry.disabled { format!("{secret}, disabled") } else { secret }
}

/// The next change, in a few words.
pub async fn next(changes: &mut Box<dyn Changes>) -> String {
    let told = tokio::time::timeout(PATIENCE, changes.next()).await;
    let Ok(told) = told else { return "nothing".to_owned() };
    match told {
        Ok(Change::Any) => "any".to_owned(),
        Ok(Change::User(user, entry)) => {
            let entry = entry.map_or_else(|| "nobody".to_owned(), |entry| of(&entry));
            format!("{user}: {entry}")
        }
        Err(error) => format!("{error:?}"),
    }
}

pub async fn watch(source: &MongoSource) -> Box<dyn Changes> {
    source.watch().await.unwrap().unwrap()
}
