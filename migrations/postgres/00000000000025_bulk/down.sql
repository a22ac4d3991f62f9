DROP TABLE member_group_entry;
DROP TABLE member_group;
DROP TABLE bulk_file;
DROP TABLE bulk_piece;
DROP TABLE bulk_job;
