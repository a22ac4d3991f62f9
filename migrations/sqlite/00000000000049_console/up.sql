-- One-time links to the console, and the sessions of browsers that they began; both as hashes only. What a session may do is the row of
-- operator_token with the same hash: without it the session lets nobody in.
CREATE TABLE console_link (
    hash BLOB PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

-- agent_sha256: the browser that signed in. seen_ms: when it last asked for a page; a session that is idle too long has ended.
CREATE TABLE console_session (
    hash BLOB PRIMARY KEY NOT NULL,
    agent_sha256 BLOB NOT NULL,
    seen_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
