//! Tables of evidence packets and of the cases that group them.

diesel::table! {
    evidence_packet (id) {
        id -> Text,
        kind -> Text,
        subject -> Nullable<Text>,
        from_ms -> Nullable<BigInt>,
        to_ms -> Nullable<BigInt>,
        at_note -> Nullable<Text>,
        asked_by -> Text,
        asked_us -> BigInt,
        state -> Text,
        fault -> Nullable<Text>,
        size -> Nullable<BigInt>,
        entries -> Nullable<BigInt>,
        bytes -> Nullable<BigInt>,
        sha256 -> Nullable<Text>,
        made_ms -> Nullable<BigInt>,
        with_phi -> BigInt,
    }
}

diesel::table! {
    evidence_piece (packet_id, no) {
        packet_id -> Text,
        no -> BigInt,
        content -> Binary,
        sealed -> BigInt,
    }
}

diesel::table! {
    evidence_key (packet_id) {
        packet_id -> Text,
        slot -> Binary,
    }
}

diesel::table! {
    evidence_member (patient_id, packet_id) {
        patient_id -> Text,
        packet_id -> Text,
    }
}

diesel::table! {
    evidence_case (id) {
        id -> Text,
        name -> Text,
        opened_by -> Text,
        opened_ms -> BigInt,
        closed_by -> Nullable<Text>,
        closed_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    evidence_case_item (case_id, item) {
        case_id -> Text,
        item -> Text,
        kind -> Text,
        entry_id -> Text,
        added_by -> Text,
        added_ms -> BigInt,
    }
}
