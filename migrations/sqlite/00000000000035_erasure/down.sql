DROP TABLE backup_made;
DROP TABLE erasure;
