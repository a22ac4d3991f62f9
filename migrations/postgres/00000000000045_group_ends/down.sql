ALTER TABLE member_group DROP COLUMN ended_ms;
