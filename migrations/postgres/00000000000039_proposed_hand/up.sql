-- Whose token proposed the decision of a review, so that the same person does not agree with it under another name.
ALTER TABLE review ADD COLUMN proposed_hand TEXT;
