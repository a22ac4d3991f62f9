-- What this payer asks a partner for many members at once. Times are UTC milliseconds.

-- One row for each run. `state` is `gathering`, `running`, `done` or `failed`; `step` is what it does next; `failed` counts the attempts of
-- that step that failed; `fault` is the code of what ended it. `status_url` is the address at the partner of the work that runs there.
CREATE TABLE bulk_run (
    id TEXT PRIMARY KEY NOT NULL,
    partner_id TEXT NOT NULL,
    file_digest TEXT NOT NULL,
    state TEXT NOT NULL,
    step TEXT NOT NULL,
    failed BIGINT NOT NULL,
    status_url TEXT,
    group_id TEXT,
    progress TEXT,
    transaction_ms BIGINT,
    left_out BIGINT NOT NULL,
    fault TEXT,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    deadline_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE INDEX bulk_run_state ON bulk_run (state, partner_id);

-- The members of a run, each with its own exchange. While `carried` is 1 the run works for the exchange, which has no job of its own.
-- `attempt` is the number of the attempt of the exchange's step that the run has begun; 0 before that.
CREATE TABLE bulk_run_member (
    run_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    exchange_id TEXT NOT NULL,
    carried BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (run_id, position)
);
CREATE UNIQUE INDEX bulk_run_member_exchange ON bulk_run_member (exchange_id, run_id);

-- The files that the partner names, and those that are kept here: `name` is that of the sealed file, which is whole when it is named.
CREATE TABLE bulk_run_file (
    run_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    resource_type TEXT NOT NULL,
    url TEXT NOT NULL,
    told_resources BIGINT,
    told_bytes BIGINT,
    told_sha256 BLOB,
    name TEXT,
    resources BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (run_id, position)
);
