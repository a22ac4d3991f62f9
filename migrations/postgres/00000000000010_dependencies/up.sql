-- What hangs on a prior authorization, or on a claim that is not here: `from` may leave only when `to` may. Written by the
-- resource under `key`, which is either of the two. Only resources of these types are ever `to`: Claim, ClaimResponse,
-- ExplanationOfBenefit.
CREATE TABLE authorization_dependency (
    key BIGINT NOT NULL,
    from_type TEXT NOT NULL,
    from_id TEXT NOT NULL,
    to_type TEXT NOT NULL,
    to_id TEXT NOT NULL,
    PRIMARY KEY (key, from_type, from_id, to_type, to_id)
);

CREATE INDEX authorization_dependency_from ON authorization_dependency (from_type, from_id);
CREATE INDEX authorization_dependency_to ON authorization_dependency (to_type, to_id);

-- Which version of the ingest gate judged what is stored, and how far judging everything anew has come. No row: an older one.
CREATE TABLE gate_state (
    one BIGINT PRIMARY KEY NOT NULL,
    version BIGINT NOT NULL,
    after_key BIGINT NOT NULL,
    done BIGINT NOT NULL
);
