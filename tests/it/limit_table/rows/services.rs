//! What stores, accounts and pages for operators hold.

use super::Row;

pub const SERVICES: &[Row] = &[
    Row {
        what: "work that waits for the store",
        from: &["storage/src/sqlite/mod.rs: queue", "storage/src/sqlite/mod.rs: queue_bytes"],
        most: "`queue_bytes` for the writer, and as much for the readers",
        at: "refused at once: the client gets `resource-constraint`, a sender his message back",
        fields: &[("supervision/src/threads/queue.rs", "jobs")],
        tried: &[
            "jobs_have_a_limit_in_bytes_but_one_alone_may_be_large",
            "a_full_queue_refuses_at_once",
        ],
    },
    Row {
        what: "what was accepted while the database is away",
        from: &["storage.journal", "storage/src/journal/rows.rs: ROW"],
        most: "`storage.journal` on the disk, each operation as it is serialised and `ROW`; in memory `ROW` each, and the operations themselves while they are on their way to the disk",
        at: "refused at once, as by a database that is away; a user has no more than the limits of offline messages",
        fields: &[("storage/src/journal/rows.rs", "ids rows users")],
        tried: &[
            "a_full_journal_refuses_and_loses_nothing",
            "a_user_s_limits_hold_for_what_is_journaled",
        ],
    },
    Row {
        what: "users of whom something is being done in a database that may be away",
        from: &["c2s.max_connections"],
        most: "one for each call that waits: some 100 bytes",
        at: "who calls waits: its client is not read meanwhile",
        fields: &[("storage/src/turns.rs", "users")],
        tried: &[
            "a_user_s_turns_come_in_order_others_at_once_and_nothing_is_left",
            "one_user_has_one_turn_and_none_is_remembered",
        ],
    },
    Row {
        what: "calls of a store that is a database",
        from: &["storage/src/mongo/connect.rs: CALLS", "storage/src/mongo/connect.rs: CALLS_BYTES"],
        most: "`CALLS_BYTES`, and what the driver makes of them as BSON; what they read is as large as a page, a roster, or the messages of a user that are put behind others",
        at: "refused at once: the client gets `resource-constraint`, a sender his message back",
        fields: &[],
        tried: &["there_is_room_for_so_many_calls_and_bytes_and_always_for_one"],
    },
    Row {
        what: "passwords of an application that wait to be verified",
        from: &[
            "auth/src/pool/mod.rs: queue",
            "auth/src/pool/mod.rs: per_user",
            "auth/src/pool/mod.rs: shared",
            "auth/src/formats/limits.rs: STORED",
            "auth/src/formats/limits.rs: MEMORY",
        ],
        most: "6 KiB for each; `MEMORY` a thread for the work",
        at: "the client gets `temporary-auth-failure`, as it does when it would have to wait longer than 10 s",
        fields: &[("auth/src/pool/state.rs", "waiting works users ready")],
        tried: &[
            "what_does_not_fit_is_refused_at_once",
            "one_user_holds_up_nobody_else",
            "nobody_waits_longer_than_is_patient",
            "the_same_question_is_worked_on_once",
            "what_asks_for_too_much_is_refused_before_any_work",
        ],
    },
    Row {
        what: "questions to an application by HTTP",
        from: &[
            "http_accounts.parallel",
            "auth/src/http/mod.rs: queue",
            "auth/src/http/mod.rs: ANSWER",
            "auth/src/http/client.rs: HEAD",
        ],
        most: "8 KiB for each that waits, `ANSWER` and `HEAD` for each connection",
        at: "the client gets `temporary-auth-failure`",
        fields: &[],
        tried: &["no_more_wait_than_may", "only_a_whole_answer_is_one"],
    },
    Row {
        what: "the store's caches",
        from: &[
            "storage/src/sqlite/mod.rs: cached_users",
            "storage/src/cache.rs: ACCOUNT",
            "storage/src/sqlite/mod.rs: cached_contacts",
            "storage/src/cache.rs: CONTACT",
        ],
        most: "of SQLite as of MongoDB: `cached_users` × `ACCOUNT` and `cached_contacts` × `CONTACT`, the latter twice: rosters and block lists. SQLite's own besides: 64 MiB for the writer, 16 MiB for each reader",
        at: "what was not used for long is forgotten",
        fields: &[],
        tried: &["it_is_bounded_by_weight_and_a_heavy_value_pushes_the_old_one_out"],
    },
    Row {
        what: "HTTP",
        from: &["src/telemetry/http.rs: CONNECTIONS", "src/telemetry/http.rs: HEAD"],
        most: "`CONNECTIONS` × `HEAD`, and a page of 32 KiB each",
        at: "of whoever has most of them the oldest that waits for a request makes room; a longer head is refused and the connection closed",
        fields: &[("actors/src/gate.rs", "all")],
        tried: &[
            "half_sent_requests_and_idle_connections_do_not_block_health_and_metrics",
            "there_are_so_many_series_whatever_happens",
        ],
    },
    Row {
        what: "the admin socket",
        from: &[
            "src/admin/mod.rs: OPERATORS",
            "src/admin/protocol.rs: LONGEST",
            "src/admin/protocol.rs: MOST",
            "src/admin/commands/mod.rs: ROWS",
            "src/admin/commands/peers.rs: ANSWER",
        ],
        most: "`OPERATORS` × (`LONGEST`, and `MOST` rows that are sorted); `ROWS` of them wait for the operator; of each other node `ANSWER`, and a row",
        at: "of whoever has most of them the oldest that waits for a request makes room; at a longer line the connection is closed; an answer has no more rows and says of how many they are",
        fields: &[
            ("src/admin/operator.rs", "line"),
            ("src/admin/protocol.rs", "keys children"),
            ("src/admin/protocol/cluster.rs", "relay alarms refused calls sessions rows"),
        ],
        tried: &[
            "half_sent_requests_do_not_keep_operators_out",
            "what_is_no_request_is_answered_and_a_long_line_is_not",
        ],
    },
];
