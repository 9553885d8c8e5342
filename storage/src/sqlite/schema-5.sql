-- Version 5. Offline messages that make clients end their streams: how often they did, and those that are kept from their
-- user for it.

ALTER TABLE offline ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;

CREATE TABLE quarantine (
    id     INTEGER PRIMARY KEY,  -- that of the offline message
    user   TEXT NOT NULL,
    at     INTEGER NOT NULL,     -- milliseconds of the epoch
    since  INTEGER NOT NULL,     -- the same
    stanza TEXT NOT NULL,
    sender TEXT NOT NULL,
    bytes  INTEGER NOT NULL
);
CREATE INDEX quarantine_by_user ON quarantine (user, id);
