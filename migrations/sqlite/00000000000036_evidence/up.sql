-- Evidence packets and the cases that group them. Times are UTC milliseconds unless a name says otherwise.

-- A packet that was asked for. `subject` is the id of the exchange, correlation, member or case that it is about; `at_note` the checkpoint
-- that it was asked for, if one was named. The last columns are written when it was made, or when it is known that it cannot be.
CREATE TABLE evidence_packet (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT,
    from_ms BIGINT,
    to_ms BIGINT,
    at_note TEXT,
    asked_by TEXT NOT NULL,
    asked_us BIGINT NOT NULL,
    state TEXT NOT NULL,
    fault TEXT,
    size BIGINT,
    entries BIGINT,
    bytes BIGINT,
    sha256 TEXT,
    made_ms BIGINT
);
CREATE INDEX evidence_packet_subject ON evidence_packet (subject, id);

-- The bytes of a packet that was made, in pieces.
CREATE TABLE evidence_piece (
    packet_id TEXT NOT NULL,
    no BIGINT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (packet_id, no)
);

-- Of whom a packet that was made tells: the ids of Patients that are in it.
CREATE TABLE evidence_member (
    patient_id TEXT NOT NULL,
    packet_id TEXT NOT NULL,
    PRIMARY KEY (patient_id, packet_id)
);

CREATE TABLE evidence_case (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    opened_by TEXT NOT NULL,
    opened_ms BIGINT NOT NULL,
    closed_by TEXT,
    closed_ms BIGINT
);
CREATE UNIQUE INDEX evidence_case_name ON evidence_case (name);

-- What a case has: the id of an exchange or a correlation id, and the ledger entry that added it.
CREATE TABLE evidence_case_item (
    case_id TEXT NOT NULL,
    item TEXT NOT NULL,
    kind TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added_ms BIGINT NOT NULL,
    PRIMARY KEY (case_id, item)
);
