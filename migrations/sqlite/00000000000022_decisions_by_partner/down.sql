CREATE INDEX decision_correlation ON decision (correlation_id);
DROP INDEX decision_grant;
DROP INDEX decision_request;
DROP INDEX decision_partner;
