-- Whom to call at a partner: technical, security, privacy and escalation contact, as JSON.
ALTER TABLE partner ADD COLUMN contacts TEXT;
