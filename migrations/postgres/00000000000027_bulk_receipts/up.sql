-- What partners answered to the receipts of their exports. `missing` has numbers only, as JSON; `signed_by` is the id of the key that signed
-- the answer, `entry_id` that of its ledger entry. Times are UTC milliseconds.
CREATE TABLE bulk_acknowledgement (
    job_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    receipt_sha256 BYTEA NOT NULL,
    result TEXT NOT NULL,
    missing TEXT,
    signed_by TEXT,
    entry_id TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (job_id, position)
);
