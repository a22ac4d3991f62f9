-- The keys that are in use, and what is in quarantine. Without these each is a walk through everything that ever came.
CREATE INDEX IF NOT EXISTS ingest_key ON ingest (key_id);
CREATE INDEX IF NOT EXISTS ingest_resource_quarantine ON ingest_resource (exchange_id, gate_version) WHERE outcome = 'quarantined';
