-- When the end of a group of members began. From then on nobody is shown the group, and all of its members go, whatever happens meanwhile.
ALTER TABLE member_group ADD COLUMN ended_ms BIGINT;
