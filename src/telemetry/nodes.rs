//! What the page of `/metrics` has of other nodes and of the registry. Labels are names of nodes and of operations.

use crate::{cluster::join::Joined, node::shared::Shared};
use actors::{
    metrics::{Unit, page::Looked},
    remote::Cluster,
};
use cluster::{LinkInfo, link::Traffic, registry::redis::Shown, relay::Waiting};
use std::{collections::BTreeMap, time::Duration};

/// Nothing where there is no registry but the node's memory.
pub(super) fn look(looked: &mut Looked, node: &Shared) {
    let Some(joined) = &node.nodes else { return };
    registry(looked, &joined.redis.shown());
    let help = "How long the registry takes to answer";
    looked.took("mangrove_registry_answer", help, &joined.answers);
    membership(looked, joined);
    if let Some(cluster) = &node.env.cluster {
        relay(looked, cluster);
    }
    let refused = node.system.refused().iter().map(|(_, count)| count).sum();
    let help = "Messages between processes of nodes that were not taken: nobody had said that they may come";
    looked.counter("mangrove_node_messages_refused", help, refused);
    if let Some(all) = &joined.links {
        links(looked, &all.info());
    }
}

fn registry(looked: &mut Looked, shown: &Shown) {
    let calls = shown.calls.iter().map(|(kind, count)| (kind.name().to_owned(), *count));
    let of = ("mangrove_registry_calls", None, "Calls of the registry");
    looked.each_so_far(of, "operation", calls);
    for (name, help, count) in [
        (
            "errors",
            "Calls of the registry that failed otherwise than by their deadline",
            shown.errors,
        ),
        ("timeouts", "Calls of the registry that were not answered in time", shown.timeouts),
        (
            "not_asked",
            "Calls that were not made: the registry was away, or too many were on their way",
            shown.refused,
        ),
        ("cache_hits", "Look-ups that the cache answered", shown.hits),
        ("cache_misses", "Look-ups that the cache did not answer", shown.misses),
        (
            "cache_invalidations",
            "Users of whom the registry said that they changed",
            shown.invalidations,
        ),
        ("cache_flushes", "How often the cache was emptied", shown.flushes),
        ("epochs", "How often the registry was found emptied, or another", shown.epochs),
    ] {
        looked.counter(&format!("mangrove_registry_{name}"), help, count);
    }
    let number = |count: usize| count as f64;
    let help = "Connections to the registry that are there";
    looked.gauge("mangrove_registry_connections", help, number(shown.connected));
    let help = "Calls of the registry on their way";
    looked.gauge("mangrove_registry_calls_waiting", help, number(shown.in_flight));
    let help = "1: it is known who is where; 0: the registry is away or not complete";
    looked.gauge("mangrove_registry_complete", help, number(usize::from(shown.complete)));
    let bytes = shown.cached_bytes as f64;
    looked.measure("mangrove_registry_cache", "What the cache holds", Unit::Bytes, bytes);
}

fn membership(looked: &mut Looked, joined: &Joined) {
    let (view, others) = (&joined.view, joined.view.others());
    looked.gauge("mangrove_nodes", "Nodes that are alive, this one too", (others.len() + 1) as f64);
    let help = "1: this node may act; 0: it has no lease";
    looked.gauge("mangrove_may_act", help, f64::from(u8::from(view.may_act())));
    let left = view.left().unwrap_or_default().as_secs_f64();
    let help = "How much longer the lease is good; 0: it is over, or none is needed";
    looked.measure("mangrove_lease", help, Unit::Seconds, left);
    let skew = |millis: i64| millis as f64 / 1000.0;
    let rows = others.iter().map(|(node, other)| (node.to_string(), skew(other.skew)));
    let of = ("mangrove_node_skew", Some(Unit::Seconds), "By how much a node's clock is ahead");
    looked.each(of, "node", rows);
}

fn relay(looked: &mut Looked, cluster: &Cluster) {
    let custody = cluster.custody.bytes() as f64;
    let help = "Messages that wait since it is not known where they belong";
    looked.measure("mangrove_custody", help, Unit::Bytes, custody);
    let mut all: BTreeMap<String, Waiting> = BTreeMap::new();
    for (start, waiting) in cluster.relay.waiting() {
        let sum = all.entry(start.node.to_string()).or_default();
        sum.items += waiting.items;
        sum.bytes += waiting.bytes;
        sum.unsent += waiting.unsent;
        sum.age = sum.age.max(waiting.age);
    }
    let mut row = |name, unit, help, of: fn(&Waiting) -> f64| {
        let rows = all.iter().map(|(node, waiting)| (node.clone(), of(waiting)));
        looked.each((name, unit, help), "node", rows);
    };
    let help = "What was handed to a node and is not dealt with";
    row("mangrove_relay_items", None, help, |waiting| waiting.items as f64);
    let help = "The size of what was handed to a node and is not dealt with";
    row("mangrove_relay", Some(Unit::Bytes), help, |waiting| waiting.bytes as f64);
    let help = "Of what was handed to a node what no link has taken";
    row("mangrove_relay_unsent", None, help, |waiting| waiting.unsent as f64);
    let help = "How long the oldest of what was handed to a node has waited";
    row("mangrove_relay_age", Some(Unit::Seconds), help, |waiting| waiting.age.as_secs_f64());
}

fn links(looked: &mut Looked, all: &[LinkInfo]) {
    let up = |link: &LinkInfo| (link.node.to_string(), f64::from(u8::from(link.up.is_some())));
    let of = ("mangrove_link_up", None, "1: there is a link to the node");
    looked.each(of, "node", all.iter().map(up));
    let ups = all.iter().map(|link| (link.node.to_string(), link.ups));
    let of = ("mangrove_link_ups", None, "How often there was a link to the node");
    looked.each_so_far(of, "node", ups);
    let row = |of: &dyn Fn(&Traffic) -> f64| -> Vec<(String, f64)> {
        let of = |link: &LinkInfo| Some((link.node.to_string(), of(link.up.as_ref()?)));
        all.iter().filter_map(of).collect()
    };
    let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
    let (bytes, time) = (Some(Unit::Bytes), Some(Unit::Seconds));
    let of =
        ("mangrove_link_credit", bytes.clone(), "What a node may be sent before it has taken some");
    looked.each(of, "node", row(&|up| up.credit.bytes as f64));
    let of = ("mangrove_link_queued_frames", None, "What waits for a link");
    looked.each(of, "node", row(&|up| up.queued.frames as f64));
    let of = ("mangrove_link_queued", bytes.clone(), "The size of what waits for a link");
    looked.each(of, "node", row(&|up| up.queued.bytes as f64));
    let of =
        ("mangrove_link_oldest", time.clone(), "How long the oldest of what waits for a link has");
    looked.each(of, "node", row(&|up| seconds(up.oldest)));
    let of = (
        "mangrove_link_round_trip",
        time,
        "How long it takes to a node and back, as measured last",
    );
    looked.each(of, "node", row(&|up| seconds(up.round_trip)));
    let total = |of: fn(&Traffic) -> u64| {
        let of = move |link: &LinkInfo| Some((link.node.to_string(), of(link.up.as_ref()?)));
        all.iter().filter_map(of).collect::<Vec<_>>()
    };
    let of = ("mangrove_link_sent", bytes.clone(), "What was sent over the link that is up");
    looked.each_so_far(of, "node", total(|up| up.sent.bytes));
    let of = ("mangrove_link_received", bytes, "What came over the link that is up");
    looked.each_so_far(of, "node", total(|up| up.received.bytes));
}
