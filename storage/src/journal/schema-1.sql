-- Version 1 of journal.sqlite. What a node accepted while the database was away, in the order in which it did.

CREATE TABLE journal (
    id       INTEGER PRIMARY KEY,
    user     TEXT NOT NULL,
    at       INTEGER NOT NULL,    -- journaled at, in milliseconds of the epoch
    name     BLOB NOT NULL,       -- by which the database knows the operation again: 16 bytes
    bytes    INTEGER NOT NULL,    -- of op and frozen
    messages INTEGER NOT NULL,    -- that are kept with it
    weight   INTEGER NOT NULL,    -- theirs, in bytes
    op       TEXT NOT NULL,       -- JSON
    frozen   BLOB NOT NULL        -- the session's, which stands in no JSON
);

-- Rows that could not be read, for an operator. Nothing here is looked at again.
CREATE TABLE damaged (
    id     INTEGER PRIMARY KEY,
    user, at, name, op, frozen
);
