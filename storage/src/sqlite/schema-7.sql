-- Version 7. Sessions of several nodes: what those of one of them hold that are not kept.

CREATE INDEX unkept_by_session ON unkept (session, user);
