-- Withdrawal, tracing, and accounting of disclosures.

-- Who withdrew a consent or ended a grant, and why.
ALTER TABLE consent ADD COLUMN revoked_by TEXT;
ALTER TABLE consent ADD COLUMN revoked_why TEXT;
ALTER TABLE grants ADD COLUMN revoked_by TEXT;
ALTER TABLE grants ADD COLUMN revoked_why TEXT;

-- Whose token it is; absent for tokens of before.
ALTER TABLE operator_token ADD COLUMN name TEXT;

-- Our request id, kept apart only where the caller sent a correlation id of its own; else the two are one.
ALTER TABLE ledger_entry ADD COLUMN request_id TEXT;
UPDATE ledger_entry SET request_id = json_extract(CAST(entry AS TEXT), '$.request_id')
    WHERE json_extract(CAST(entry AS TEXT), '$.request_id') <> correlation_id;
CREATE INDEX ledger_entry_request ON ledger_entry (request_id) WHERE request_id IS NOT NULL;

-- Entries by what they are about. Written some minutes after the entries, in order, many at once: an index that each entry goes into
-- by itself would cost every read a page. To be erased with a member, like `subject`.
CREATE TABLE ledger_subject (
    subject TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    PRIMARY KEY (subject, entry_id)
) WITHOUT ROWID;

-- The last entry that was looked at for the rows above; those after it are found by reading them.
CREATE TABLE ledger_subject_state (
    one BIGINT PRIMARY KEY NOT NULL,
    upto TEXT NOT NULL
);
INSERT INTO ledger_subject_state (one, upto) VALUES (1, '');
