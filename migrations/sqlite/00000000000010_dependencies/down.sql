DROP TABLE gate_state;
DROP TABLE authorization_dependency;
