-- The exchanges that one partner began, those of one correlation id among them, and the later matches that renewed a grant. Without these each
-- is a walk through the decisions of all partners.
CREATE INDEX IF NOT EXISTS decision_partner ON decision (partner_id, id);
CREATE INDEX IF NOT EXISTS decision_request ON decision (correlation_id, partner_id, id);
CREATE INDEX IF NOT EXISTS decision_grant ON decision (grant_id, id) WHERE grant_id IS NOT NULL;
DROP INDEX decision_correlation;
