DROP INDEX grants_revoked;
