-- What a bulk run of ours checks and answers at its end, and what makes each of its steps repeatable. Times are UTC milliseconds.

-- The sealed file with the question of the match, which all attempts send; and when an operator asked for the end of the run.
ALTER TABLE bulk_run ADD COLUMN question TEXT;
ALTER TABLE bulk_run ADD COLUMN question_bytes BIGINT;
ALTER TABLE bulk_run ADD COLUMN cancel_asked_ms BIGINT;

-- Only what changed since then is asked for; everything when it is not set.
ALTER TABLE bulk_run ADD COLUMN since_ms BIGINT;

-- How many resources of which type came for a member (JSON), and whether they are what the receipt says: `whole` or `lacking`.
ALTER TABLE bulk_run_member ADD COLUMN came TEXT;
ALTER TABLE bulk_run_member ADD COLUMN receipt TEXT;

-- The digest of a file that is kept as a whole; the sealed file with the beginning of one that is not, and the version that it is of.
ALTER TABLE bulk_run_file ADD COLUMN sha256 BLOB;
ALTER TABLE bulk_run_file ADD COLUMN part TEXT;
ALTER TABLE bulk_run_file ADD COLUMN etag TEXT;

-- The receipt of a run's export. `state` is `checked` until the partner has our answer, then `complete` or `incomplete`; or `not-offered`,
-- `untrue` or `unanswered`. `missing` has numbers (JSON); `fault` is the code of what stood in the way.
CREATE TABLE bulk_run_receipt (
    run_id TEXT PRIMARY KEY NOT NULL,
    state TEXT NOT NULL,
    url TEXT,
    sha256 BLOB,
    missing TEXT,
    fault TEXT,
    entry_id TEXT,
    checked_ms BIGINT NOT NULL,
    at_ms BIGINT
);
