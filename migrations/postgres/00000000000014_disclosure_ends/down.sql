DROP TABLE disclosure_end_state;
