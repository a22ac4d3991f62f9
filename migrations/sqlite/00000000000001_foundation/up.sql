-- The foundation: partners, tokens, records, decisions, grants, ledger. Times are UTC milliseconds (`_ms`) or microseconds (`_us`).

CREATE TABLE partner (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    npi TEXT NOT NULL,
    client_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    status_reason TEXT,
    certificate_uri TEXT UNIQUE,
    mtls TEXT NOT NULL,
    scopes TEXT NOT NULL,
    dialect TEXT NOT NULL,
    jwks TEXT,
    jwks_url TEXT,
    endpoint TEXT,
    version BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);

CREATE TABLE access_token (
    hash BLOB PRIMARY KEY NOT NULL,
    partner_id TEXT NOT NULL REFERENCES partner (id),
    scope TEXT NOT NULL,
    certificate_sha256 BLOB,
    patient_id TEXT,
    jti_sha256 BLOB NOT NULL,
    key_thumbprint TEXT NOT NULL,
    issued_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    revoked_ms BIGINT
);
CREATE INDEX access_token_expiry ON access_token (expires_ms);

CREATE TABLE assertion_seen (
    client_id TEXT NOT NULL,
    jti_sha256 BLOB NOT NULL,
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (client_id, jti_sha256)
);
CREATE INDEX assertion_seen_expiry ON assertion_seen (expires_ms);

CREATE TABLE operator_token (
    hash BLOB PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);

-- One row for each member; `no` 0 is never used: it is the compartment of what belongs to nobody.
CREATE TABLE compartment (
    no INTEGER PRIMARY KEY NOT NULL,
    patient_id TEXT NOT NULL UNIQUE,
    umb TEXT NOT NULL UNIQUE,
    next_seq BIGINT NOT NULL
);

-- `key` is compartment * 2^24 + sequence, so that a member's rows stand side by side.
CREATE TABLE resource (
    key INTEGER PRIMARY KEY NOT NULL,
    compartment BIGINT NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    last_updated_ms BIGINT NOT NULL,
    service_from_ms BIGINT,
    service_to_ms BIGINT,
    sensitivity BIGINT NOT NULL,
    pa_state BIGINT NOT NULL,
    pa_changed_ms BIGINT,
    financial BIGINT NOT NULL,
    source_sha256 BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    body BLOB NOT NULL,
    released BLOB
);
CREATE UNIQUE INDEX resource_identity ON resource (type, id);

CREATE TABLE resource_identifier (
    value TEXT NOT NULL,
    system TEXT NOT NULL,
    type TEXT NOT NULL,
    kind TEXT NOT NULL,
    key BIGINT NOT NULL,
    PRIMARY KEY (value, system, type, kind, key)
) WITHOUT ROWID;
CREATE INDEX resource_identifier_key ON resource_identifier (key);

-- What identity compares, one row for each Patient resource.
CREATE TABLE member (
    compartment INTEGER PRIMARY KEY NOT NULL,
    patient_id TEXT NOT NULL,
    family TEXT NOT NULL,
    birth_date TEXT NOT NULL,
    demographics TEXT NOT NULL
);
CREATE INDEX member_name ON member (birth_date, family);

CREATE TABLE consent (
    id TEXT PRIMARY KEY NOT NULL,
    partner_id TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    policy TEXT NOT NULL,
    period_from_ms BIGINT NOT NULL,
    period_to_ms BIGINT NOT NULL,
    body BLOB NOT NULL,
    recorded_ms BIGINT NOT NULL,
    revoked_ms BIGINT,
    UNIQUE (partner_id, patient_id, digest)
);

CREATE TABLE decision (
    id TEXT PRIMARY KEY NOT NULL,
    partner_id TEXT NOT NULL,
    exchange_id TEXT,
    correlation_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    patient_id TEXT,
    consent_id TEXT,
    grant_id TEXT,
    policy_version TEXT NOT NULL,
    detail TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX decision_correlation ON decision (correlation_id);

CREATE TABLE grants (
    id TEXT PRIMARY KEY NOT NULL,
    partner_id TEXT NOT NULL,
    compartment BIGINT NOT NULL,
    patient_id TEXT NOT NULL,
    consent_id TEXT NOT NULL REFERENCES consent (id),
    decision_id TEXT NOT NULL,
    sensitive BIGINT NOT NULL,
    valid_from_ms BIGINT NOT NULL,
    valid_until_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    renewed_ms BIGINT NOT NULL,
    revoked_ms BIGINT,
    UNIQUE (partner_id, compartment, consent_id)
);

-- `entry` is what the tree will hash and never changes; `subject` and `subject_salt` open its commitment and can be erased.
CREATE TABLE ledger_entry (
    id TEXT PRIMARY KEY NOT NULL,
    idx BIGINT UNIQUE,
    at_us BIGINT NOT NULL,
    action TEXT NOT NULL,
    partner_id TEXT,
    exchange_id TEXT,
    correlation_id TEXT NOT NULL,
    entry BLOB NOT NULL,
    subject TEXT,
    subject_salt BLOB
);
CREATE INDEX ledger_entry_correlation ON ledger_entry (correlation_id);

CREATE TABLE idempotency (
    partner_id TEXT NOT NULL,
    method TEXT NOT NULL,
    route TEXT NOT NULL,
    idem_key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    state TEXT NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    status BIGINT,
    body BLOB,
    decision_id TEXT,
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (partner_id, method, route, idem_key)
);
CREATE INDEX idempotency_expiry ON idempotency (expires_ms);
