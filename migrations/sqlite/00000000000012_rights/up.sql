-- Withdrawal, tracing, and accounting of disclosures.

-- Who withdrew a consent or ended a grant, and why.
ALTER TABLE consent ADD COLUMN revoked_by TEXT;
ALTER TABLE consent ADD COLUMN revoked_why TEXT;
ALTER TABLE grants ADD COLUMN revoked_by TEXT;
ALTER TABLE grants ADD COLUMN revoked_why TEXT;
CREATE INDEX grants_consent ON grants (consent_id);
CREATE INDEX consent_member ON consent (patient_id);

-- Whose token it is; absent for tokens of before.
ALTER TABLE operator_token ADD COLUMN name TEXT;

-- Our request id, kept apart only where the caller sent a correlation id of its own; else the two are one.
ALTER TABLE ledger_entry ADD COLUMN request_id TEXT;
UPDATE ledger_entry SET request_id = json_extract(CAST(entry AS TEXT), '$.request_id')
    WHERE json_extract(CAST(entry AS TEXT), '$.request_id') <> correlation_id;
CREATE INDEX ledger_entry_request ON ledger_entry (request_id) WHERE request_id IS NOT NULL;

-- Entries by what they are about. The entry that ends a disclosure is found by its request, that of a match by its decision.
CREATE INDEX ledger_entry_subject ON ledger_entry (subject, id)
    WHERE action <> 'disclosure.completed' AND action <> 'member-match.matched';
CREATE INDEX decision_grant ON decision (grant_id) WHERE grant_id IS NOT NULL;
