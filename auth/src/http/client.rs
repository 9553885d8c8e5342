//! One URL, HTTP/1.1, connections that are kept alive: hyper's client and rustls.

use super::{ANSWER, HttpError, HttpOptions, SetupError, pool};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri, header, header::HeaderValue, rt::Executor};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use supervision::{System, Tasks};
use zeroize::Zeroizing;

/// Most bytes of the head of an answer.
const HEAD: usize = 16 << 10;

/// How long a connection may be idle and still be used.
const IDLE: Duration = Duration::from_secs(30);

pub(super) struct Client {
    client: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    secret: Option<HeaderValue>,
}

/// hyper's tasks are tasks of the tree. Without their pool, or when it is full, they are dropped, and the request fails.
#[derive(Clone)]
struct Supervised {
    system: System,
    pool: String,
}

impl<F> Executor<F> for Supervised
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        if let Some(tasks) = Tasks::find(&self.system, &self.pool) {
            drop(tasks.spawn(task));
        }
    }
}

impl Client {
    pub(super) fn new(options: &HttpOptions, system: &System) -> Result<Self, SetupError> {
        let uri = uri(options)?;
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(options.deadline));
        let https = HttpsConnectorBuilder::new().with_tls_config(tls(options)?);
        let https = https.https_or_http().enable_http1().wrap_connector(http);
        let (system, pool) = (system.clone(), pool(&options.host));
        let client = legacy::Client::builder(Supervised { system, pool })
            .pool_max_idle_per_host(options.concurrency.max(1))
            .pool_idle_timeout(IDLE)
            .http1_max_buf_size(HEAD)
            .build(https);
        let secret = options.secret.as_ref().map(|secret| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.as_str()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let secret =
            secret.transpose().map_err(|_: header::InvalidHeaderValue| SetupError::Secret)?;
        Ok(Self { client, uri, secret })
    }

    /// The body of an answer with status 200.
    pub(super) async fn post(&self, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, HttpError> {
        match self.once(body).await {
            Err(Failure { again: true, .. }) => self.once(body).await.map_err(|f| f.error),
            other => other.map_err(|failure| failure.error),
        }
    }

    async fn once(&self, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::ACCEPT, json.clone());
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(secret) = &self.secret {
            headers.insert(header::AUTHORIZATION, secret.clone());
        }
        let response = self.client.request(request).await.map_err(|error| Failure {
            again: !error.is_connect(),
            error: HttpError::Broken(chain(&error)),
        })?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(Failure { again: false, error: HttpError::Status(status.as_u16()) });
        }
        match Limited::new(response.into_body(), ANSWER).collect().await {
            Ok(body) => Ok(Zeroizing::new(body.to_bytes().to_vec())),
            Err(error) => {
                let broken = error.downcast_ref::<hyper::Error>();
                let broken = broken.map(|error| HttpError::Broken(chain(error)));
                Err(Failure {
                    again: broken.is_some(),
                    error: broken.unwrap_or(HttpError::Malformed),
                })
            }
        }
    }
}

struct Failure {
    /// Whether it was the connection's.
    again: bool,
    error: HttpError,
}

/// What an error says, and what those behind it say.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn uri(options: &HttpOptions) -> Result<Uri, SetupError> {
    let wrong = || SetupError::Url(options.url.clone());
    let uri: Uri = options.url.parse().map_err(|_| wrong())?;
    let authority = uri.authority().ok_or_else(wrong)?;
    if authority.as_str().contains('@') || authority.host().is_empty() {
        // the secret is for that, and is not logged
        return Err(SetupError::Url(format!("…{}", authority.host())));
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if options.plaintext || is_here(authority.host()) => Ok(uri),
        Some("http") => Err(SetupError::Plaintext(options.url.clone())),
        _ => Err(wrong()),
    }
}

fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn tls(options: &HttpOptions) -> Result<ClientConfig, SetupError> {
    let wrong = |error: String| SetupError::Authorities(error);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?;
    let Some(pem) = &options.authorities else { return native(options, config) };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let added = certificate
            .map_err(|e| e.to_string())
            .and_then(|der| roots.add(der).map_err(|e| e.to_string()));
        added.map_err(wrong)?;
    }
    if roots.is_empty() {
        return Err(wrong("there are no certificates in the text".to_owned()));
    }
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// With the system's authorities; without any when nothing is encrypted anyway.
fn native(
    options: &HttpOptions,
    config: rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>,
) -> Result<ClientConfig, SetupError> {
    use hyper_rustls::ConfigBuilderExt;
    if !options.url.starts_with("https:") {
        let none = config.with_root_certificates(RootCertStore::empty());
        return Ok(none.with_no_client_auth());
    }
    let native = config.with_native_roots();
    let native = native.map_err(|error| SetupError::Authorities(error.to_string()))?;
    Ok(native.with_no_client_auth())
}
