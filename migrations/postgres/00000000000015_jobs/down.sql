DROP INDEX resource_authorization_end;
DROP TABLE job;
