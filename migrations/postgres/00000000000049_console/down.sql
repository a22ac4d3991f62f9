DROP TABLE console_session;
DROP TABLE console_link;
