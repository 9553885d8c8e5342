//! `/metrics`, `/live` and `/ready` over HTTP/1.1. It reads nothing but heads; a connection is a
//! process, has limits in bytes, in time and in number, and one that waits for a request makes room
//! for another (see [`Guests`]).

use super::metrics;
use crate::node::shared::Shared;
use actors::{
    accept::{Progress, Stage},
    gate::Guests,
    listener,
    throttle::address_of,
};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue, VARY},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, fmt, sync::Arc, time::Duration};
use supervision::{Cx, Exit, InitError, Process, SupervisorSpec};
use tokio::net::{TcpListener, TcpStream};

/// Connections at a time, where the limit of open files allows them.
pub(crate) const CONNECTIONS: usize = 64;
/// The largest head of a request, in bytes.
const HEAD: usize = 16 << 10;
/// The most header fields of a request.
const FIELDS: usize = 64;
/// How long a client may take for the head of a request, or say nothing between two.
const QUIET: Duration = Duration::from_secs(30);
/// How long a connection is kept at most.
const LIFE: Duration = Duration::from_secs(600);

/// The supervisor of the listeners and their connections.
pub(crate) fn spec(
    sockets: &[Arc<TcpListener>],
    shared: &Arc<Shared>,
    max: usize,
) -> SupervisorSpec {
    let (node, gate) = (Arc::clone(shared), Guests::new(&shared.env, max, address_of));
    listener::guests::<_, Visitor>("visitors", gate, sockets, move |visitor| {
        (visitor.stream, Arc::clone(&node), visitor.progress)
    })
}

/// The process of a connection.
pub(crate) struct Visitor {
    stream: Option<TcpStream>,
    node: Arc<Shared>,
    progress: Progress,
}

impl fmt::Debug for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Visitor")
    }
}

impl Process for Visitor {
    type Args = (TcpStream, Arc<Shared>, Progress);
    type Msg = Infallible;
    const NAME: &'static str = "visitor";
    const INBOX: usize = 1;

    async fn init(
        (stream, node, progress): Self::Args,
        cx: &mut Cx<Infallible>,
    ) -> Result<Self, InitError> {
        cx.trap_exit(true);
        Ok(Self { stream: Some(stream), node, progress })
    }

    async fn run(&mut self, cx: &mut Cx<Infallible>) -> Exit {
        let Some(stream) = self.stream.take() else { return Exit::Normal };
        let (node, progress) = (Arc::clone(&self.node), self.progress.clone());
        let service = service_fn(move |request| {
            let (node, progress) = (Arc::clone(&node), progress.clone());
            async move {
                progress.set(Stage::Settled);
                let answer = answer(&request, &node).await;
                progress.set(Stage::Waiting);
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(QUIET)
            .max_buf_size(HEAD)
            .max_headers(FIELDS)
            .serve_connection(TokioIo::new(stream), service);
        let connection = Box::pin(tokio::time::timeout(LIFE, connection));
        tokio::select! {
            biased;
            reason = self.progress.ended(cx) => reason,
            served = connection => {
                if let Ok(Err(error)) = served {
                    tracing::debug!(%error, "an HTTP connection is lost");
                }
                Exit::Normal
            }
        }
    }
}

async fn answer(request: &Request<Incoming>, node: &Shared) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/live" => text(StatusCode::OK, "live\n".to_owned()),
        "/ready" => match node.ready().await {
            Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        "/metrics" => {
            let accept = request.headers().get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok());
            let format = metrics::format(&accept.collect::<Vec<_>>().join(","));
            let mut page = text(StatusCode::OK, metrics::page(node, format));
            let kind = HeaderValue::from_static(format.content_type());
            page.headers_mut().insert(CONTENT_TYPE, kind);
            page.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
            page
        }
        _ => text(StatusCode::NOT_FOUND, "there is /metrics, /live and /ready\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
