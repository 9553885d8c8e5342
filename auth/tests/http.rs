//! An application that is asked by HTTP, in Python's http.server (`tests/interop/auth_server.py`), at its best and at its worst.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use auth::http::{Checked, HttpAuth, HttpError, HttpOptions, SetupError};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use supervision::{SupervisorRef, SupervisorSpec, System};
use xmpp::jid::BareJid;
use zeroize::Zeroizing;

/// Long enough that what depends on it was not meant to be reached.
const PATIENCE: Duration = Duration::from_secs(60);

struct Application {
    process: Child,
    says: Value,
}

impl Drop for Application {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

impl Application {
    fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let python = root.join("target/interop/venv/bin/python");
        assert!(python.exists(), "a library is not installed: run the tests by `cargo xtask test`");
        let mut command = Command::new(python);
        command.arg(root.join("tests/interop/auth_server.py"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, says: serde_json::from_str(&line).unwrap() }
    }

    fn at(&self, path: &str) -> HttpOptions {
        let url = format!("http://127.0.0.1:{}/{path}", self.says["http"]);
        HttpOptions { deadline: PATIENCE, ..HttpOptions::new("example.org", &url) }
    }

    fn tls(&self, host: &str, authorities: Option<&str>) -> HttpOptions {
        let url = format!("https://{host}:{}/good", self.says["https"]);
        let authorities = authorities.map(str::to_owned);
        HttpOptions { authorities, deadline: PATIENCE, ..HttpOptions::new("example.org", &url) }
    }
}

struct Node {
    client: Arc<HttpAuth>,
    system: System,
    root: SupervisorRef,
}

async fn node(options: HttpOptions) -> Node {
    let system = System::new("test");
    let client = HttpAuth::new(options, &system).unwrap();
    let root = system.start(SupervisorSpec::one_for_one().child(client.tree("http"))).await;
    Node { client: Arc::new(client), system, root: root.unwrap() }
}

impl Node {
    async fn check(&self, user: &str, password: &str) -> Result<Checked, HttpError> {
        self.client.check(&BareJid::new(user, "example.org").unwrap(), password).await
    }

    async fn stop(self) {
        self.root.stop().await;
        assert_eq!(self.system.alive(), 0);
    }
}

async fn asked(options: HttpOptions) -> Result<Checked, HttpError> {
    let node = node(options).await;
    let answer = node.check("romeo", "pencil").await;
    node.stop().await;
    answer
}

#[tokio::test]
async fn passwords_are_checked_over_one_connection_that_is_a_process() {
    let application = Application::start();
    let node = node(HttpOptions { may_set: true, ..application.at("good") }).await;
    let right = node.check("romeo", "pencil").await.unwrap();
    assert!(right.result && !right.disabled);
    assert!(!node.check("romeo", "Pencil").await.unwrap().result);
    assert!(!node.check("nobody", "pencil").await.unwrap().result);
    assert!(node.check("jürgen", "Grüße").await.unwrap().result);
    let off = node.check("off", "pencil").await.unwrap();
    assert!(off.result && off.disabled);
    assert_eq!(off.fingerprint, right.fingerprint, "it is the client's port");
    let user = BareJid::new("romeo", "example.org").unwrap();
    assert!(node.client.exists(&user).await.unwrap().result);
    assert!(!node.client.exists(&BareJid::new("x", "example.org").unwrap()).await.unwrap().result);
    assert!(node.client.set_password(&user, "new").await.unwrap().result);
    assert!(node.check("romeo", "new").await.unwrap().result);
    assert_eq!(node.client.waiting(), 0);
    // the root, the pool, and the connection in it
    assert_eq!(node.system.processes(9).iter().filter(|p| p.path.starts_with("/http/")).count(), 1);
    node.stop().await;
}

#[tokio::test]
async fn only_a_whole_answer_is_one() {
    let application = Application::start();
    for body in 0..application.says["bodies"].as_u64().unwrap() {
        let answer = asked(application.at(&format!("says/{body}"))).await;
        assert_eq!(answer, Err(HttpError::Malformed), "body {body}");
    }
    for status in [201, 204, 206, 400, 401, 403, 404, 429, 500, 502, 503] {
        let answer = asked(application.at(&format!("status/{status}"))).await;
        assert_eq!(answer, Err(HttpError::Status(status)));
    }
    for status in [301, 302, 303, 307, 308] {
        let answer = asked(application.at(&format!("redirect/{status}"))).await;
        assert_eq!(answer, Err(HttpError::Status(status)), "nobody goes there");
    }
    for path in ["long", "endless"] {
        assert_eq!(asked(application.at(path)).await, Err(HttpError::Malformed), "{path}");
    }
    let broken = |answer: &Result<Checked, HttpError>| matches!(answer, Err(HttpError::Broken(_)));
    for path in ["no-http", "endless-head", "cut-chunked", "two"] {
        let answer = asked(application.at(path)).await;
        assert!(
            broken(&answer) || path == "two" && answer == Err(HttpError::Malformed),
            "{path}: {answer:?}"
        );
    }
    // up to the last byte but one
    for cut in [0, 5, 17, 30, 38, 39, 45, 53] {
        let answer = asked(application.at(&format!("cut/{cut}"))).await;
        assert!(broken(&answer), "{cut}: {answer:?}");
    }
    assert!(asked(application.at("cut/99")).await.unwrap().result);
}

#[tokio::test]
async fn a_connection_that_the_server_closes_costs_nobody_an_answer() {
    let application = Application::start();
    for path in ["closes", "closes-once"] {
        let node = node(application.at(path)).await;
        for _ in 0..20 {
            assert!(node.check("romeo", "pencil").await.unwrap().result, "{path}");
        }
        node.stop().await;
    }
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_left_alone_for_a_while() {
    let application = Application::start();
    for path in ["silent", "trickle"] {
        let deadline = Duration::from_millis(50);
        let node =
            node(HttpOptions { deadline, failures: 2, pause: PATIENCE, ..application.at(path) })
                .await;
        for expected in [HttpError::Deadline, HttpError::Deadline, HttpError::Paused] {
            assert_eq!(node.check("romeo", "pencil").await, Err(expected), "{path}");
        }
        node.stop().await;
    }
    // what it answers to one says nothing of others
    let node = node(HttpOptions { failures: 1, ..application.at("status/500") }).await;
    for _ in 0..3 {
        assert_eq!(node.check("romeo", "pencil").await, Err(HttpError::Status(500)));
    }
    node.stop().await;
}

#[tokio::test]
async fn no_more_wait_than_may() {
    let application = Application::start();
    let options = HttpOptions { concurrency: 1, queue: 2, ..application.at("silent") };
    let node = node(options).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut asked = Box::pin(node.check("romeo", "pencil"));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(asked.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
        waiting.push(asked);
    }
    assert_eq!((node.client.waiting(), node.check("a", "b").await), (3, Err(HttpError::Full)));
    drop(waiting);
    assert_eq!(node.client.waiting(), 0);
    node.stop().await;
}

#[tokio::test]
async fn the_secret_is_shown_to_the_application() {
    let application = Application::start();
    let with = |secret: &str| {
        let secret = Some(Zeroizing::new(secret.to_owned()));
        asked(HttpOptions { secret, ..application.at("secret") })
    };
    assert!(with("open sesame").await.unwrap().result);
    assert_eq!(with("open barley").await, Err(HttpError::Status(401)));
    assert_eq!(asked(application.at("secret")).await, Err(HttpError::Status(401)));
}

#[tokio::test]
async fn a_certificate_has_to_be_for_the_host_and_of_an_authority() {
    let application = Application::start();
    let ca = application.says["ca"].as_str().unwrap();
    assert!(asked(application.tls("localhost", Some(ca))).await.unwrap().result);
    for options in [application.tls("127.0.0.1", Some(ca)), application.tls("localhost", None)] {
        let error = asked(options).await.unwrap_err().to_string();
        assert!(error.contains("invalid peer certificate"), "{error}");
    }
    // plain text to the port of TLS, and the other way round
    let crossed = |scheme: &str, port: &str| {
        let url = format!("{scheme}://localhost:{}/good", application.says[port]);
        asked(HttpOptions {
            authorities: Some(ca.to_owned()),
            ..HttpOptions::new("example.org", &url)
        })
    };
    assert!(matches!(crossed("http", "https").await, Err(HttpError::Broken(_))));
    assert!(matches!(crossed("https", "http").await, Err(HttpError::Broken(_))));
}

#[tokio::test]
async fn without_its_pool_nothing_is_asked_and_it_comes_back_with_it() {
    let application = Application::start();
    let node = node(application.at("good")).await;
    assert!(node.check("romeo", "pencil").await.unwrap().result);
    let Node { client, root, .. } = node;
    root.stop().await;
    let user = BareJid::new("romeo", "example.org").unwrap();
    assert!(matches!(client.check(&user, "pencil").await, Err(HttpError::Broken(_))));
    let gone = HttpAuth::new(
        HttpOptions::new("example.org", "http://127.0.0.1:1/"),
        &System::new("other"),
    )
    .unwrap();
    assert!(matches!(gone.exists(&user).await, Err(HttpError::Broken(_))));
    assert_eq!(gone.set_password(&user, "x").await, Err(HttpError::NotAllowed));
}

#[test]
fn what_cannot_be_asked_safely_is_not_configured() {
    let of = |url: &str| {
        HttpAuth::new(HttpOptions::new("example.org", url), &System::new("test")).map(drop)
    };
    let plaintext =
        |url: &str| HttpOptions { plaintext: true, ..HttpOptions::new("example.org", url) };
    for good in ["http://localhost/a", "http://127.0.0.1:8000", "http://[::1]:80/x?y"] {
        assert_eq!(of(good), Ok(()), "{good}");
    }
    for url in ["http://example.org/", "http://localhost.example.org/", "http://10.0.0.1/"] {
        assert_eq!(of(url), Err(SetupError::Plaintext(url.to_owned())));
        assert!(HttpAuth::new(plaintext(url), &System::new("test")).is_ok());
    }
    for url in ["", "/a", "ftp://localhost/", "localhost", "http://a:b@localhost/", "http:///a"] {
        let error = of(url).unwrap_err();
        assert!(matches!(error, SetupError::Url(_)) && !error.to_string().contains("a:b"), "{url}");
    }
    let mut options = HttpOptions::new("example.org", "http://localhost/");
    options.secret = Some(Zeroizing::new("a\nb".to_owned()));
    assert_eq!(HttpAuth::new(options, &System::new("test")).map(drop), Err(SetupError::Secret));
    for authorities in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let mut options = HttpOptions::new("example.org", "https://localhost/");
        options.authorities = Some(authorities.to_owned());
        let made = HttpAuth::new(options, &System::new("test")).map(drop);
        assert!(matches!(made, Err(SetupError::Authorities(_))), "{authorities}");
    }
}
