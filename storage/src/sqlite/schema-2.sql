-- Version 2. How much of a user's offline messages is whose: those of before count for the user alone.

ALTER TABLE offline ADD COLUMN sender TEXT NOT NULL DEFAULT '';  -- bare address
ALTER TABLE offline ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE offline SET bytes = length(CAST(stanza AS BLOB));
-- all that a count of them reads
CREATE INDEX offline_by_sender ON offline (user, sender, bytes);
