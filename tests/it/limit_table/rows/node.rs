//! What the node holds for all of its clients.

use super::Row;

pub const NODE: &[Row] = &[
    Row {
        what: "the node",
        from: &[
            "limits.memory",
            "actors/src/pressure.rs: HIGH",
            "actors/src/pressure.rs: CRITICAL",
        ],
        most: "`memory`",
        at: "from `HIGH` percent on log-ons wait; from `CRITICAL` percent on the largest queues go to the store or back",
        fields: &[],
        tried: &[
            "two_thousand_queues_are_flooded_and_memory_stays_below_its_limit",
            "log_ons_wait_and_go_through_when_there_is_memory_again",
        ],
    },
    Row {
        what: "connections",
        from: &["c2s.max_connections", "c2s.max_connections_per_address"],
        most: "the rows of \"A connection\", for each",
        at: "for `max_connections` the oldest newcomer makes room: a client that has not opened its stream, or not logged on within 5 s of coming; when there is none, and beyond `max_connections_per_address`, a further one is closed at once",
        fields: &[
            ("supervision/src/system.rs", "processes paths names"),
            ("supervision/src/supervisor/children.rs", "rows by_id waits"),
            ("actors/src/accept.rs", "newcomers"),
        ],
        tried: &[
            "clients_that_do_not_log_on_make_room_for_those_who_do",
            "who_has_opened_a_stream_has_a_while_to_log_on",
            "an_address_has_so_many_connections_and_one_bucket",
        ],
    },
    Row {
        what: "parsers that stand ready",
        from: &["xmpp/src/reader.rs: POOL", "xmpp/src/reader.rs: MAX_TOKEN"],
        most: "`POOL` × `MAX_TOKEN` for each thread and each of the two names of a stream's root: a buffer each, with nothing in it",
        at: "one that is not needed any more is dropped",
        fields: &[("xmpp/src/reader.rs", "Pool")],
        tried: &["memory_stays_flat_under_abuse"],
    },
    Row {
        what: "addresses that have used up what they may send",
        from: &[
            "actors/src/connection/shaping.rs: REMEMBERED",
            "actors/src/connection/shaping.rs: SHARDS",
        ],
        most: "`REMEMBERED` × `SHARDS`, some 100 bytes each, besides those with connections",
        at: "those that owe nothing any more are forgotten, and if there are none, the one that will be there first makes room",
        fields: &[("actors/src/connection/shaping.rs", "addresses remembered")],
        tried: &["what_is_remembered_of_addresses_is_limited"],
    },
    Row {
        what: "failed log-ons",
        from: &["actors/src/throttle/mod.rs: entries"],
        most: "so many pairs of account and address and so many addresses, 100 bytes each: a hash of 16 bytes, its counts, and its places in two orders",
        at: "the one with the fewest failures makes room, of those with as few the one whose window ends first; what comes is counted always",
        fields: &[
            ("actors/src/throttle/mod.rs", "pairs addresses"),
            ("actors/src/throttle/table.rs", "counts ranks ends"),
        ],
        tried: &["a_full_table_goes_on_counting", "what_matters_least_makes_room"],
    },
    Row {
        what: "registrations, and changes of passwords",
        from: &["actors/src/modules/register.rs: REMEMBERED"],
        most: "so many addresses and so many users, 100 bytes each",
        at: "as with failed log-ons",
        fields: &[],
        tried: &[
            "what_matters_least_makes_room",
            "one_address_may_try_so_often_in_a_while",
            "a_password_is_changed_so_often_in_a_while",
        ],
    },
    Row {
        what: "what connections that are gone had begun for their clients",
        from: &["actors/src/sessions/unfinished.rs: UNFINISHED"],
        most: "the limit × what one stanza causes",
        at: "a further one is given up: its client, which is not told that it was handled, sends it again",
        fields: &[],
        tried: &["though_its_store_is_slow", "though_its_process_is_killed"],
    },
    Row {
        what: "what the store did not take of sessions, of one session manager",
        from: &["actors/src/sessions/ends.rs: AGAIN"],
        most: "the limit × what is left of a session",
        at: "the oldest is not tried again: the next process does it when it starts",
        fields: &[("actors/src/sessions/ends.rs", "again")],
        tried: &["what_the_store_does_not_take_is_tried_again_of_so_many"],
    },
    Row {
        what: "connected sessions of which the store is to be told a moment later (`write-behind`), of one session manager",
        from: &["actors/src/resource/behind.rs: DIRTY", "actors/src/sessions/writer.rs: AT_ONCE"],
        most: "a place in a queue each; `AT_ONCE` of them are written at the same time, with what waits for their clients",
        at: "what comes for a further one is in the store before it is delivered, and what its client is told before that is written: its senders wait",
        fields: &[("actors/src/resource/behind.rs", "waiting")],
        tried: &["beyond_so_many_that_wait_the_store_is_told_first"],
    },
];
