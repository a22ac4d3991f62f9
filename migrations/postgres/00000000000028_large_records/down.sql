DROP TABLE exchange_question;
DROP TABLE ingest_progress;
DROP INDEX ingest_page_body;
DROP INDEX ingest_page_link;
