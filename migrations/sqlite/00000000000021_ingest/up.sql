-- What another payer sent, kept as it was received, and what became of each resource of it. Everything that it sent is sealed: `sealed`
-- columns hold ciphertext under the key `key_id`, which is in a file outside the database.

-- One row for each exchange that brought something.
CREATE TABLE ingest (
    exchange_id TEXT PRIMARY KEY NOT NULL,
    partner_id TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    sealed_about BLOB NOT NULL,
    method TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX ingest_patient ON ingest (patient_id);

-- One row for each thing that was asked for (a type, or everything): how far it has come, and where it goes on.
CREATE TABLE ingest_part (
    exchange_id TEXT NOT NULL,
    part TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    pages BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    expected BIGINT,
    sealed_next BLOB,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (exchange_id, part)
);

-- One row for each body that came to its end. Pages count from 1 in an exchange. `types` counts its resources, `date_ms` is the partner's
-- time of the answer.
CREATE TABLE ingest_page (
    exchange_id TEXT NOT NULL,
    page BIGINT NOT NULL,
    part TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 BLOB NOT NULL,
    link_sha256 BLOB NOT NULL,
    entries BIGINT NOT NULL,
    types TEXT NOT NULL,
    date_ms BIGINT,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (exchange_id, page)
);

-- The bodies, in pieces.
CREATE TABLE ingest_piece (
    exchange_id TEXT NOT NULL,
    page BIGINT NOT NULL,
    piece BIGINT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (exchange_id, page, piece)
);

-- One row for each resource that came: where it stands in its body, and what became of it. Page 0 holds what this server added itself.
CREATE TABLE ingest_resource (
    exchange_id TEXT NOT NULL,
    page BIGINT NOT NULL,
    entry BIGINT NOT NULL,
    start BIGINT NOT NULL,
    length BIGINT NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT,
    source_sha256 BLOB NOT NULL,
    gate_version BIGINT NOT NULL,
    PRIMARY KEY (exchange_id, page, entry)
);
CREATE INDEX ingest_resource_name ON ingest_resource (type, id);
CREATE INDEX ingest_resource_outcome ON ingest_resource (exchange_id, outcome);
