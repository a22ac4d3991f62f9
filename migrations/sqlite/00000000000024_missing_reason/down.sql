ALTER TABLE exchange_missing DROP COLUMN reason;
