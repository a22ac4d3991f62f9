-- One step was undone once; of several the last says so.
UPDATE identity_step SET undoes = NULL WHERE EXISTS
    (SELECT 1 FROM identity_step later WHERE later.undoes = identity_step.undoes AND later.id > identity_step.id);
DROP INDEX identity_change_patient;
ALTER TABLE identity_change DROP COLUMN patient_id;
CREATE TABLE identity_step_old (
    id TEXT PRIMARY KEY NOT NULL,
    at_ms BIGINT NOT NULL,
    event TEXT NOT NULL,
    operator TEXT,
    reason TEXT,
    undoes TEXT UNIQUE
);
INSERT INTO identity_step_old SELECT id, at_ms, event, operator, reason, undoes FROM identity_step;
DROP TABLE identity_step;
ALTER TABLE identity_step_old RENAME TO identity_step;
