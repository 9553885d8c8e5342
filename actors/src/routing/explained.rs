//! Where a stanza would go at this moment, and why, for operators: what [`super::route`] does, in words. Nothing is sent.

use super::{elsewhere, whereabouts::here};
use crate::{
    env::Env,
    remote::{
        Cluster,
        outbound::{Located, elsewhere as there, locate},
    },
    resource::{Owner, Resource},
};
use cluster::{Record, Start};
use std::{collections::BTreeSet, sync::Arc};
use xmpp::jid::{BareJid, Jid};

/// A session here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its resource.
    pub resource: String,
    /// Whether it has a connection.
    pub connected: bool,
    /// Of its presence; `None`: it is not available.
    pub priority: Option<i8>,
}

/// What is known of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// Sessions on this node.
    pub here: Vec<Session>,
    /// And on others.
    pub there: Vec<Record>,
    /// How it is known who is there: "this node", "the cache", "the registry", "the other nodes", or "unknown": some do not answer.
    pub by: &'static str,
    /// Where a message of type chat goes.
    pub message: String,
    /// Where an IQ request goes.
    pub iq: String,
}

/// Where a chat message and a request for that address would go now.
pub async fn explain(env: &Env, to: &Jid) -> Explained {
    let both = |text: String| Explained {
        by: "this node",
        message: text.clone(),
        iq: text,
        ..Explained::default()
    };
    if env.hosts.find(to).is_none() {
        return both(match env.service(to) {
            Some(service) => format!("to the service {}", service.info.domain),
            None => "back: its domain is not served here (remote-server-not-found)".to_owned(),
        });
    }
    if to.node().is_none() {
        return both("to the server itself".to_owned());
    }
    let user = to.bare();
    let session = |resource: &Arc<Resource>| Session {
        resource: resource.jid().resource().to_owned(),
        connected: matches!(resource.owner(), Owner::Attached(_)),
        priority: resource.priority(),
    };
    let here: Vec<Session> = here(env, &user).iter().map(session).collect();
    let (there, by) = match &env.cluster {
        None => (Vec::new(), "this node"),
        Some(cluster) => found(env, cluster, &user).await,
    };
    let known = Known { here: &here, there: &there, all: by != "unknown" };
    let waits = env.cluster.as_ref().is_some_and(|cluster| cluster.custody.has(&user));
    let was = env.stores.accounts.was_there(&user).await;
    let nobody = match was {
        Ok(true) => "to offline storage: no session takes it",
        Ok(false) => "back: there is no such account (service-unavailable)",
        Err(_) => "back: the store does not say whether there is such an account",
    };
    let (message, iq) = match to.resource() {
        Some(resource) => known.full(resource, nobody),
        None => (known.account(nobody), "answered here, for the account".to_owned()),
    };
    let behind = "into custody here, behind what waits already for the user";
    Explained { message: if waits { behind.to_owned() } else { message }, iq, here, there, by }
}

async fn found(env: &Env, cluster: &Cluster, user: &BareJid) -> (Vec<Record>, &'static str) {
    if let Some(records) = env.registry.cached(user.as_str()) {
        return (there(cluster, &records).cloned().collect(), "the cache");
    }
    let answers = env.registry.lookup(user.as_str()).await.is_ok();
    let (records, by) = match locate(env, cluster, user).await {
        Located::Known(records) if answers => (records, "the registry"),
        Located::Known(records) => (records, "the other nodes"),
        Located::Partly(records) => (records, "unknown"),
    };
    (there(cluster, &records).cloned().collect(), by)
}

struct Known<'a> {
    here: &'a [Session],
    there: &'a [Record],
    /// There are no others.
    all: bool,
}

/// A message of which nobody knows where it belongs.
const UNKNOWN: &str =
    "into custody here: the registry is away, and a node that may have the user does not answer";

impl Known<'_> {
    /// RFC 6121 section 8.5.3.
    fn full(&self, resource: &str, nobody: &str) -> (String, String) {
        let same = |text: String| (text.clone(), text);
        if self.here.iter().any(|session| session.resource == resource) {
            return same("to its session here".to_owned());
        }
        if let Some(record) = self.there.iter().find(|record| &*record.resource == resource) {
            return same(format!("to node {}, which has the session", record.token.node));
        }
        if !self.all {
            let iq = "back: it is not known where its session is (resource-constraint)";
            return (UNKNOWN.to_owned(), iq.to_owned());
        }
        let account = self.account(nobody);
        let iq = "back: there is no such session (service-unavailable)";
        (format!("there is no such session; as for the account: {account}"), iq.to_owned())
    }

    /// RFC 6121 section 8.5.2.1.1: to the most available of all.
    fn account(&self, nobody: &str) -> String {
        if !self.all {
            return UNKNOWN.to_owned();
        }
        let takes = |priority: Option<i8>| priority.filter(|priority| *priority >= 0);
        let best = self.here.iter().filter_map(|session| takes(session.priority)).max();
        let (top, nodes) = elsewhere::best_of(self.there);
        let names = |nodes: BTreeSet<_>| {
            let names = nodes.into_iter().map(|start: Start| start.node.to_string());
            names.collect::<Vec<_>>().join(", ")
        };
        let here = |priority| format!("to the sessions here of priority {priority}");
        match (best, top) {
            (Some(best), Some(top)) if best == top => {
                format!("{}, and to node {}", here(best), names(nodes))
            }
            (best, Some(top)) if best.is_none_or(|best| best < top) => {
                format!("to node {}, which has sessions of priority {top}", names(nodes))
            }
            (Some(best), _) => here(best),
            (None, _) if !self.here.is_empty() => {
                format!("{nobody}; sessions here have none that is 0 or more")
            }
            (None, _) => match self.there.iter().map(|record| record.token.node).min() {
                Some(node) => {
                    format!("to node {node}, which has a session that takes none now, and decides")
                }
                None => nobody.to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cluster::Token;
    use supervision::Node;

    fn record(node: &str, resource: &str, priority: Option<i8>) -> Record {
        let token = Token { node: Node::new(node).unwrap(), incarnation: 1, session: 1 };
        Record { resource: resource.into(), token, priority, seq: 1 }
    }

    #[test]
    fn the_most_available_of_all_nodes_gets_a_message() {
        let session = |priority| Session { resource: "r".to_owned(), connected: true, priority };
        let there =
            [record("n2", "a", Some(1)), record("n3", "b", Some(1)), record("n2", "c", None)];
        let account =
            |here: &[Session], there: &[Record], all| Known { here, there, all }.account("nobody");
        for (priority, wanted) in [
            (Some(2), "to the sessions here of priority 2"),
            (Some(1), "to the sessions here of priority 1, and to node n2, n3"),
            (Some(0), "to node n2, n3, which has sessions of priority 1"),
            (None, "to node n2, n3, which has sessions of priority 1"),
        ] {
            assert_eq!(account(&[session(priority)], &there, true), wanted);
        }
        assert_eq!(account(&[], &[], true), "nobody");
        assert_eq!(account(&[session(Some(2))], &[], false), UNKNOWN);
        assert!(account(&[], &there[2..], true).starts_with("to node n2, which has a session"));
    }

    #[test]
    fn a_full_address_goes_where_its_session_is() {
        let there = [record("n2", "a", None)];
        let full = |all, resource| Known { here: &[], there: &there, all }.full(resource, "nobody");
        assert_eq!(full(false, "a").0, "to node n2, which has the session");
        assert_eq!(full(false, "b").0, UNKNOWN);
        let (message, iq) = full(true, "b");
        assert!(message.starts_with("there is no such session; as for the account: to node n2"));
        assert!(iq.ends_with("(service-unavailable)"));
    }
}
