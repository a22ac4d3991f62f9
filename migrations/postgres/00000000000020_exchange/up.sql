-- The requester's half. An exchange asks one partner for the record of one member. `exchange` holds its states, `exchange_ask` what was
-- asked and never changes, `exchange_result` what the partner answered. Times are UTC milliseconds.

-- The member's consent that we may ask a partner, with who attested it. A revoked one is never made valid again.
CREATE TABLE opt_in (
    id TEXT PRIMARY KEY NOT NULL,
    member_id TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    from_ms BIGINT NOT NULL,
    to_ms BIGINT,
    attested_by TEXT NOT NULL,
    attested_ms BIGINT NOT NULL,
    attested_how TEXT NOT NULL,
    recorded_ms BIGINT NOT NULL,
    revoked_ms BIGINT,
    revoked_by TEXT,
    revoked_why TEXT
);
CREATE INDEX opt_in_member ON opt_in (member_id, id);

-- `step` is the step that comes next, `round` and `attempts` count for that step. `live_key` names the business intent and is there only
-- while the exchange lives, so that the same intent has one exchange at a time. `version` counts the changes of the row. A parked exchange
-- keeps its phase and has `parked_at_ms`.
CREATE TABLE exchange (
    id TEXT PRIMARY KEY NOT NULL,
    direction TEXT NOT NULL,
    kind TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    member_id TEXT,
    live_key TEXT,
    correlation_id TEXT NOT NULL,
    workflow BIGINT NOT NULL,
    policy_version TEXT NOT NULL,
    phase TEXT NOT NULL,
    identity_state TEXT NOT NULL,
    consent_state TEXT NOT NULL,
    transport_state TEXT NOT NULL,
    delivery_state TEXT NOT NULL,
    audit_state TEXT NOT NULL,
    owner TEXT NOT NULL,
    reason TEXT,
    step TEXT NOT NULL,
    round BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    wake_ms BIGINT,
    parked_at_ms BIGINT,
    deadline_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    answer_due_ms BIGINT,
    run_of TEXT,
    superseded_by TEXT,
    version BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE UNIQUE INDEX exchange_live ON exchange (live_key);
CREATE INDEX exchange_partner ON exchange (partner_id, id);
CREATE INDEX exchange_member ON exchange (member_id, id);
CREATE INDEX exchange_correlation ON exchange (correlation_id);
CREATE INDEX exchange_run_of ON exchange (run_of);
CREATE INDEX exchange_parked ON exchange (parked_at_ms) WHERE parked_at_ms IS NOT NULL;
CREATE INDEX exchange_lives ON exchange (partner_id, id) WHERE ended_ms IS NULL;
CREATE INDEX exchange_awake ON exchange (id) WHERE ended_ms IS NULL AND parked_at_ms IS NULL;

CREATE TABLE exchange_ask (
    exchange_id TEXT PRIMARY KEY NOT NULL,
    asked_for TEXT NOT NULL,
    cover TEXT NOT NULL,
    opt_in_id TEXT NOT NULL,
    own_coverage_id TEXT,
    member_number TEXT NOT NULL,
    subscriber_number TEXT,
    group_number TEXT,
    plan TEXT,
    number_system TEXT,
    begins TEXT,
    ends TEXT,
    coverage_digest TEXT NOT NULL,
    since_ms BIGINT,
    request_key TEXT,
    request_digest TEXT,
    started_by TEXT NOT NULL
);
CREATE UNIQUE INDEX exchange_ask_request ON exchange_ask (request_key);
CREATE INDEX exchange_ask_opt_in ON exchange_ask (opt_in_id);

-- As whom the partner knows the member, and what came. `resume` is what an attempt left for the next one.
CREATE TABLE exchange_result (
    exchange_id TEXT PRIMARY KEY NOT NULL,
    patient_id TEXT,
    identifier_system TEXT,
    identifier TEXT,
    method TEXT,
    as_of_ms BIGINT,
    received BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    stored BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    resume TEXT
);

-- One row for each attempt of a step; written before anything is sent, and completed with the result.
CREATE TABLE exchange_step (
    exchange_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    step TEXT NOT NULL,
    round BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    started_ms BIGINT NOT NULL,
    ended_ms BIGINT,
    class TEXT,
    fault TEXT,
    http_status BIGINT,
    partner_request_id TEXT,
    idempotency_key TEXT NOT NULL,
    request_digest BYTEA,
    response_digest BYTEA,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (exchange_id, number)
);
CREATE INDEX exchange_step_theirs ON exchange_step (partner_request_id) WHERE partner_request_id IS NOT NULL;

-- Exactly what the partner has not given yet.
CREATE TABLE exchange_missing (
    exchange_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    resource_type TEXT NOT NULL,
    missing BIGINT,
    page BIGINT,
    resume TEXT,
    PRIMARY KEY (exchange_id, number)
);

-- Rows of enrolment files that were accepted, by their content: the same row a second time changes nothing.
CREATE TABLE enrolment (
    row_digest TEXT PRIMARY KEY NOT NULL,
    file_digest TEXT NOT NULL,
    line BIGINT NOT NULL,
    exchange_id TEXT NOT NULL,
    accepted_ms BIGINT NOT NULL
);

-- How a partner's server does: the budget of repetitions (thousandths) and the circuit breaker. No row: all is well.
CREATE TABLE partner_health (
    partner_id TEXT PRIMARY KEY NOT NULL,
    budget_milli BIGINT NOT NULL,
    budget_at_ms BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    window_from_ms BIGINT NOT NULL,
    window_calls BIGINT NOT NULL,
    window_failed BIGINT NOT NULL,
    opened BIGINT NOT NULL,
    open_until_ms BIGINT,
    probe_until_ms BIGINT
);

-- The entries of an exchange.
CREATE INDEX ledger_entry_exchange ON ledger_entry (exchange_id) WHERE exchange_id IS NOT NULL;
