DROP INDEX identity_change_patient;
ALTER TABLE identity_change DROP COLUMN patient_id;
ALTER TABLE identity_step ADD CONSTRAINT identity_step_undoes_key UNIQUE (undoes);
