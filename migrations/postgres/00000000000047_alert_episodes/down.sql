DROP INDEX grants_until;
DROP TABLE alert_delivery;
DROP TABLE alert_episode;
