-- The guessing guard: what each partner asked for without finding it. Targets are keyed hashes; nothing here can be read back.

-- One row for each thing that guesses share (a card number, a name with a birth date, …), with the number of different guesses
-- about it; and one for each whole guess: 1 when it was judged, 2 when it was turned away. Dead after `until_ms`.
CREATE TABLE guess (
    partner_id TEXT NOT NULL,
    target BLOB NOT NULL,
    guesses BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (partner_id, target)
);
CREATE INDEX guess_until ON guess (until_ms);

-- Different guesses that failed, and members newly granted. In several rows a partner, so that writers do not queue for one.
CREATE TABLE guess_tally (
    partner_id TEXT NOT NULL,
    shard BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (partner_id, shard)
);

-- Until when an alarm counts as raised, and until when matching is locked.
CREATE TABLE guess_lock (
    partner_id TEXT PRIMARY KEY NOT NULL,
    alarmed_until_ms BIGINT NOT NULL,
    locked_until_ms BIGINT NOT NULL
);

-- Versions of policies by the SHA-256 of their text. A version never changes and is never deleted.
CREATE TABLE policy_version (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    added_ms BIGINT NOT NULL
);

-- The version in force of each kind, and the one that runs beside it.
CREATE TABLE policy_active (
    kind TEXT PRIMARY KEY NOT NULL,
    version_id TEXT REFERENCES policy_version (id),
    activated_ms BIGINT,
    shadow_id TEXT REFERENCES policy_version (id),
    shadow_ms BIGINT
);

-- How often a shadow run ended with each pair of outcomes. Nothing of a request is kept.
CREATE TABLE policy_shadow (
    active_id TEXT NOT NULL,
    candidate_id TEXT NOT NULL,
    active_outcome TEXT NOT NULL,
    candidate_outcome TEXT NOT NULL,
    seen BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    PRIMARY KEY (active_id, candidate_id, active_outcome, candidate_outcome)
);

-- What an operator did and why; committed to in the ledger entry of the same id, and erasable here.
CREATE TABLE operator_note (
    entry_id TEXT PRIMARY KEY NOT NULL,
    operator TEXT NOT NULL,
    reason TEXT NOT NULL
);
