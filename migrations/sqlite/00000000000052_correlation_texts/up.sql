-- Correlation ids that callers chose, sealed under keys that lie outside the database (`member.keys`), each under its own. In ledger entries and
-- decisions a handle stands in place of the text: `{` and a keyed hash of it, whose key is in that file too. `state` is NULL for one that is
-- in use, 1 where a row was cut that had it, and 2 for one whose key is being destroyed.
CREATE TABLE correlation_text (
    handle TEXT PRIMARY KEY NOT NULL,
    sealed BLOB NOT NULL,
    state BIGINT
);
CREATE INDEX correlation_text_state ON correlation_text (state) WHERE state IS NOT NULL;

-- Up to which entry and which decision the texts were sealed.
CREATE TABLE correlation_state (
    one BIGINT PRIMARY KEY NOT NULL,
    entries TEXT NOT NULL,
    decisions TEXT NOT NULL
);
INSERT INTO correlation_state (one, entries, decisions) VALUES (1, '', '');

-- The decisions of a request, whatever stands in place of its correlation id.
CREATE INDEX IF NOT EXISTS decision_own_request ON decision (request_id);
