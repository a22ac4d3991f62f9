ALTER TABLE partner DROP COLUMN contacts;
