DROP TABLE control_run;
