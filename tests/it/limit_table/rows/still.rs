//! What holds many things and does not grow with what clients send.

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
    // contacts of one user, while they are told; of a module, while it is handed over
    ("actors/src/remote/outbound.rs", "Groups"),
    ("actors/src/modules/blocking/mod.rs", "jids differs"),
    ("actors/src/resource/coming.rs", "Coming"),
    ("actors/src/resource/copies.rs", "Shares"),
    ("actors/src/resource/frozen.rs", "queue marks shares"),
    ("actors/src/settings.rs", "mechanisms"),
    ("actors/src/hosts.rs", "Hosts"),
    // of one user, while an operator looks
    ("actors/src/routing/explained.rs", "here there"),
    ("src/settings.rs", "chosen"),
    ("actors/src/connection/mod.rs", "proxy_from"),
    ("tls/src/certificates.rs", "chain Certificates"),
    ("tls/src/handshake.rs", "end_point client server"),
    ("tls/src/tickets.rs", "keys Keys"),
    // of one stored password, at most `formats::limits::STORED` bytes
    ("auth/src/formats/argon2.rs", "salt hash"),
    ("auth/src/formats/digests.rs", "salt"),
    ("auth/src/formats/pbkdf2.rs", "salt"),
    ("auth/src/formats/scrypt.rs", "salt"),
    // as configured
    ("auth/src/accounts.rs", "foreign"),
    ("src/elsewhere.rs", "mongodb http jwt"),
    // of three hash functions, at most
    ("auth/src/foreign.rs", "keys"),
    // all that is kept of one user, within the limits that each of it has; `bad` at most `NAMED`
    ("storage/src/transfer.rs", "holders messages sessions quarantine private bad"),
    // of one configured key, or of one token, at most `jwt::TOKEN` bytes
    ("auth/src/jwt/jwks.rs", "keys"),
    ("auth/src/jwt/mod.rs", "audience keys"),
    ("storage/src/backend.rs", "children gauges"),
    ("storage/src/mongo/apply.rs", "numbers"),
    ("storage/src/mongo/document.rs", "keys h"),
    ("storage/src/mongo/lists.rs", "new"),
    ("storage/src/mongo/offline.rs", "page damaged but"),
    // as configured
    ("cluster/src/registry/redis/mod.rs", "callers"),
    ("cluster/src/registry/redis/options.rs", "ca"),
    ("cluster/src/registry/redis/keeper.rs", "missed"),
    // one for each method
    ("cluster/src/registry/redis/stats.rs", "calls"),
    // slots of a Redis Cluster
    ("cluster/src/registry/redis/tracker.rs", "moved"),
    ("src/node/mod.rs", "starttls direct_tls http"),
    ("src/node/shared.rs", "listening"),
    ("src/node/sockets.rs", "starttls direct_tls http"),
    ("src/node/tree.rs", "c2s http"),
    ("src/node/reload.rs", "changed restart"),
    ("src/certificates.rs", "hosts files seen"),
];
