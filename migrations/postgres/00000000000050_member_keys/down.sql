DROP INDEX evidence_piece_plain;
ALTER TABLE evidence_piece DROP COLUMN sealed;
DROP TABLE evidence_key;
DROP INDEX operator_note_plain;
ALTER TABLE operator_note DROP COLUMN sealed;
DROP TABLE member_key;
