ALTER TABLE evidence_packet DROP COLUMN with_phi;
