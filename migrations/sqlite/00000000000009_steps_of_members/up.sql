-- A step is found by the member also when its link was taken back; a step may be taken back again after it was restored.
ALTER TABLE identity_change ADD COLUMN patient_id TEXT NOT NULL DEFAULT '';
UPDATE identity_change SET patient_id = COALESCE(json_extract(COALESCE(link_before, link_after), '$.patient_id'), '');
CREATE INDEX identity_change_patient ON identity_change (patient_id);
CREATE TABLE identity_step_new (
    id TEXT PRIMARY KEY NOT NULL,
    at_ms BIGINT NOT NULL,
    event TEXT NOT NULL,
    operator TEXT,
    reason TEXT,
    undoes TEXT
);
INSERT INTO identity_step_new SELECT id, at_ms, event, operator, reason, undoes FROM identity_step;
DROP TABLE identity_step;
ALTER TABLE identity_step_new RENAME TO identity_step;
