-- Why something is missing: the code of a fault; NULL when the partner said nothing of it.
ALTER TABLE exchange_missing ADD COLUMN reason TEXT;
