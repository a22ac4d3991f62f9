-- `last_updated_ms` is when a version became visible here; what its source says of it stands beside: `meta.lastUpdated`, and
-- `meta.versionId` when that is a whole number.
ALTER TABLE resource ADD COLUMN source_updated_ms BIGINT;
ALTER TABLE resource ADD COLUMN source_version BIGINT;

-- Which resource names which Binary: `key` is the resource that has the attachment.
CREATE TABLE attachment (
    binary_id TEXT NOT NULL,
    key BIGINT NOT NULL,
    PRIMARY KEY (binary_id, key)
);
CREATE INDEX attachment_key ON attachment (key);

-- The last time that versions became visible, and the key up to which rows of before are brought up; none when all are.
CREATE TABLE visible_state (
    one BIGINT PRIMARY KEY NOT NULL,
    last_ms BIGINT NOT NULL,
    after_key BIGINT
);
INSERT INTO visible_state (one, last_ms, after_key)
    SELECT 1, 0, CASE WHEN EXISTS (SELECT 1 FROM resource) THEN -1 ELSE NULL END;
