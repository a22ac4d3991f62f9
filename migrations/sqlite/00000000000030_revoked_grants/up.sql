-- While an answer tells of many members, it is asked every half second whose grant was revoked since it began. Few grants have been.
CREATE INDEX grants_revoked ON grants (partner_id, revoked_ms) WHERE revoked_ms IS NOT NULL;
