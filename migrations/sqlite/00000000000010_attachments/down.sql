DROP TABLE gate_state;
DROP TABLE attachment;
