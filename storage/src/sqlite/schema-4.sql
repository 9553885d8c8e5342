-- Version 4. Sessions that can be resumed, and the offline messages that wait for one: they are held. And a table to see whether
-- something can be written.

CREATE TABLE sessions (
    key     TEXT PRIMARY KEY,
    user    TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    until   INTEGER NOT NULL,  -- milliseconds of the epoch; 0: its client is connected
    handled INTEGER NOT NULL,  -- stanzas of the client, modulo 2^32
    frozen  BLOB NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user);

CREATE TABLE held (
    user    TEXT NOT NULL,     -- that of the message
    session TEXT NOT NULL,     -- a session's key
    id      INTEGER NOT NULL,  -- that of the offline message
    PRIMARY KEY (user, session, id)
) WITHOUT ROWID;

-- those that hold something and are not in the table sessions: found without a look at all the others
CREATE TABLE unkept (
    user    TEXT NOT NULL,
    session TEXT NOT NULL,
    PRIMARY KEY (user, session)
) WITHOUT ROWID;

ALTER TABLE offline ADD COLUMN holders INTEGER NOT NULL DEFAULT 0;    -- how many hold it
ALTER TABLE offline ADD COLUMN delivered INTEGER NOT NULL DEFAULT 0;  -- it is forgotten with its last holder
-- what is held is in none of the first two: it comes and goes with each stanza
DROP INDEX offline_by_user;
DROP INDEX offline_by_time;
DROP INDEX offline_by_sender;
CREATE INDEX offline_by_user ON offline (user, id) WHERE holders = 0;
CREATE INDEX offline_by_time ON offline (at) WHERE holders = 0;
CREATE INDEX offline_by_sender ON offline (user, sender, bytes, holders);

-- written now and then: the last row is all there is
CREATE TABLE probe (
    id     INTEGER PRIMARY KEY,
    filler BLOB NOT NULL
);
