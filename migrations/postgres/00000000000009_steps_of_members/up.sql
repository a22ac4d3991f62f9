-- A step is found by the member also when its link was taken back; a step may be taken back again after it was restored.
ALTER TABLE identity_change ADD COLUMN patient_id TEXT NOT NULL DEFAULT '';
UPDATE identity_change SET patient_id = COALESCE(COALESCE(link_before, link_after)::json ->> 'patient_id', '');
CREATE INDEX identity_change_patient ON identity_change (patient_id);
ALTER TABLE identity_step DROP CONSTRAINT identity_step_undoes_key;
