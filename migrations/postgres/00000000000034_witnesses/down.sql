DROP TABLE partner_checkpoint;
DROP TABLE ledger_cosignature;
