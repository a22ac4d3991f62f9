-- Erasure of members, and the backups that still have what was erased. Times are UTC milliseconds.

-- One row for each erasure. `patient_id` is there only until the erasure is done; `state` is `running`, `erased` when only the files of the
-- database are left to be cleaned, and `done`. `entry_id` is the ledger entry that tells of it, `counts` how much there was
-- to be erased (JSON, numbers only).
CREATE TABLE erasure (
    id TEXT PRIMARY KEY NOT NULL,
    patient_id TEXT,
    with_record BIGINT NOT NULL,
    reason TEXT NOT NULL,
    legal_basis TEXT,
    operator TEXT NOT NULL,
    state TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    counts TEXT NOT NULL,
    begun_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE UNIQUE INDEX erasure_member ON erasure (patient_id);

-- The backups that `causeway backup` made, by their ledger entries. `expires_ms` is when the operator will have deleted one; none when nobody
-- said.
CREATE TABLE backup_made (
    entry_id TEXT PRIMARY KEY NOT NULL,
    made_ms BIGINT NOT NULL,
    folder TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 BLOB NOT NULL,
    expires_ms BIGINT
);
