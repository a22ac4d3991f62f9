//! The tables of erased members, and of backups.

diesel::table! {
    erasure (id) {
        id -> Text,
        patient_id -> Nullable<Text>,
        with_record -> BigInt,
        reason -> Text,
        legal_basis -> Nullable<Text>,
        operator -> Text,
        state -> Text,
        entry_id -> Text,
        counts -> Text,
        begun_ms -> BigInt,
        ended_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    backup_made (entry_id) {
        entry_id -> Text,
        made_ms -> BigInt,
        folder -> Text,
        bytes -> BigInt,
        sha256 -> Binary,
        expires_ms -> Nullable<BigInt>,
    }
}
