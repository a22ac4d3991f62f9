-- The Merkle tree over the ledger. `log` numbers the logs of this store: a new one begins only when an operator says so, and the newest is
-- in use. Entries keep their rows in ledger_entry; a leaf says which place one has.
CREATE TABLE ledger_log (
    no BIGINT PRIMARY KEY NOT NULL,
    log_id TEXT NOT NULL,
    origin TEXT NOT NULL,
    public_key BYTEA NOT NULL,
    began_ms BIGINT NOT NULL
);

CREATE TABLE ledger_leaf (
    log BIGINT NOT NULL,
    entry_id TEXT NOT NULL,
    idx BIGINT NOT NULL,
    PRIMARY KEY (log, entry_id)
);
CREATE UNIQUE INDEX ledger_leaf_idx ON ledger_leaf (log, idx);

-- Full tiles only: 256 hashes each. They never change.
CREATE TABLE ledger_tile (
    log BIGINT NOT NULL,
    level BIGINT NOT NULL,
    n BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    PRIMARY KEY (log, level, n)
);

-- The size of the tree, the tiles that are not full, and up to which entry no entry is missing in it.
CREATE TABLE ledger_tree (
    log BIGINT PRIMARY KEY NOT NULL,
    size BIGINT NOT NULL,
    edge BYTEA NOT NULL,
    settled TEXT NOT NULL
);

-- Signed checkpoints: the newest, and the last one of each hour.
CREATE TABLE ledger_checkpoint (
    log BIGINT NOT NULL,
    size BIGINT NOT NULL,
    root BYTEA NOT NULL,
    note TEXT NOT NULL,
    signed_ms BIGINT NOT NULL,
    PRIMARY KEY (log, size)
);
