//! What the store holds.

use super::Row;

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
            "actors/src/modules/offline/delivery.rs: PAGE",
            "actors/src/modules/offline/delivery.rs: PAGE_BYTES",
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
