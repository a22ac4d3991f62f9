-- Checkpoints that others vouch for. Times are UTC milliseconds.

-- The newest cosignature of each witness: its key as text, the signed checkpoint (`note`) of `size` entries, and the line that it added.
CREATE TABLE ledger_cosignature (
    log BIGINT NOT NULL,
    witness TEXT NOT NULL,
    size BIGINT NOT NULL,
    note TEXT NOT NULL,
    line TEXT NOT NULL,
    signed_ms BIGINT NOT NULL,
    PRIMARY KEY (log, witness)
);

-- The checkpoint of a partner's ledger that came with answers to an exchange or bulk run of ours (`work_id`). Nobody has verified it.
CREATE TABLE partner_checkpoint (
    work_id TEXT PRIMARY KEY NOT NULL,
    partner_id TEXT NOT NULL,
    note TEXT NOT NULL,
    came_ms BIGINT NOT NULL
);
