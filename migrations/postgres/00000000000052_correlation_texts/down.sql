DROP INDEX decision_own_request;
DROP TABLE correlation_state;
DROP TABLE correlation_text;
