DROP TABLE visible_state;
DROP TABLE attachment;
ALTER TABLE resource DROP COLUMN source_version;
ALTER TABLE resource DROP COLUMN source_updated_ms;
