//! Servers that are one replica set.

use super::{KitError, Member, Secrets, member::PATIENCE};
use crate::mongo::Options;
use mongodb::{
    Client,
    bson::{Document, doc},
    options::{ClientOptions, Credential},
};
use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

/// The name of every set.
const NAME: &str = "rs0";

/// How long the members wait for one that leads before they elect another, in milliseconds.
const ELECTION: i32 = 1000;

/// A replica set.
#[derive(Debug)]
pub struct ReplicaSet {
    members: Vec<Member>,
    secrets: Option<Secrets>,
}

/// The set of one member that tests have together, as long as one of them has it.
static SHARED: tokio::sync::Mutex<Weak<ReplicaSet>> = tokio::sync::Mutex::const_new(Weak::new());

/// Databases that were asked for.
static DATABASES: AtomicUsize = AtomicUsize::new(0);

impl ReplicaSet {
    /// Starts so many members, and waits until one leads them.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn start(members: usize) -> Result<Self, KitError> {
        let mut set = Self { members: Vec::new(), secrets: None };
        for _ in 0..members {
            set.members.push(Member::start(Some(NAME), None).await?);
        }
        set.initiate().await?;
        set.client().await?.database("admin").run_command(doc! { "ping": 1 }).await?;
        Ok(set)
    }

    /// Starts one member that speaks TLS only, and lets in the user of these secrets only.
    ///
    /// # Errors
    /// When that fails.
    pub async fn start_secured(secrets: Secrets) -> Result<Self, KitError> {
        let member = Member::start(Some(NAME), Some(&secrets)).await?;
        let set = Self { members: vec![member], secrets: Some(secrets) };
        set.initiate().await?;
        let (first, secrets) = set.first()?;
        // who comes from this machine may make the first user, once somebody leads
        let client = first.client(secrets, None)?;
        let admin = client.database("admin");
        while !admin.run_command(doc! { "hello": 1 }).await?.get_bool("isWritablePrimary")? {
            tokio::task::yield_now().await;
        }
        let (user, password) =
            secrets.map(|s| (s.user.clone(), s.password.clone())).unwrap_or_default();
        admin.run_command(doc! { "createUser": user, "pwd": password, "roles": ["root"] }).await?;
        Ok(set)
    }

    /// One member for all tests that break nothing; each has databases of its own.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn shared() -> Result<Arc<Self>, KitError> {
        let mut shared = SHARED.lock().await;
        if let Some(set) = shared.upgrade() {
            return Ok(set);
        }
        let set = Arc::new(Self::start(1).await?);
        *shared = Arc::downgrade(&set);
        Ok(set)
    }

    fn first(&self) -> Result<(&Member, Option<&Secrets>), KitError> {
        Ok((self.members.first().ok_or("a set without members")?, self.secrets.as_ref()))
    }

    async fn initiate(&self) -> Result<(), KitError> {
        let (first, secrets) = self.first()?;
        let members: Vec<Document> = (0_i32..)
            .zip(&self.members)
            .map(|(n, member)| doc! { "_id": n, "host": member.address() })
            .collect();
        let settings = doc! { "electionTimeoutMillis": ELECTION, "heartbeatIntervalMillis": 200 };
        let config = doc! { "_id": NAME, "members": members, "settings": settings };
        let client = first.client(secrets, None)?;
        client.database("admin").run_command(doc! { "replSetInitiate": config }).await?;
        Ok(())
    }

    /// The members, in the order of their start.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// What clients are told.
    pub fn uri(&self) -> String {
        let hosts: Vec<String> = self.members.iter().map(Member::address).collect();
        format!("mongodb://{}/?replicaSet={NAME}", hosts.join(","))
    }

    /// Of a node of that name, in a database that nobody else has.
    pub fn options(&self, node: &str) -> Options {
        let n = DATABASES.fetch_add(1, Ordering::Relaxed);
        let secrets = self.secrets.as_ref();
        Options {
            uri: self.uri(),
            database: Some(format!("test-{}-{n}", std::process::id())),
            user: secrets.map(|secrets| secrets.user.clone()),
            password: secrets.map(|secrets| secrets.password.clone()),
            ca: secrets.map(Secrets::ca),
            node: node.to_owned(),
            ..Options::default()
        }
    }

    /// A client of the set.
    ///
    /// # Errors
    /// When the driver takes no such options.
    pub async fn client(&self) -> Result<Client, KitError> {
        let mut options = ClientOptions::parse(self.uri()).await?;
        options.server_selection_timeout = Some(PATIENCE);
        if let Some(secrets) = &self.secrets {
            let with = Credential::builder().username(secrets.user.clone());
            options.credential = Some(with.password(secrets.password.clone()).build());
            let tls = mongodb::options::TlsOptions::builder().ca_file_path(secrets.ca()).build();
            options.tls = Some(mongodb::options::Tls::Enabled(tls));
        }
        Ok(Client::with_options(options)?)
    }

    /// What it says to a command, `{command.0: command.1, ...rest}` in Extended JSON.
    ///
    /// # Errors
    /// That it failed, or that something could not be written.
    pub async fn say(
        &self,
        database: &str,
        command: (&str, &str),
        rest: serde_json::Value,
    ) -> Result<serde_json::Value, KitError> {
        super::say(&self.client().await?, database, command, rest).await
    }

    /// Which member leads; waits until one does.
    ///
    /// # Errors
    /// When none does for a minute.
    pub async fn primary(&self) -> Result<usize, KitError> {
        let client = self.client().await?;
        let hello = client.database("admin").run_command(doc! { "hello": 1 }).await?;
        let leads = hello.get_str("me")?;
        let place = self.members.iter().position(|member| member.address() == leads);
        Ok(place.ok_or("none of the members leads")?)
    }

    /// Who leads stops leading; waits until another member does, or in a set of one this one again.
    ///
    /// # Errors
    /// When none does for a minute.
    pub async fn step_down(&self) -> Result<(), KitError> {
        let client = self.client().await?;
        let admin = client.database("admin");
        // an error: it leads no more, and may have closed the connection
        drop(admin.run_command(doc! { "replSetStepDown": 5, "force": true }).await);
        admin.run_command(doc! { "ping": 1 }).await?;
        Ok(())
    }

    /// Has the next `times` of these commands fail on the member that leads, as MongoDB's `failCommand` does.
    ///
    /// # Errors
    /// When it does not do that.
    pub async fn fail(&self, times: i32, data: Document) -> Result<(), KitError> {
        let client = self.client().await?;
        let fail =
            doc! { "configureFailPoint": "failCommand", "mode": { "times": times }, "data": data };
        client.database("admin").run_command(fail).await?;
        Ok(())
    }
}
