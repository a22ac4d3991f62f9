//! The tables of the guessing guard and of policy versions.

diesel::table! {
    guess (partner_id, target) {
        partner_id -> Text,
        target -> Binary,
        guesses -> BigInt,
        until_ms -> BigInt,
    }
}

diesel::table! {
    guess_tally (partner_id, shard) {
        partner_id -> Text,
        shard -> BigInt,
        failed -> BigInt,
        granted -> BigInt,
        until_ms -> BigInt,
    }
}

diesel::table! {
    guess_lock (partner_id) {
        partner_id -> Text,
        alarmed_until_ms -> BigInt,
        locked_until_ms -> BigInt,
    }
}

diesel::table! {
    policy_version (id) {
        id -> Text,
        kind -> Text,
        name -> Text,
        body -> Text,
        added_ms -> BigInt,
    }
}

diesel::table! {
    policy_active (kind) {
        kind -> Text,
        version_id -> Nullable<Text>,
        activated_ms -> Nullable<BigInt>,
        shadow_id -> Nullable<Text>,
        shadow_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    policy_shadow (active_id, candidate_id, active_outcome, candidate_outcome) {
        active_id -> Text,
        candidate_id -> Text,
        active_outcome -> Text,
        candidate_outcome -> Text,
        seen -> BigInt,
        last_ms -> BigInt,
    }
}

diesel::table! {
    policy_activation (act_id, partner_id) {
        act_id -> Text,
        partner_id -> Text,
        kind -> Text,
        version_id -> Text,
        before_id -> Nullable<Text>,
        asked_ms -> BigInt,
        effective_ms -> BigInt,
        approved_ms -> Nullable<BigInt>,
        approval_id -> Nullable<Text>,
        withdrawn_ms -> Nullable<BigInt>,
    }
}
