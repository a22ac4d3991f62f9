DROP TABLE review_act;
DROP TABLE review_candidate;
DROP TABLE review;
DROP TABLE identity_revocation;
DROP TABLE identity_change;
DROP TABLE identity_step;
DROP TABLE identity_link;
