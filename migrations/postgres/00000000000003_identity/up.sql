-- What the matcher looks up and compares, written with the record. A key is a hash of demographics under a secret of the store;
-- a profile is the member in comparable form, and `keys` lists the member's hashes, eight bytes each, so that they can be taken back.
CREATE TABLE identity_key (
    hash BIGINT NOT NULL,
    compartment BIGINT NOT NULL,
    PRIMARY KEY (hash, compartment)
);

CREATE TABLE identity_profile (
    compartment BIGINT PRIMARY KEY NOT NULL,
    format BIGINT NOT NULL,
    profile BYTEA NOT NULL,
    keys BYTEA NOT NULL
);

-- States of the roster as a whole (how common names are, how member numbers look): every process decides by the last one.
CREATE TABLE identity_roster (
    no BIGINT PRIMARY KEY NOT NULL,
    records BIGINT NOT NULL,
    sha256 BYTEA NOT NULL,
    facts BYTEA NOT NULL,
    made_ms BIGINT NOT NULL
);

-- Whom a decision that went to a person was about, best first. The decision itself names nobody.
CREATE TABLE decision_candidate (
    decision_id TEXT NOT NULL,
    place BIGINT NOT NULL,
    compartment BIGINT NOT NULL,
    patient_id TEXT NOT NULL,
    PRIMARY KEY (decision_id, place)
);

DROP INDEX member_name;
