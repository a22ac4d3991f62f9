ALTER TABLE exchange DROP COLUMN asked_at;
