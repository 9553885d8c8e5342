-- Version 1. Every table of a user's things begins its key or an index with the user: what one
-- user owns is read and purged without a scan.

CREATE TABLE accounts (
    user     TEXT PRIMARY KEY,
    host     TEXT NOT NULL,
    created  INTEGER NOT NULL,  -- milliseconds of the epoch
    disabled INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX accounts_by_host ON accounts (host, user);

CREATE TABLE scram_keys (
    user       TEXT NOT NULL,
    place      INTEGER NOT NULL,  -- their order
    hash       TEXT NOT NULL,
    salt       BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    PRIMARY KEY (user, place)
) WITHOUT ROWID;

CREATE TABLE rosters (
    user    TEXT PRIMARY KEY,
    ver     INTEGER NOT NULL,
    floor   INTEGER NOT NULL,
    removed TEXT NOT NULL  -- JSON: [[address, version], ...], oldest first
) WITHOUT ROWID;

CREATE TABLE roster_items (
    user TEXT NOT NULL,
    jid  TEXT NOT NULL,
    item TEXT NOT NULL,  -- JSON
    PRIMARY KEY (user, jid)
) WITHOUT ROWID;

-- AUTOINCREMENT: an id is never used again, also when the last message is removed
CREATE TABLE offline (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    user   TEXT NOT NULL,
    at     INTEGER NOT NULL,  -- milliseconds of the epoch
    stanza TEXT NOT NULL
);
CREATE INDEX offline_by_user ON offline (user, id);
CREATE INDEX offline_by_time ON offline (at);

CREATE TABLE vcards (
    user TEXT PRIMARY KEY,
    xml  TEXT NOT NULL
);

CREATE TABLE private (
    user TEXT NOT NULL,
    ns   TEXT NOT NULL,
    name TEXT NOT NULL,
    xml  TEXT NOT NULL,
    PRIMARY KEY (user, ns, name)
);

CREATE TABLE blocklists (
    user TEXT NOT NULL,
    jid  TEXT NOT NULL,
    PRIMARY KEY (user, jid)
) WITHOUT ROWID;

CREATE TABLE activity (
    user   TEXT PRIMARY KEY,
    at     INTEGER NOT NULL,  -- milliseconds of the epoch
    status TEXT NOT NULL
) WITHOUT ROWID;
