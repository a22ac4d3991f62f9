DROP TABLE policy_activation;
