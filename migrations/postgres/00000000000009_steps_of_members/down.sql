-- One step was undone once; of several the last says so.
UPDATE identity_step SET undoes = NULL WHERE EXISTS
    (SELECT 1 FROM identity_step later WHERE later.undoes = identity_step.undoes AND later.id > identity_step.id);
DROP INDEX identity_change_patient;
ALTER TABLE identity_change DROP COLUMN patient_id;
ALTER TABLE identity_step ADD CONSTRAINT identity_step_undoes_key UNIQUE (undoes);
