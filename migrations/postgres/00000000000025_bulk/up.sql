-- Bulk work for a partner: runs over many members, their files, and the groups of members that a partner made. Times are UTC milliseconds.

-- One row for each run. `fault` is the code of what ended it, `spool` names the file with the request's body.
CREATE TABLE bulk_job (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    state TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    request_url TEXT NOT NULL,
    request_json TEXT NOT NULL,
    group_id TEXT,
    spool TEXT,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    transaction_ms BIGINT,
    deadline_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    pieces BIGINT NOT NULL,
    pieces_done BIGINT NOT NULL,
    fault TEXT
);
CREATE INDEX bulk_job_partner ON bulk_job (partner_id, state);
CREATE INDEX bulk_job_deadline ON bulk_job (state, deadline_ms);

-- The parts of a run, each done once. The keys are the first and the last member, or line, of a piece; `members` is how many it was
-- planned with.
CREATE TABLE bulk_piece (
    job_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    state TEXT NOT NULL,
    first_key TEXT NOT NULL,
    last_key TEXT NOT NULL,
    members BIGINT NOT NULL,
    PRIMARY KEY (job_id, position)
);

-- One row for each file that a run gave: it is whole on the disk before its row is there. `bytes` and `sha256` are those of its plain text.
CREATE TABLE bulk_file (
    name TEXT PRIMARY KEY NOT NULL,
    job_id TEXT NOT NULL,
    piece BIGINT NOT NULL,
    side TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resources BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 BYTEA NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX bulk_file_job ON bulk_file (job_id, piece);

-- The members that a partner named in one bulk match, by what became of them. A group belongs to its partner.
CREATE TABLE member_group (
    id TEXT PRIMARY KEY NOT NULL,
    partner_id TEXT NOT NULL,
    code TEXT NOT NULL,
    job_id TEXT NOT NULL,
    match_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX member_group_partner ON member_group (partner_id);

CREATE TABLE member_group_entry (
    group_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    patient_id TEXT,
    decision_id TEXT,
    sealed BYTEA,
    PRIMARY KEY (group_id, position)
);
CREATE INDEX member_group_entry_patient ON member_group_entry (patient_id, group_id);
