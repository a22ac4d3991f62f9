DROP TABLE ledger_checkpoint;
DROP TABLE ledger_tree;
DROP TABLE ledger_tile;
DROP TABLE ledger_leaf;
DROP TABLE ledger_log;
