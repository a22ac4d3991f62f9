DROP INDEX operator_note_plain;
ALTER TABLE operator_note DROP COLUMN sealed;
DROP TABLE member_key;
