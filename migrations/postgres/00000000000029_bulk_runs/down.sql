DROP TABLE bulk_run_file;
DROP TABLE bulk_run_member;
DROP TABLE bulk_run;
