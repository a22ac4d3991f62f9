-- How far the ledger was followed for disclosures that began and whose end nobody wrote. What was there before stays as it is: a
-- disclosure without an end reads as one that may have been made.
CREATE TABLE disclosure_end_state (
    one BIGINT PRIMARY KEY NOT NULL,
    upto TEXT NOT NULL
);
INSERT INTO disclosure_end_state (one, upto) SELECT 1, COALESCE(MAX(id), '') FROM ledger_entry;
