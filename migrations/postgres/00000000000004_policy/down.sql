DROP TABLE operator_note;
DROP TABLE policy_shadow;
DROP TABLE policy_active;
DROP TABLE policy_version;
DROP TABLE guess_lock;
DROP TABLE guess_tally;
DROP TABLE guess;
