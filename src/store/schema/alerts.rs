//! The tables of alerts that began and ended, and of what their receivers are told.

diesel::table! {
    alert_episode (id) {
        id -> Text,
        code -> Text,
        open_code -> Nullable<Text>,
        found -> BigInt,
        partners -> Text,
        began_ms -> BigInt,
        seen_ms -> BigInt,
        ended_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    alert_delivery (id) {
        id -> Text,
        episode_id -> Text,
        receiver -> Text,
        event -> Text,
        state -> Text,
        body -> Text,
        made_ms -> BigInt,
        done_ms -> Nullable<BigInt>,
    }
}
