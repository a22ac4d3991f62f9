ALTER TABLE review DROP COLUMN proposed_hand;
