-- Large records. Whether a page came before is asked once for each page, so that it must not walk through the others.
CREATE INDEX IF NOT EXISTS ingest_page_link ON ingest_page (exchange_id, link_sha256);
CREATE INDEX IF NOT EXISTS ingest_page_body ON ingest_page (exchange_id, sha256);

-- How far a step has come in what an exchange brought: the next entry that it handles. `run` names what it goes through; the row of another
-- run counts for nothing. `found` is what the step has counted so far.
CREATE TABLE ingest_progress (
    exchange_id TEXT NOT NULL,
    step TEXT NOT NULL,
    run TEXT NOT NULL,
    pass BIGINT NOT NULL,
    page BIGINT NOT NULL,
    entry BIGINT NOT NULL,
    found TEXT NOT NULL,
    PRIMARY KEY (exchange_id, step)
);

-- The body of `$member-match`, sealed, so that all attempts of a round send the same bytes. It goes when the partner has answered.
CREATE TABLE exchange_question (
    exchange_id TEXT PRIMARY KEY NOT NULL,
    round BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    sealed BLOB NOT NULL
);
