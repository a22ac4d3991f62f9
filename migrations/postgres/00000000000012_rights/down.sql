DROP TABLE ledger_subject_state;
DROP TABLE ledger_subject;
DROP INDEX ledger_entry_request;
ALTER TABLE ledger_entry DROP COLUMN request_id;
ALTER TABLE operator_token DROP COLUMN name;
ALTER TABLE grants DROP COLUMN revoked_why;
ALTER TABLE grants DROP COLUMN revoked_by;
ALTER TABLE consent DROP COLUMN revoked_why;
ALTER TABLE consent DROP COLUMN revoked_by;
