//! `--node`: what other nodes are asked for an operator of this one, and what they answer.

use super::{ROWS, Rows, run};
use crate::{
    admin::protocol::{AnswerRow, Done, Refusal, Request, Row},
    node::shared::Shared,
};
use bytes::Bytes;
use cluster::{Answering, BoxFuture};
use futures_util::future::join_all;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use supervision::Node;
use tokio::sync::mpsc;

/// How long a node has to answer, besides what metering takes.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most bytes that one answers.
const ANSWER: usize = 1 << 20;

/// Whether other nodes may ask it: what only looks, and the end of a session.
fn may(request: &Request) -> bool {
    matches!(
        request,
        Request::Tree {}
            | Request::Ps { .. }
            | Request::Sessions { .. }
            | Request::Kick { .. }
            | Request::CrashList { .. }
            | Request::Nodes { .. }
            | Request::RegistryStats {}
    )
}

/// Asks one node, or all that are alive, at the same time.
pub(super) async fn ask(
    node: &Arc<Shared>,
    name: &str,
    request: Request,
    rows: &Rows,
) -> Result<Done, Refusal> {
    if !may(&request) {
        return Err(Refusal::new("that is not done for other nodes: ask it there"));
    }
    let me = node.env.node;
    let mut nodes: Vec<Node> = vec![me];
    nodes.extend(
        node.nodes
            .iter()
            .flat_map(|joined| joined.view.others().keys().copied().collect::<Vec<_>>()),
    );
    if name != "all" {
        nodes.retain(|node| &*node.name() == name);
    }
    if nodes.is_empty() {
        let why = format!("there is no node {name} that is alive; see `mangrove nodes`");
        return Err(Refusal::new(why));
    }
    let answers = nodes.into_iter().map(|whom| {
        let request = request.clone();
        async move {
            match whom == me {
                true => answer(node, request).await,
                false => ask_other(node, whom, &request).await,
            }
        }
    });
    for answer in join_all(answers).await {
        rows.send(Row::Answer(answer)).await?;
    }
    Ok(Done::default())
}

async fn ask_other(node: &Shared, whom: Node, request: &Request) -> AnswerRow {
    let failed = |why: String| AnswerRow {
        node: whom.to_string(),
        rows: Vec::new(),
        of: None,
        error: Some(Refusal::new(why)),
    };
    let Some(joined) = &node.nodes else { return failed("there are no other nodes".to_owned()) };
    let question = match serde_json::to_vec(request) {
        Ok(question) => Bytes::from(question),
        Err(error) => return failed(error.to_string()),
    };
    let patience = match request {
        Request::Ps { seconds, .. } => {
            PATIENCE + Duration::try_from_secs_f64(*seconds).unwrap_or_default()
        }
        _ => PATIENCE,
    };
    match joined.admin.ask(whom, question, patience).await {
        Ok(answer) => serde_json::from_slice(&answer)
            .unwrap_or_else(|error| failed(format!("its answer is not understood: {error}"))),
        Err(error) => failed(error.to_string()),
    }
}

/// What this node answers: as much as fits. Among what it runs is [`ask`], so its type has to be named.
fn answer(node: &Arc<Shared>, request: Request) -> BoxFuture<'_, AnswerRow> {
    Box::pin(async move {
        let (sender, mut rows) = mpsc::channel(ROWS);
        let read = async {
            let (mut all, mut bytes, mut cut) = (Vec::new(), 0, false);
            while let Some(row) = rows.recv().await {
                bytes += serde_json::to_vec(&row).map_or(0, |row| row.len());
                cut |= bytes > ANSWER;
                if !cut {
                    all.push(row);
                }
            }
            (all, cut)
        };
        let (done, (rows, cut)) = tokio::join!(run(request, node, sender), read);
        let more = || Refusal::new("there is more than fits into one answer");
        let (of, error) = match done {
            Ok(done) => (done.of, cut.then(more)),
            Err(refusal) => (None, Some(refusal)),
        };
        AnswerRow { node: node.env.node.to_string(), rows, of, error }
    })
}

/// Answers what other nodes ask.
pub(crate) struct Desk {
    node: Weak<Shared>,
}

impl Desk {
    /// Of that node.
    pub(crate) fn of(node: &Arc<Shared>) -> Self {
        Self { node: Arc::downgrade(node) }
    }
}

impl Answering for Desk {
    fn answer(&self, from: Node, question: Bytes) -> BoxFuture<'static, Option<Bytes>> {
        let node = self.node.upgrade();
        Box::pin(async move {
            // of a later version, say
            let request: Request = serde_json::from_slice(&question).ok()?;
            let node = node.filter(|_| may(&request))?;
            if let Request::Kick { jid } = &request {
                tracing::info!(%from, jid = jid.as_str(), "kick, for an operator of another node");
            }
            let answer = answer(&node, request).await;
            serde_json::to_vec(&answer).ok().map(Bytes::from)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_nodes_may_look_and_end_sessions_and_nothing_else() {
        let jid = || "a@localhost".parse().unwrap();
        let tree = || Box::new(Request::Tree {});
        for (request, is) in [
            (Request::Tree {}, true),
            (Request::Sessions { host: None, user: None, limit: 1 }, true),
            (Request::Kick { jid: jid() }, true),
            (Request::Stop {}, false),
            (Request::AccountAdd { accounts: vec![] }, false),
            (Request::RegistryRebuild {}, false),
            (Request::QuarantineShow { id: 1 }, false),
            (Request::On { node: "all".to_owned(), request: tree() }, false),
        ] {
            assert_eq!(may(&request), is, "{request:?}");
        }
    }
}
