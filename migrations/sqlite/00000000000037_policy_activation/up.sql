-- When a version of a policy decides, and for whom. Rows are added and never deleted. Times are UTC milliseconds.

-- One row for each scope of an act: a partner, or '' for every partner. `act_id` is the ledger entry that recorded the act; several named
-- partners share it. Of the rows that are approved, not withdrawn and effective, the one with the latest `effective_ms` decides.
-- `before_id` is the version that decided in that scope when the act was asked for. A row without `approved_ms` waits for a second person;
-- `approval_id` is the ledger entry of that person's approval.
CREATE TABLE policy_activation (
    act_id TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    version_id TEXT NOT NULL REFERENCES policy_version (id),
    before_id TEXT REFERENCES policy_version (id),
    asked_ms BIGINT NOT NULL,
    effective_ms BIGINT NOT NULL,
    approved_ms BIGINT,
    approval_id TEXT,
    withdrawn_ms BIGINT,
    PRIMARY KEY (act_id, partner_id)
);
CREATE INDEX policy_activation_scope ON policy_activation (kind, partner_id, effective_ms);
