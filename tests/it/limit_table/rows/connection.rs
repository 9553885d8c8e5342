//! What a connection holds.

use super::Row;

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
        what: "a TLS record that has not come whole",
        from: &["tls/src/channel.rs: LONGEST", "actors/src/connection/transport.rs: READ"],
        most: "`LONGEST` + `READ`; until the handshake is done (`c2s.negotiation_timeout`) the library keeps a message of its own besides, of 64KiB at most: about 100 KiB together",
        at: "a larger record is the end of the connection",
        fields: &[("tls/src/channel.rs", "wire")],
        tried: &["a_record_that_is_too_long_is_refused_as_soon_as_it_says_so"],
    },
    Row {
        what: "output that waits in TLS",
        from: &["tls/src/channel.rs: UNSENT"],
        most: "twice the limit (what is sent goes in pieces of that size), 29 bytes for each record of 16 KiB in it, and a block of `c2s.padding`",
        at: "the rest stays in the output",
        fields: &[("tls/src/channel.rs", "bytes unsent")],
        tried: &["what_is_sealed_and_not_sent_has_a_limit", "memory_stays_flat_under_abuse"],
    },
    Row {
        what: "records of TLS",
        from: &[
            "tls/src/record/protect.rs: MAX_PLAIN",
            "tls/src/record/protect.rs: EXPANSION_13",
            "tls/src/record/protect.rs: EXPANSION_12",
            "tls/src/record/incoming.rs: MAX_IDLE",
            "tls/src/record/message.rs: MAX_HELD",
        ],
        most: "a record that is not whole yet, of `MAX_PLAIN` and its version's expansion; `MAX_HELD` bytes of a message that is in several; the state of both directions has no more than 1300 bytes",
        at: "the connection ends with the alert `record_overflow`; after `MAX_IDLE` records in a row that bring no data with `unexpected_message`. What the peer asks for is answered once, however often it asks",
        fields: &[],
        tried: &[
            "the_sizes_of_records_are_limited",
            "a_header_is_judged_as_soon_as_it_shows",
            "a_peer_that_says_nothing_is_cut_off",
            "parts_of_key_updates_count_too",
            "thirty_two_requests_have_one_answer",
            "what_a_connection_occupies",
        ],
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
