-- Whether a packet opens the personal values of its entries: 1 or 0.
ALTER TABLE evidence_packet ADD COLUMN with_phi BIGINT NOT NULL DEFAULT 0;
