//! The tables of the console.

diesel::table! {
    console_link (hash) {
        hash -> Binary,
        role -> Text,
        name -> Text,
        created_ms -> BigInt,
        expires_ms -> BigInt,
    }
}

diesel::table! {
    console_session (hash) {
        hash -> Binary,
        agent_sha256 -> Binary,
        seen_ms -> BigInt,
        expires_ms -> BigInt,
    }
}

diesel::table! {
    console_sign_in (hash) {
        hash -> Binary,
        session_before -> Nullable<Binary>,
        place -> Text,
        expires_ms -> BigInt,
    }
}
