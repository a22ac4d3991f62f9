DROP INDEX decision_grant;
DROP INDEX decision_partner;
