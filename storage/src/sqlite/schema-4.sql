-- Version 4. Written now and then to see whether something can be: the last row is all there is.

CREATE TABLE probe (
    id     INTEGER PRIMARY KEY,
    filler BLOB NOT NULL
);
