DROP TABLE ingest_resource;
DROP TABLE ingest_piece;
DROP TABLE ingest_page;
DROP TABLE ingest_part;
DROP TABLE ingest;
