-- The FHIR base URL at which the partner was asked who the member is: what it answered holds there only.
ALTER TABLE exchange ADD COLUMN asked_at TEXT;
