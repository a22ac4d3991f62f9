-- Keys that all processes of one store share, such as the one that authenticates page links. Never a signing key.
CREATE TABLE server_secret (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
);
