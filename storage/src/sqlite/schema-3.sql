-- Version 3. Offline messages that cannot be read are put here: they are not delivered, and count for nobody.

CREATE TABLE damaged (
    id     INTEGER PRIMARY KEY,  -- that of the offline message
    user   TEXT NOT NULL,
    at     INTEGER NOT NULL,
    stanza TEXT NOT NULL,
    sender TEXT NOT NULL,
    bytes  INTEGER NOT NULL
);
CREATE INDEX damaged_by_user ON damaged (user);
