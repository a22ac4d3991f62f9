-- The grant on one member is looked up at every read and search; without this, among all grants of the partner.
CREATE INDEX grants_member ON grants (patient_id, partner_id);
