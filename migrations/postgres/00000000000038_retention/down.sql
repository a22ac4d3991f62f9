DROP TABLE retention_kind;
DROP TABLE retention_mark;
DROP TABLE retention_clock;
DROP TABLE retention_hold;
