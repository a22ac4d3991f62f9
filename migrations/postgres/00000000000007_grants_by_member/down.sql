DROP INDEX grants_member;
