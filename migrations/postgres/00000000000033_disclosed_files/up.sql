-- Files of many members whose download is one entry of the ledger; the subject of the entry is the name of the file. A row is written before
-- the first download of the file begins, never changes, and outlives the file. `root` is in the entries: the root over `leaves`, 32 bytes for
-- each share in its place. A leaf is a commitment to a share, and stays when the share is erased, so that those of the others can be shown.
CREATE TABLE disclosed_file (
    name TEXT PRIMARY KEY NOT NULL,
    members BIGINT NOT NULL,
    root BYTEA NOT NULL,
    leaves BYTEA NOT NULL
);

-- What of such a file is a member's: the bytes from `begins` on, under which consent. `place` is its number among the shares of the file.
-- `salt` is what its leaf was made with. To be erased with a member.
CREATE TABLE disclosed_share (
    subject TEXT NOT NULL,
    file TEXT NOT NULL,
    place BIGINT NOT NULL,
    consent_id TEXT NOT NULL,
    sensitive BIGINT NOT NULL,
    begins BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    resources BIGINT NOT NULL,
    salt BYTEA NOT NULL,
    PRIMARY KEY (subject, file)
);
CREATE INDEX disclosed_share_place ON disclosed_share (file, place);
