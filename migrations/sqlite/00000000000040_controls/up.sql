-- The last run of each control of the register: what it found (`holds`, `failed` or `not-run`), of how many things that it looked at, by which
-- seed they were chosen, and the SHA-256 of the report. `entry_id` is the ledger entry of the run. Times are UTC milliseconds.
CREATE TABLE control_run (
    control TEXT PRIMARY KEY NOT NULL,
    last_run_ms BIGINT NOT NULL,
    result TEXT NOT NULL,
    seed BIGINT NOT NULL,
    checked BIGINT NOT NULL,
    defects BIGINT NOT NULL,
    report_sha256 BLOB NOT NULL,
    entry_id TEXT NOT NULL
);
