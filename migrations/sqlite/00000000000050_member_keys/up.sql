-- Operators' reasons, sealed under keys that lie outside the database (`member.keys`). `member_key` says in which line of that file the key of
-- what an entry is about is: `code` is a keyed hash of the subject, whose key is in the file too, and `slot` the number and the tag of the line.
CREATE TABLE member_key (
    code TEXT PRIMARY KEY NOT NULL,
    slot BLOB NOT NULL
);

-- The sealed reason; one zero byte when there is none to seal, or it was erased; NULL until the job has looked at it, and then `reason` is plain.
ALTER TABLE operator_note ADD COLUMN sealed BLOB;
CREATE INDEX operator_note_plain ON operator_note (entry_id) WHERE sealed IS NULL;

-- Evidence packets are sealed in the same way: `evidence_key` says in which line of that file the key of a packet is. `sealed` is 1 for a piece that
-- is sealed, and 0 for one that lies plain until the job has looked at it.
CREATE TABLE evidence_key (
    packet_id TEXT PRIMARY KEY NOT NULL,
    slot BLOB NOT NULL
);
ALTER TABLE evidence_piece ADD COLUMN sealed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX evidence_piece_plain ON evidence_piece (packet_id, no) WHERE sealed = 0;
