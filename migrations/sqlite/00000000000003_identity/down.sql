CREATE INDEX member_name ON member (birth_date, family);
DROP TABLE decision_candidate;
DROP TABLE identity_roster;
DROP TABLE identity_profile;
DROP TABLE identity_key;
