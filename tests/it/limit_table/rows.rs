//! The rows of `docs/limits.md`.

/// Something that grows.
pub struct Row {
    pub what: &'static str,
    /// Where its limits stand: options, and constants as `file: NAME`.
    pub from: &'static [&'static str],
    /// What it occupies at most, in bytes.
    pub most: &'static str,
    /// What happens at the limit.
    pub at: &'static str,
    /// The fields that hold it, by file.
    pub fields: &'static [(&'static str, &'static str)],
    /// The tests that try it.
    pub tried: &'static [&'static str],
}

pub const CONNECTION: &[Row] = &[
    Row {
        what: "input since the last stanza (framer)",
        from: &[
            "limits.max_stanza",
            "limits.max_stanza_unauthenticated",
            "actors/src/connection/transport.rs: READ",
            "xmpp/src/reader.rs: MAX_BINDINGS",
            "xmpp/src/reader.rs: MAX_TOKEN",
        ],
        most: "`max_stanza` + one read; what is read of it may weigh four times `max_stanza` (each child has a place); `MAX_BINDINGS` namespaces; and two buffers of a parser, of `MAX_TOKEN` each",
        at: "the stream ends with `policy-violation`",
        fields: &[
            ("xmpp/src/framer/mod.rs", "buf pending"),
            ("xmpp/src/framer/partial.rs", "children needs outer"),
            ("xmpp/src/reader.rs", "attrs bindings marks ids"),
        ],
        tried: &[
            "the_limits_that_are_announced_are_those_in_force",
            "memory_stays_flat_under_abuse",
        ],
    },
    Row {
        what: "a PROXY header",
        from: &["actors/src/connection/proxy.rs: MAX"],
        most: "the limit + one read",
        at: "the connection is closed",
        fields: &[("actors/src/connection/mod.rs", "header")],
        tried: &["a_header_may_come_slowly_or_with_what_follows_but_it_has_to_be_one"],
    },
    Row {
        what: "output for the client",
        from: &["actors/src/session/turn.rs: OUT", "limits.queued_bytes", "modules.roster.size"],
        most: "`OUT` + `queued_bytes` + one answer; the largest is a roster, six times as large if all of it has to be escaped",
        at: "nothing more is read from the client, nor taken from its queue; after a minute in which it reads nothing it is let go",
        fields: &[
            ("actors/src/session/effects.rs", "actions"),
            ("actors/src/session/out.rs", "bytes"),
            ("actors/src/session/turn.rs", "todo"),
        ],
        tried: &[
            "a_client_that_does_not_read_holds_nobody_up_and_gets_everything_in_the_end",
            "memory_stays_flat_under_abuse",
        ],
    },
    Row {
        what: "output that waits in TLS",
        from: &["actors/src/connection/transport.rs: TLS_PENDING"],
        most: "the limit",
        at: "the rest stays in the output",
        fields: &[],
        tried: &["memory_stays_flat_under_abuse"],
    },
    Row {
        what: "jobs, and timers, of one session",
        from: &["limits.max_stanza"],
        most: "what one stanza causes: nothing more is read meanwhile; a timer for each module",
        at: "the client waits",
        fields: &[
            ("actors/src/session/turn.rs", "jobs timers"),
            ("actors/src/session/bound.rs", "held timers"),
            ("actors/src/session/state.rs", "exporter end_point"),
            ("actors/src/session/slots.rs", "live frozen"),
            ("actors/src/driver/deadlines.rs", "all"),
        ],
        tried: &["two_thousand_queues_are_flooded_and_memory_stays_below_its_limit"],
    },
    Row {
        what: "the last inputs, for a crash report",
        from: &[
            "actors/src/session/turn.rs: RECENT",
            "actors/src/session/recent.rs: WHOLE",
            "actors/src/session/recent.rs: CUT",
        ],
        most: "`RECENT` × `WHOLE`, and of a larger one its first `CUT` bytes; until five seconds after the last that was complete",
        at: "the oldest is forgotten",
        fields: &[("actors/src/session/turn.rs", "recent")],
        tried: &["what_is_kept_of_any_input_is_small"],
    },
];

pub const SESSION: &[Row] = &[
    Row {
        what: "what waits for a client",
        from: &[
            "limits.queued",
            "limits.queued_bytes",
            "actors/src/resource/limits.rs: WITH_FAILURES",
        ],
        most: "`queued_bytes`: start tags, children and content; and a message of each sender that was on its way into the store when it got full. With what says that something failed which the client sent `queued_bytes` × `WITH_FAILURES`",
        at: "a message goes to offline storage, an IQ is answered with `resource-constraint`, presence is dropped; the session of a client that is not told any more what failed ends with `resource-constraint`",
        fields: &[
            ("actors/src/resource/mod.rs", "queue"),
            ("actors/src/resource/stored.rs", "kept messages shares"),
        ],
        tried: &[
            "a_start_tag_counts_as_what_it_is",
            "a_full_queue_refuses_and_messages_go_to_offline_storage",
            "a_sender_who_takes_nothing_of_too_much_that_failed_hears_that_it_is_not_told",
        ],
    },
    Row {
        what: "what is not acknowledged (XEP-0198)",
        from: &[
            "limits.unacked",
            "limits.queued_bytes",
            "actors/src/resource/limits.rs: UNACKED_BYTES",
        ],
        most: "`queued_bytes` × `UNACKED_BYTES`, and one turn's output",
        at: "from half of it on the queue waits for the client to acknowledge; when it does not for 20 s, or beyond the limit (by answers to its own requests), the session ends with `policy-violation`; its messages go to offline storage",
        fields: &[
            ("actors/src/resource/acks.rs", "unacked shares"),
            ("actors/src/resource/kept.rs", "ids received"),
        ],
        tried: &[
            "what_is_not_acknowledged_has_a_limit_in_bytes",
            "a_start_tag_counts_as_what_it_is",
        ],
    },
    Row {
        what: "presence, and the stanza that is being handled",
        from: &["limits.max_stanza"],
        most: "a stanza each",
        at: "the one before is replaced",
        fields: &[("actors/src/resource/mod.rs", "marks")],
        tried: &["everything_that_can_be_large_is_counted"],
    },
    Row {
        what: "who got directed presence",
        from: &["limits.directed", "actors/src/resource/directed.rs: ORDINARY"],
        most: "`directed` × `ORDINARY`",
        at: "the oldest is forgotten: it does not hear that the user went away",
        fields: &[
            ("actors/src/resource/directed.rs", "places order"),
            ("actors/src/resource/leftovers.rs", "directed"),
        ],
        tried: &["the_addresses_of_directed_presence_have_a_limit_in_bytes"],
    },
    Row {
        what: "whom the client of a session that can be resumed sees",
        from: &["actors/src/resource/seen.rs: SEEN"],
        most: "`SEEN`",
        at: "who comes is not noted: the client does not hear from the next process that this one of several resources is gone",
        fields: &[("actors/src/resource/seen.rs", "all")],
        tried: &["the_addresses_that_a_client_sees_have_a_limit_in_bytes"],
    },
    Row {
        what: "what a session that ended leaves behind",
        from: &["limits.queued_bytes"],
        most: "what waited and what was not acknowledged, together",
        at: "it grows no more, and goes to the store, or back",
        fields: &[("actors/src/resource/leftovers.rs", "left")],
        tried: &["two_thousand_queues_are_flooded_and_memory_stays_below_its_limit"],
    },
    Row {
        what: "sessions of a user, those that wait to be resumed too",
        from: &[
            "limits.max_resources",
            "stream_management.window",
            "actors/src/sessions/ends.rs: AT_ONCE",
        ],
        most: "the rows above, `max_resources` times",
        at: "for a further one those that have waited to be resumed the longest end; if all are connected it is \
             refused with `resource-constraint`; one that waits ends with its window; what is left of one that ended goes on its way, of `AT_ONCE` a session manager at a time",
        fields: &[
            ("actors/src/sessions/windows.rs", "ends waiting"),
            ("actors/src/sessions/ends.rs", "waiting running"),
            ("actors/src/relief/mod.rs", "chosen"),
            ("cluster/src/registry/memory.rs", "shards"),
        ],
        tried: &[
            "resources_are_limited_but_a_replacement_always_fits",
            "of_sessions_that_wait_to_be_resumed_the_first_makes_room_for_one_that_comes",
            "a_session_has_one_window_the_last",
            "a_store_that_does_not_answer_holds_up_no_bind_and_no_resumption",
        ],
    },
    Row {
        what: "sessions that nobody resumed",
        from: &["actors/src/sessions/past.rs: LIMIT"],
        most: "an address and a token each, for each session manager",
        at: "the oldest is forgotten",
        fields: &[("actors/src/sessions/past.rs", "handled order")],
        tried: &["the_last_are_remembered_and_only_for_their_user"],
    },
];

pub const STORED: &[Row] = &[
    Row {
        what: "offline messages of a user",
        from: &["modules.offline.messages", "modules.offline.size", "modules.offline.sender_share"],
        most: "`size`; of one sender `sender_share` percent of both",
        at: "the sender gets `service-unavailable`",
        fields: &[("storage/src/memory/offline.rs", "users times held holders")],
        tried: &[
            "they_have_a_limit_in_bytes",
            "no_sender_has_more_than_a_share",
            "one_sender_leaves_room_for_others",
        ],
    },
    Row {
        what: "messages of a user in quarantine",
        from: &["modules.offline.quarantine"],
        most: "`quarantine`",
        at: "one that does not fit goes behind the user's other messages again",
        fields: &[("storage/src/memory/offline.rs", "quarantine")],
        tried: &[
            "the_quarantine_of_a_user_has_a_limit_in_bytes",
            "nothing_is_lost_when_the_quarantine_is_full",
        ],
    },
    Row {
        what: "a page of offline messages, on its way to the client",
        from: &[
            "actors/src/modules/offline/mod.rs: PAGE",
            "actors/src/modules/offline/mod.rs: PAGE_BYTES",
        ],
        most: "`PAGE_BYTES`, or one message",
        at: "the rest is read when the client has taken it",
        fields: &[],
        tried: &["a_page_has_a_limit_in_bytes"],
    },
    Row {
        what: "a session that can be resumed, in the store",
        from: &["storage/src/sessions.rs: MAX_FROZEN", "storage/src/sessions.rs: MAX_PAGE"],
        most: "`MAX_FROZEN`, and a key; a page of all users' has `MAX_PAGE` or one. The messages that it holds are among the user's offline messages, once, and count there",
        at: "it is not kept; a message is not either",
        fields: &[
            ("storage/src/memory/offline.rs", "sessions"),
            ("storage/src/sessions.rs", "frozen"),
        ],
        tried: &[
            "a_session_has_a_limit_in_bytes",
            "sessions_of_all_users_come_in_pages_in_the_order_of_keys",
            "all_of_the_messages_are_kept_or_none",
        ],
    },
    Row {
        what: "a contact of a roster",
        from: &[
            "xmpp/src/payload/roster.rs: MAX_NAME",
            "xmpp/src/payload/roster.rs: MAX_GROUPS",
            "xmpp/src/payload/roster.rs: MAX_ITEM",
        ],
        most: "`MAX_ITEM`, and an address",
        at: "`not-acceptable` (RFC 6121 section 2.3.3)",
        fields: &[("storage/src/rosters.rs", "groups"), ("xmpp/src/payload/roster.rs", "groups")],
        tried: &["the_errors_of_section_2_3_3", "a_roster_has_a_limit_in_bytes"],
    },
    Row {
        what: "a roster",
        from: &[
            "modules.roster.items",
            "modules.roster.size",
            "storage/src/rosters.rs: TOMBSTONES",
        ],
        most: "`size`, and the addresses of the contacts removed last",
        at: "`resource-constraint`; what makes it smaller is taken, and what is there stays readable",
        fields: &[
            ("storage/src/rosters.rs", "items removed"),
            ("storage/src/memory/mod.rs", "rosters"),
        ],
        tried: &[
            "a_roster_has_a_limit_in_bytes",
            "a_full_roster_takes_no_more_and_requests_have_a_limit_of_their_own",
        ],
    },
    Row {
        what: "requests to see a user",
        from: &[
            "modules.roster.requests",
            "actors/src/modules/roster/subscription.rs: MAX_REQUEST",
        ],
        most: "`MAX_REQUEST`, or a bare request between two addresses, for each of `requests` strangers and of the contacts",
        at: "a larger one is kept without what makes it large; strangers beyond it are denied",
        fields: &[],
        tried: &[
            "a_large_request_is_kept_without_what_makes_it_large",
            "a_full_roster_takes_no_more_and_requests_have_a_limit_of_their_own",
        ],
    },
    Row {
        what: "a block list",
        from: &["modules.blocking.items", "modules.blocking.size"],
        most: "`size`",
        at: "`resource-constraint`",
        fields: &[("storage/src/memory/mod.rs", "blocklists")],
        tried: &["the_list_has_a_limit_in_bytes", "blocked_addresses_are_limited"],
    },
    Row {
        what: "private XML of a user",
        from: &["modules.private.max_elements", "modules.private.max_size"],
        most: "`max_elements` × `max_size`; an answer has one element",
        at: "`resource-constraint` for a further element, `policy-violation` for one that is too large",
        fields: &[("storage/src/memory/mod.rs", "private")],
        tried: &["the_limits_hold_and_what_is_there_can_still_be_changed"],
    },
    Row {
        what: "a vCard",
        from: &["modules.vcard.max_size"],
        most: "`max_size`",
        at: "`policy-violation`",
        fields: &[("storage/src/memory/mod.rs", "vcards")],
        tried: &["a_vcard_that_is_too_large_is_refused_and_the_old_one_stays"],
    },
    Row {
        what: "when a user was last seen",
        from: &["actors/src/modules/last.rs: MAX_STATUS", "actors/src/modules/last.rs: MAX_NOTED"],
        most: "`MAX_STATUS` a user; `MAX_NOTED` of all that waits to be written",
        at: "the status is cut; what comes is not kept until the next write, a second later",
        fields: &[
            ("actors/src/modules/last.rs", "users"),
            ("storage/src/memory/mod.rs", "activity"),
        ],
        tried: &["what_waits_to_be_written_has_a_limit_in_bytes"],
    },
    Row {
        what: "an account",
        from: &["modules.register.per_address"],
        most: "an address and keys of three hash functions: below 4 KiB; how many there are is the operator's to say, or that of in-band registration",
        at: "`policy-violation` until the window is over",
        fields: &[
            ("storage/src/memory/mod.rs", "accounts"),
            ("storage/src/accounts.rs", "keys"),
            ("xmpp/src/sasl/scram.rs", "salt stored_key server_key"),
        ],
        tried: &["one_address_may_try_so_often_in_a_while"],
    },
];

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
            ("supervision/src/system.rs", "processes paths names groups"),
            ("supervision/src/supervisor/children.rs", "rows by_id"),
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
        what: "messages to a process",
        from: &[
            "supervision/src/process.rs: INBOX",
            "supervision/src/server.rs: INBOX",
            "actors/src/sessions/manager.rs: INBOX",
        ],
        most: "some 100 bytes each: stanzas do not go through inboxes",
        at: "the sender is told",
        fields: &[
            ("supervision/src/inbox/mod.rs", "items late"),
            ("supervision/src/state_machine/machine.rs", "postponed named"),
            ("supervision/src/cx.rs", "continued"),
        ],
        tried: &["a_full_inbox_does_what_its_behaviour_says", "postponed_messages_have_a_limit"],
    },
    Row {
        what: "links, monitors, signals, timers and subscriptions of a process",
        from: &["c2s.max_connections"],
        most: "one for each process it has to do with",
        at: "there are no more processes than connections, and a few hundred besides",
        fields: &[
            (
                "supervision/src/pid/mod.rs",
                "signals asks links numbered monitors watched owned unanswered",
            ),
            ("supervision/src/pid/report.rs", "UNANSWERED"),
            ("supervision/src/timer.rs", "running repeating due"),
            ("supervision/src/topic.rs", "subscribers"),
        ],
        tried: &["the_stop_is_the_start_in_reverse"],
    },
    Row {
        what: "names of nodes",
        from: &["supervision/src/id.rs: NODES", "supervision/src/id.rs: NODE_BYTES"],
        most: "`NODES` × `NODE_BYTES`",
        at: "what has another one cannot be read",
        fields: &[("supervision/src/id.rs", "all nodes")],
        tried: &["names_from_outside_are_bounded"],
    },
    Row {
        what: "a trace",
        from: &["supervision/src/sys.rs: LOG_LIMIT"],
        most: "so many events of a process that is looked at",
        at: "the oldest is forgotten",
        fields: &[
            ("supervision/src/sys.rs", "ancestors links"),
            ("supervision/src/watch.rs", "log"),
        ],
        tried: &["a_trace_ends_by_itself_and_the_black_box_keeps_the_last"],
    },
    Row {
        what: "crash reports, in memory and as files",
        from: &[
            "supervision/src/crash/log.rs: keep",
            "supervision/src/crash/log.rs: per_place",
            "supervision/src/crash/log.rs: places",
            "supervision/src/crash/black_box.rs: INPUTS",
            "supervision/src/crash/black_box.rs: INPUT_BYTES",
            "supervision/src/crash/report.rs: REASON_BYTES",
            "supervision/src/crash/report.rs: STATE_BYTES",
            "supervision/src/crash/report.rs: STACK_BYTES",
            "supervision/src/crash/report.rs: TEXT_BYTES",
            "supervision/src/crash/report.rs: LISTED",
            "supervision/src/crash/report.rs: WAITING",
            "supervision/src/crash/writer.rs: QUEUE",
            "supervision/src/crash/panic.rs: SPENT",
            "supervision/src/crash/panic.rs: NESTED",
        ],
        most: "`keep` × 350 KiB: `INPUTS` × `INPUT_BYTES`, a reason, a state and a stack, `LISTED` × `TEXT_BYTES` each of links, names, groups and ancestors, and `WAITING` messages; the names of `SPENT` places; `NESTED` panics of a thread that unwinds",
        at: "the oldest is forgotten; a longer text is cut, a larger state is left out; of one place only so many in a minute are kept, and the rest is counted; beyond `QUEUE` reports one is not written; beyond `SPENT` places stacks are captured for reports that are not kept",
        fields: &[
            ("supervision/src/crash/log.rs", "ring places"),
            ("supervision/src/crash/report.rs", "ancestors inputs waiting links names groups"),
            ("supervision/src/crash/black_box.rs", "inputs"),
            ("supervision/src/crash/panic.rs", "Spent LAST"),
        ],
        tried: &["a_storm_is_counted_not_kept", "a_report_has_a_size_whatever_is_in_it"],
    },
    Row {
        what: "reasons why children of a supervisor or pool ended",
        from: &["supervision/src/stop.rs: MAX"],
        most: "so many, some 100 bytes each or what a panic said",
        at: "others are counted together",
        fields: &[("supervision/src/stop.rs", "counts")],
        tried: &["so_many_reasons_are_told_apart_and_those_go_on_being_counted"],
    },
    Row {
        what: "restarts of a supervisor",
        from: &[
            "supervision/src/policy.rs: restarts",
            "supervision/src/restarts.rs: KEPT",
            "supervision/src/supervisor/ledger.rs: REASON_BYTES",
        ],
        most: "so many instants, or as many as its specification allows, and one; of each child that was restarted the last `KEPT`, with a reason",
        at: "the supervisor ends; those older than its period are forgotten",
        fields: &[
            ("supervision/src/decide.rs", "Window"),
            ("supervision/src/restarts.rs", "history children"),
            ("supervision/src/supervisor/ledger.rs", "rows history"),
        ],
        tried: &[
            "what_is_left_of_the_intensity_comes_back_with_time",
            "the_window_is_closed_at_both_ends",
            "no_restart_at_all_and_one_too_many_above",
        ],
    },
    Row {
        what: "lines of the log that are counted",
        from: &["src/telemetry/limit.rs: LINES", "src/telemetry/limit.rs: TEXT"],
        most: "`TEXT` for each place in the program that logs",
        at: "beyond `LINES` in ten seconds those of the place are only counted, and the count is logged",
        fields: &[("src/telemetry/limit.rs", "places")],
        tried: &[
            "of_a_flood_a_few_lines_are_written_and_the_rest_is_counted",
            "a_long_line_is_not_kept_as_a_whole",
        ],
    },
    Row {
        what: "work that waits for the store",
        from: &["storage/src/sqlite/mod.rs: queue", "storage/src/sqlite/mod.rs: queue_bytes"],
        most: "`queue_bytes` for the writer, and as much for the readers",
        at: "refused at once: the client gets `resource-constraint`, a sender his message back",
        fields: &[("storage/src/sqlite/queue.rs", "jobs")],
        tried: &[
            "jobs_have_a_limit_in_bytes_but_one_alone_may_be_large",
            "a_full_queue_refuses_at_once",
        ],
    },
    Row {
        what: "the store's caches",
        from: &[
            "storage/src/sqlite/mod.rs: cached_users",
            "storage/src/sqlite/cache.rs: ACCOUNT",
            "storage/src/sqlite/mod.rs: cached_contacts",
            "storage/src/sqlite/cache.rs: CONTACT",
        ],
        most: "`cached_users` × `ACCOUNT` and `cached_contacts` × `CONTACT`, the latter twice: rosters and block lists. SQLite's own besides: 64 MiB for the writer, 16 MiB for each reader",
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
        ],
        most: "`OPERATORS` × (`LONGEST`, and `MOST` rows that are sorted); `ROWS` of them wait for the operator",
        at: "of whoever has most of them the oldest that waits for a request makes room; at a longer line the connection is closed; an answer has no more rows and says of how many they are",
        fields: &[("src/admin/operator.rs", "line"), ("src/admin/protocol.rs", "keys children")],
        tried: &[
            "half_sent_requests_do_not_keep_operators_out",
            "what_is_no_request_is_answered_and_a_long_line_is_not",
        ],
    },
];

/// What does not grow with what others do: made at the start, as configured or as written, or gone at the end of one call.
pub const STILL: &[(&str, &str)] = &[
    ("supervision/src/spec.rs", "children"),
    // one, but for tests
    ("supervision/src/system.rs", "SYSTEMS"),
    ("supervision/src/tree.rs", "children"),
    ("supervision/src/state_machine/step.rs", "Actions"),
    ("xmpp/src/element/mod.rs", "attrs nodes"),
    ("xmpp/src/element/read.rs", "stack shared seen"),
    ("xmpp/src/element/write.rs", "list names places"),
    ("xmpp/src/payload/blocking.rs", "Block Unblock"),
    ("xmpp/src/scan.rs", "attrs children"),
    (
        "storage/src/memory/snapshot.rs",
        "accounts rosters offline held sessions quarantine vcards private blocklists activity",
    ),
    ("actors/src/registrar.rs", "children xeps conflicts ModuleChildren"),
    (
        "actors/src/hooks.rs",
        "modules server_features account_features service_features services marks rows",
    ),
    ("actors/src/metrics/modules.rs", "rows names"),
    ("actors/src/modules/disco.rs", "abuse admin feedback sales security support"),
    ("actors/src/handover.rs", "modules waiting"),
    ("actors/src/resource/coming.rs", "Coming"),
    ("actors/src/resource/copies.rs", "Shares"),
    ("actors/src/resource/frozen.rs", "queue marks shares"),
    ("actors/src/settings.rs", "mechanisms"),
    ("actors/src/hosts.rs", "Hosts"),
    ("actors/src/connection/mod.rs", "proxy_from"),
    ("actors/src/connection/tls.rs", "chain Certificates"),
    ("storage/src/backend.rs", "children gauges"),
    ("src/node/mod.rs", "starttls direct_tls http"),
    ("src/node/shared.rs", "listening"),
    ("src/node/sockets.rs", "starttls direct_tls http"),
    ("src/node/tree.rs", "c2s http"),
    ("src/node/reload.rs", "changed restart"),
    ("src/certificates.rs", "hosts files seen"),
];
