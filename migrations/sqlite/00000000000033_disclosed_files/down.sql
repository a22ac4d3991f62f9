DROP TABLE disclosed_share;
DROP TABLE disclosed_file;
