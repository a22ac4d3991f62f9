DROP TABLE evidence_case_item;
DROP TABLE evidence_case;
DROP TABLE evidence_member;
DROP TABLE evidence_piece;
DROP TABLE evidence_packet;
