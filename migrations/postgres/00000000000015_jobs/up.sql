-- Background work that outlives a process: one row for each piece of it, gone when it is done. `payload` is small and holds no member
-- data. A row is leased by one worker at a time: `lease_token` and `lease_epoch` stand in every write of a result. `claims` counts
-- leases without a result, `attempts` tries that failed. Times are UTC milliseconds; those of a lease are the database's.
CREATE TABLE job (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    partner_id TEXT,
    live_key TEXT NOT NULL,
    payload TEXT NOT NULL,
    state TEXT NOT NULL,
    priority BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    lease_until_ms BIGINT,
    lease_token BYTEA,
    lease_epoch BIGINT NOT NULL,
    claims BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    last_class TEXT,
    parked_at_ms BIGINT,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
-- The same work is there once while it lives.
CREATE UNIQUE INDEX job_live ON job (kind, live_key);
CREATE INDEX job_next ON job (priority, due_ms, id) WHERE state = 'waiting';
CREATE INDEX job_leased ON job (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX job_parked ON job (parked_at_ms) WHERE parked_at_ms IS NOT NULL;

-- Authorizations that will be over, by when.
CREATE INDEX resource_authorization_end ON resource (pa_changed_ms) WHERE pa_state = 1 AND pa_changed_ms IS NOT NULL;
