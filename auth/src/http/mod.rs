//! An application is asked by HTTP whether a password is right: a POST with JSON for each question.
//!
//! | request | answer |
//! |---|---|
//! | `{"op":"check","user":"romeo","host":"example.org","jid":"romeo@example.org","password":"…"}` | `{"result":true}`; `"disabled":true` when the account is; `"fingerprint":"…"`, another text when the password is another |
//! | `{"op":"exists",…}`, without a password | `{"result":true}`, with the same |
//! | `{"op":"set_password",…}`, if it is allowed | `{"result":true}`, with the same |
//!
//! Only a whole 200 with such an object is an answer. Anything else, a redirect too, is an error: the client may try again later,
//! and nobody logs on. `false` is an answer, and has status 200 too.
//!
//! Connections are kept alive. Each is a task of a pool in the tree ([`HttpAuth::tree`]): hyper starts them through its executor.
//! A request that breaks off on its connection is made once more on another: servers close them whenever they like, and each
//! question may be asked twice.

mod breaker;
mod client;
mod source;

use breaker::Breaker;
use client::Client;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use supervision::{ChildSpec, PoolSpec, System};
use thiserror::Error;
use tokio::{sync::Semaphore, time::timeout};
use xmpp::jid::BareJid;
use zeroize::Zeroizing;

/// The name of the pool of connections, with that of the host.
const POOL: &str = "http_authentication";

/// Longest answer, in bytes.
pub const ANSWER: usize = 16 << 10;

/// Longest fingerprint, in bytes.
pub const FINGERPRINT: usize = 256;

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Whose users: each host has connections of its own.
    pub host: String,
    /// `https://…`; `http://…` of this machine (`localhost`, `127.0.0.1`, `[::1]`).
    pub url: String,
    /// `http://…` of another machine too: whoever is in between reads the passwords.
    pub plaintext: bool,
    /// Sent with each request as `Authorization: Bearer …`, so that not everybody can try passwords there.
    pub secret: Option<Zeroizing<String>>,
    /// Authorities in PEM that may have signed the certificate; without them those of the system.
    pub authorities: Option<String>,
    /// Whether passwords may be set.
    pub may_set: bool,
    /// Requests at a time, thus connections.
    pub concurrency: usize,
    /// Requests that wait for one of those to end; beyond it they are refused.
    pub queue: usize,
    /// How long a request may take, waiting for its turn included.
    pub deadline: Duration,
    /// After so many that had no answer in a row nobody is asked for `pause`, and then one is.
    pub failures: u32,
    /// See `failures`.
    pub pause: Duration,
}

impl HttpOptions {
    /// The defaults for the users of `host`, with `url`.
    pub fn new(host: &str, url: &str) -> Self {
        Self {
            host: host.to_owned(),
            url: url.to_owned(),
            plaintext: false,
            secret: None,
            authorities: None,
            may_set: false,
            concurrency: 32,
            queue: 256,
            deadline: Duration::from_secs(5),
            failures: 5,
            pause: Duration::from_secs(5),
        }
    }
}

/// Why there is no client.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SetupError {
    /// Not a URL of HTTP with a host, or with a user in it.
    #[error("{0} is no URL of http or https")]
    Url(String),
    /// Passwords would cross a network in clear.
    #[error("{0} is not encrypted, and on another machine: write https://")]
    Plaintext(String),
    /// The secret has letters that a header cannot have.
    #[error("the secret is not made of visible ASCII characters")]
    Secret,
    /// The authorities are no certificates in PEM, or the system has none.
    #[error("no authorities: {0}")]
    Authorities(String),
}

/// Why there is no answer: a failure that passes (`temporary-auth-failure`).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// Too many wait.
    #[error("too many requests wait")]
    Full,
    /// It has not answered for a while, and is left alone.
    #[error("it did not answer before, and is not asked now")]
    Paused,
    /// It took longer than the deadline.
    #[error("no answer in time")]
    Deadline,
    /// No connection, or it broke off.
    #[error("no answer: {0}")]
    Broken(String),
    /// Another status than 200.
    #[error("it answered with status {0}")]
    Status(u16),
    /// No such object, or too long.
    #[error("it answered something that is no answer")]
    Malformed,
    /// Passwords may not be set.
    #[error("passwords are not set here")]
    NotAllowed,
}

impl HttpError {
    /// Whether it was not there at all, or a proxy says so. What it answers to one user's request, 500 say, says nothing of the
    /// others.
    fn is_down(&self) -> bool {
        matches!(self, Self::Deadline | Self::Broken(_) | Self::Status(429 | 502..=504))
    }
}

/// What the application says of a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Checked {
    /// Whether it is right.
    pub result: bool,
    /// Whether the account is disabled.
    #[serde(default)]
    pub disabled: bool,
    /// Another text when the password is another.
    #[serde(default)]
    pub fingerprint: Option<String>,
}

#[derive(Serialize)]
struct Question<'a> {
    op: &'a str,
    user: &'a str,
    host: &'a str,
    jid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
}

/// Asks an application.
pub struct HttpAuth {
    client: Client,
    options: HttpOptions,
    turns: Semaphore,
    places: Semaphore,
    breaker: Mutex<Breaker>,
}

impl HttpAuth {
    /// A client whose connections are tasks of `system`, once [`HttpAuth::tree`] has started there.
    ///
    /// # Errors
    /// When it cannot be used as configured.
    pub fn new(options: HttpOptions, system: &System) -> Result<Self, SetupError> {
        let concurrency = options.concurrency.clamp(1, Semaphore::MAX_PERMITS / 2);
        let places = options.queue.min(Semaphore::MAX_PERMITS / 2).saturating_add(concurrency);
        Ok(Self {
            client: Client::new(&options, system)?,
            turns: Semaphore::new(concurrency),
            places: Semaphore::new(places),
            breaker: Mutex::new(Breaker::new(options.failures, options.pause)),
            options,
        })
    }

    /// The pool of its connections.
    pub fn tree(&self, id: &str) -> ChildSpec {
        // those that are idle, and those that are being made meanwhile
        let max = self.options.concurrency.saturating_mul(4).max(16);
        ChildSpec::tasks(id, &pool(&self.options.host), PoolSpec { max, ..PoolSpec::default() })
    }

    /// Whether it is the user's password.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn check(&self, user: &BareJid, password: &str) -> Result<Checked, HttpError> {
        self.ask("check", user, Some(password)).await
    }

    /// Whether there is such a user.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn exists(&self, user: &BareJid) -> Result<Checked, HttpError> {
        self.ask("exists", user, None).await
    }

    /// Sets the user's password; `false`: the application does not take it.
    ///
    /// # Errors
    /// When there is no answer, or it is not allowed.
    pub async fn set_password(&self, user: &BareJid, password: &str) -> Result<Checked, HttpError> {
        if !self.options.may_set {
            return Err(HttpError::NotAllowed);
        }
        self.ask("set_password", user, Some(password)).await
    }

    /// How many requests wait or are being made.
    pub fn waiting(&self) -> usize {
        let concurrency = self.options.concurrency.max(1);
        (concurrency + self.options.queue).saturating_sub(self.places.available_permits())
    }

    async fn ask(
        &self,
        op: &str,
        user: &BareJid,
        password: Option<&str>,
    ) -> Result<Checked, HttpError> {
        let _place = self.places.try_acquire().map_err(|_| HttpError::Full)?;
        if !self.breaker.lock().allows(Instant::now()) {
            return Err(HttpError::Paused);
        }
        let answer = self.answer(op, user, password).await;
        if let Err(error) = &answer {
            let Self { options: HttpOptions { host, url, .. }, .. } = self;
            tracing::warn!(host, url, %error, "a web service did not say who may log on");
        }
        answer
    }

    async fn answer(
        &self,
        op: &str,
        user: &BareJid,
        password: Option<&str>,
    ) -> Result<Checked, HttpError> {
        let jid = user.as_str();
        let local = jid.split_once('@').map_or(jid, |(local, _)| local);
        let question = Question { op, user: local, host: user.domain(), jid, password };
        let body = serde_json::to_vec(&question).map(Zeroizing::new);
        let body = body.map_err(|_| HttpError::Malformed)?;
        let asked = async {
            // it is never closed
            let _turn = self.turns.acquire().await.map_err(|_| HttpError::Full)?;
            self.client.post(&body).await
        };
        let answer = timeout(self.options.deadline, asked).await;
        let answer = answer.unwrap_or(Err(HttpError::Deadline));
        let down = answer.as_ref().is_err_and(HttpError::is_down);
        let opened = self.breaker.lock().note(down, Instant::now());
        if opened {
            tracing::warn!(
                url = self.options.url,
                "no answer from authentication by HTTP: it is left alone for a while"
            );
        }
        read(&answer?)
    }
}

fn pool(host: &str) -> String {
    format!("{POOL}_{host}")
}

fn read(body: &[u8]) -> Result<Checked, HttpError> {
    let answer: Checked = serde_json::from_slice(body).map_err(|_| HttpError::Malformed)?;
    match &answer.fingerprint {
        Some(text) if text.len() > FINGERPRINT => Err(HttpError::Malformed),
        // it says nothing
        Some(text) if text.is_empty() => Ok(Checked { fingerprint: None, ..answer }),
        _ => Ok(answer),
    }
}
