-- Files of many members whose download is one entry of the ledger; the subject of the entry is the name of the file. A row is written before
-- the first download of the file begins, never changes, and outlives the file. `root` is in the entries: the root over commitments to each
-- member's share, whose salts are derived from `secret`.
CREATE TABLE disclosed_file (
    name TEXT PRIMARY KEY NOT NULL,
    members BIGINT NOT NULL,
    root BLOB NOT NULL,
    secret BLOB NOT NULL
);

-- What of such a file is a member's: the bytes from `begins` on, under which consent. `place` is its number among the shares of the file.
-- To be erased with a member.
CREATE TABLE disclosed_share (
    subject TEXT NOT NULL,
    file TEXT NOT NULL,
    place BIGINT NOT NULL,
    consent_id TEXT NOT NULL,
    sensitive BIGINT NOT NULL,
    begins BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    resources BIGINT NOT NULL,
    PRIMARY KEY (subject, file)
) WITHOUT ROWID;
