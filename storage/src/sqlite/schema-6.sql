-- Version 6. Accounts that belong to another application.

ALTER TABLE accounts ADD COLUMN origin TEXT;  -- JSON; NULL: it is an account of this server
