//! The tables of what another payer sent.

diesel::table! {
    ingest (exchange_id) {
        exchange_id -> Text,
        partner_id -> Text,
        patient_id -> Text,
        key_id -> Text,
        sealed_about -> Binary,
        method -> Text,
        state -> Text,
        created_ms -> BigInt,
        updated_ms -> BigInt,
    }
}

diesel::table! {
    ingest_part (exchange_id, part) {
        exchange_id -> Text,
        part -> Text,
        state -> Text,
        reason -> Nullable<Text>,
        pages -> BigInt,
        entries -> BigInt,
        expected -> Nullable<BigInt>,
        sealed_next -> Nullable<Binary>,
        updated_ms -> BigInt,
    }
}

diesel::table! {
    ingest_page (exchange_id, page) {
        exchange_id -> Text,
        page -> BigInt,
        part -> Text,
        bytes -> BigInt,
        sha256 -> Binary,
        link_sha256 -> Binary,
        entries -> BigInt,
        types -> Text,
        date_ms -> Nullable<BigInt>,
        received_ms -> BigInt,
    }
}

diesel::table! {
    ingest_piece (exchange_id, page, piece) {
        exchange_id -> Text,
        page -> BigInt,
        piece -> BigInt,
        sealed -> Binary,
    }
}

diesel::table! {
    ingest_resource (exchange_id, page, entry) {
        exchange_id -> Text,
        page -> BigInt,
        entry -> BigInt,
        start -> BigInt,
        length -> BigInt,
        #[sql_name = "type"]
        rtype -> Text,
        id -> Text,
        outcome -> Text,
        reason -> Nullable<Text>,
        source_sha256 -> Binary,
        gate_version -> BigInt,
    }
}

diesel::table! {
    ingest_progress (exchange_id, step) {
        exchange_id -> Text,
        step -> Text,
        run -> Text,
        pass -> BigInt,
        page -> BigInt,
        entry -> BigInt,
        found -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(ingest, ingest_page, ingest_resource);
