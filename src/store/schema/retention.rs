//! The tables of retention and of legal holds.

diesel::table! {
    retention_hold (id) {
        id -> Text,
        kind -> Text,
        target -> Text,
        case_id -> Nullable<Text>,
        reason -> Text,
        placed_by -> Text,
        placed_ms -> BigInt,
        released_ms -> Nullable<BigInt>,
        released_by -> Nullable<Text>,
        released_why -> Nullable<Text>,
    }
}

diesel::table! {
    retention_clock (one) {
        one -> BigInt,
        seen_ms -> BigInt,
        from_id -> Text,
    }
}

diesel::table! {
    retention_mark (log, marked_ms) {
        log -> BigInt,
        marked_ms -> BigInt,
        size -> BigInt,
    }
}

diesel::table! {
    retention_kind (kind) {
        kind -> Text,
        total -> BigInt,
        last -> BigInt,
        last_ms -> BigInt,
        entry_id -> Text,
    }
}
