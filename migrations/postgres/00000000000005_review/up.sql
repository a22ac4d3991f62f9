-- The identity graph and the queue of matches that a person decides. Times are UTC milliseconds.

-- An edge between a number that a source knows a person by and a member of ours. `source` is a partner's id, empty for us.
CREATE TABLE identity_link (
    id TEXT PRIMARY KEY NOT NULL,
    source TEXT NOT NULL,
    kind TEXT NOT NULL,
    system TEXT NOT NULL,
    value TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    state TEXT NOT NULL,
    confidence BIGINT NOT NULL,
    origin TEXT NOT NULL,
    decision_id TEXT,
    review_id TEXT,
    from_ms BIGINT NOT NULL,
    until_ms BIGINT,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX identity_link_edge ON identity_link (source, system, value, patient_id);
CREATE INDEX identity_link_member ON identity_link (patient_id);
CREATE INDEX identity_link_review ON identity_link (review_id);
CREATE INDEX identity_link_disputed ON identity_link (source, patient_id) WHERE state = 'disputed';

-- What was done to links, as often as it was done; only appended to.
CREATE TABLE identity_step (
    id TEXT PRIMARY KEY NOT NULL,
    at_ms BIGINT NOT NULL,
    event TEXT NOT NULL,
    operator TEXT,
    reason TEXT,
    undoes TEXT UNIQUE
);

-- A link before and after a step, as JSON; absent where there was none.
CREATE TABLE identity_change (
    step_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    link_id TEXT NOT NULL,
    link_before TEXT,
    link_after TEXT,
    PRIMARY KEY (step_id, place)
);
CREATE INDEX identity_change_link ON identity_change (link_id);

-- The grants that a step revoked; one whose `revoked_ms` is that step's time is still revoked by it.
CREATE TABLE identity_revocation (
    step_id TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    PRIMARY KEY (step_id, grant_id)
);
CREATE INDEX identity_revocation_grant ON identity_revocation (grant_id);

-- `asked` is a keyed hash of what a partner asked; `request` is what it was, while somebody has to look at it.
CREATE TABLE review (
    id TEXT PRIMARY KEY NOT NULL,
    partner_id TEXT NOT NULL,
    asked BYTEA NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    decision_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    request TEXT,
    owner TEXT,
    due_ms BIGINT NOT NULL,
    opened_ms BIGINT NOT NULL,
    asked_count BIGINT NOT NULL,
    asked_ms BIGINT NOT NULL,
    proposed TEXT,
    proposed_patient TEXT,
    proposed_by TEXT,
    proposed_token BYTEA,
    patient_id TEXT,
    decided_ms BIGINT,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX review_question ON review (partner_id, asked);
CREATE INDEX review_due ON review (state, due_ms);

CREATE TABLE review_candidate (
    review_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    patient_id TEXT NOT NULL,
    total_tenths BIGINT NOT NULL,
    fields TEXT NOT NULL,
    PRIMARY KEY (review_id, place)
);

-- Who did what to a review, and why; only appended to.
CREATE TABLE review_act (
    id TEXT PRIMARY KEY NOT NULL,
    review_id TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    act TEXT NOT NULL,
    verdict TEXT,
    patient_id TEXT,
    operator TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE INDEX review_act_review ON review_act (review_id);
