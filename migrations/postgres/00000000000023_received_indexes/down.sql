DROP INDEX ingest_resource_quarantine;
DROP INDEX ingest_key;
