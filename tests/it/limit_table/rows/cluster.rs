//! What a node of a cluster holds besides.

use super::Row;

pub const CLUSTER: &[Row] = &[
    Row {
        what: "messages of which it is not known where their users are, in a cluster",
        from: &["actors/src/remote/custody.rs: CUSTODY"],
        most: "`CUSTODY`; and while sessions of users come from other nodes, or end there, an address or a number for each, and a number for each session that was bound while Redis was away, and a name for each user who gets offline messages, for two seconds; what each other node says where its clients are",
        at: "the sender gets `resource-constraint`",
        fields: &[
            ("actors/src/remote/custody.rs", "users"),
            ("actors/src/remote/mod.rs", "comes binding places open unheard"),
            ("cluster/src/registry/memory.rs", "of"),
        ],
        tried: &["what_waits_has_a_limit_in_bytes_and_goes_in_its_order"],
    },
    Row {
        what: "nodes of a cluster that are gone and whose sessions come here",
        from: &[],
        most: "a name for each, and an address for each session that it had, until it is known what becomes of it",
        at: "a cluster has only so many nodes",
        fields: &[
            ("actors/src/sessions/departed.rs", "Departed"),
            ("actors/src/remote/heirs.rs", "gone users available"),
        ],
        tried: &["who_resumes_a_session_that_is_to_come_has_it_at_once"],
    },
    Row {
        what: "users of whom a shared registry was asked",
        from: &[
            "cluster/src/registry/redis/options.rs: entries",
            "cluster/src/registry/redis/options.rs: bytes",
        ],
        most: "so many users, and so many bytes together",
        at: "those that were asked for least are forgotten",
        fields: &[],
        tried: &["entries_and_bytes_have_limits", "what_is_remembered_is_what_is_there"],
    },
    Row {
        what: "calls of a shared registry",
        from: &[
            "cluster/src/registry/redis/options.rs: calls",
            "cluster/src/registry/redis/sessions.rs: AT_ONCE",
            "cluster/src/registry/redis/connect.rs: INVALIDATIONS",
        ],
        most: "the library's futures have 14 KiB a call; one operation makes `AT_ONCE` calls at most; news of `INVALIDATIONS` users wait",
        at: "a further call is refused; of news that were lost everything is forgotten that is remembered",
        fields: &[("cluster/src/registry/redis/sweep.rs", "members")],
        tried: &["beyond_so_many_calls_at_once_they_are_refused"],
    },
    Row {
        what: "what is on its way to one other node",
        from: &["cluster.queue", "actors/src/remote/custody.rs: CUSTODY"],
        most: "the limit, in bytes, for each start of a node; the same comes back of one that is dead; `CUSTODY` bytes wait while nobody knows where they belong",
        at: "messages go to offline storage, of presence only the last is sent or none, requests are answered with `resource-constraint`",
        fields: &[
            ("cluster/src/relay/outbox.rs", "handed pairs replaceable"),
            ("cluster/src/relay/mod.rs", "boxes returning"),
            ("cluster/src/relay/intake.rs", "done others unsaid"),
            ("cluster/src/relay/process.rs", "intakes ready rows"),
        ],
        tried: &[
            "beyond_the_limit_it_is_refused_and_without_credit_it_waits",
            "beyond_its_limit_it_takes_nothing_and_below_it_again",
        ],
    },
    Row {
        what: "processes that there is one of in the cluster for each key, of one kind",
        from: &[
            "cluster/src/placement/placed.rs: keys",
            "cluster/src/placement/caller.rs: KEY",
            "cluster/src/placement/placed.rs: state",
            "cluster/src/placement/placed.rs: states",
            "cluster/src/placement/placed.rs: waiting",
            "cluster/src/placement/placed.rs: addresses",
        ],
        most: "`keys` of `KEY` bytes on a node; `states` bytes of those that move here, `state` of each; `waiting` requests that wait for an owner; `addresses` that are remembered",
        at: "a further key, or request, is refused; a larger state is left behind, and one that has no room dropped: what is stored is the truth; an address is asked for again",
        fields: &[
            ("cluster/src/placement/host.rs", "askers keys seats states"),
            ("cluster/src/placement/claims.rs", "peers"),
            ("cluster/src/placement/epochs.rs", "MemoryStore"),
        ],
        tried: &["limits_are_kept"],
    },
    Row {
        what: "sessions of a node that is no more",
        from: &[],
        most: "an address each, of those that left the registry by this node",
        at: "there are no more than that node had",
        fields: &[("actors/src/remote/heirs.rs", "gone")],
        tried: &["of_a_dead_node_all_that_it_did_not_deal_with_comes_back_in_order"],
    },
    Row {
        what: "nodes that are known by name",
        from: &["supervision/src/id.rs: NODES", "supervision/src/id.rs: NODE_BYTES"],
        most: "a name and what its last start said of itself, each",
        at: "a further one gets no lease",
        fields: &[
            ("cluster/src/members/mod.rs", "members"),
            ("cluster/src/members/book.rs", "dead known"),
            ("cluster/src/members/process.rs", "dead"),
            ("cluster/src/members/view.rs", "connected others"),
            ("cluster/src/net.rs", "relays"),
            ("cluster/src/relay/process.rs", "dead"),
            ("src/cluster/credentials.rs", "nodes"),
            ("src/cluster/join.rs", "peers said"),
            ("src/cluster/secret.rs", "versions"),
            ("src/cluster/uri.rs", "hosts"),
            ("src/node/tree.rs", "nodes"),
            ("cluster/src/registry/memory.rs", "leases"),
            ("cluster/src/registry/redis/mod.rs", "sweeps joined"),
            ("cluster/src/registry/redis/roster.rs", "leases nodes"),
        ],
        tried: &["beyond_so_many_nodes_none_gets_a_lease"],
    },
];
