-- Legal holds: what is held is not deleted when its time is over, and not erased. `kind` is member or exchange, `target` the id of the Patient
-- or of the exchange, `case_id` the matter that it belongs to. A released hold stays on record. Times are UTC milliseconds.
CREATE TABLE retention_hold (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    case_id TEXT,
    reason TEXT NOT NULL,
    placed_by TEXT NOT NULL,
    placed_ms BIGINT NOT NULL,
    released_ms BIGINT,
    released_by TEXT,
    released_why TEXT
);
CREATE INDEX retention_hold_target ON retention_hold (kind, target);

-- The time that retention goes by (`seen_ms`; 0 before the first run), which no clock can set forward at once; and the entry after which the
-- next run looks for values to delete (`from_id`).
CREATE TABLE retention_clock (
    one BIGINT PRIMARY KEY NOT NULL,
    seen_ms BIGINT NOT NULL,
    from_id TEXT NOT NULL
);
INSERT INTO retention_clock (one, seen_ms, from_id) VALUES (1, 0, '');

-- How many entries the tree had at that time: an entry with a larger index is younger, whatever time it was stamped with.
CREATE TABLE retention_mark (
    log BIGINT NOT NULL,
    marked_ms BIGINT NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (log, marked_ms)
);

-- What was deleted of each kind of data: in all, and last, with the ledger entry that proves it.
CREATE TABLE retention_kind (
    kind TEXT PRIMARY KEY NOT NULL,
    total BIGINT NOT NULL,
    last BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    entry_id TEXT NOT NULL
);
