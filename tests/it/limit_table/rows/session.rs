//! What a session holds.

use super::Row;

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
        ],
        tried: &[
            "of_memory",
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
