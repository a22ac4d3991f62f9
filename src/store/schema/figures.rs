//! The tables of business figures.

diesel::table! {
    business_figure (grain, partner_id, begin_ms, figure, kind, channel, state, owner, reason) {
        grain -> Text,
        partner_id -> Text,
        begin_ms -> BigInt,
        figure -> Text,
        kind -> Text,
        channel -> Text,
        state -> Text,
        owner -> Text,
        reason -> Text,
        total -> BigInt,
    }
}

diesel::table! {
    figure_state (one) {
        one -> BigInt,
        began_ms -> BigInt,
        counted_ms -> BigInt,
        seen_ms -> BigInt,
        beat_ms -> BigInt,
        minutes_from_ms -> BigInt,
        hours_from_ms -> BigInt,
    }
}
