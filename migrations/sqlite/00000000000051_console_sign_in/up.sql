-- Sign-ins at the identity provider that browsers have begun: the hash of what the cookie holds, the session of the same browser before it, and
-- the page to which it leads. Each is taken once.
CREATE TABLE console_sign_in (
    hash BLOB PRIMARY KEY NOT NULL,
    session_before BLOB,
    place TEXT NOT NULL,
    expires_ms BIGINT NOT NULL
);
