//! The tables of exchanges.

diesel::table! {
    opt_in (id) {
        id -> Text,
        member_id -> Text,
        partner_id -> Text,
        policy -> Text,
        from_ms -> BigInt,
        to_ms -> Nullable<BigInt>,
        attested_by -> Text,
        attested_ms -> BigInt,
        attested_how -> Text,
        recorded_ms -> BigInt,
        revoked_ms -> Nullable<BigInt>,
        revoked_by -> Nullable<Text>,
        revoked_why -> Nullable<Text>,
    }
}

diesel::table! {
    exchange (id) {
        id -> Text,
        direction -> Text,
        kind -> Text,
        partner_id -> Text,
        member_id -> Nullable<Text>,
        live_key -> Nullable<Text>,
        correlation_id -> Text,
        workflow -> BigInt,
        policy_version -> Text,
        phase -> Text,
        identity_state -> Text,
        consent_state -> Text,
        transport_state -> Text,
        delivery_state -> Text,
        audit_state -> Text,
        owner -> Text,
        reason -> Nullable<Text>,
        step -> Text,
        round -> BigInt,
        attempts -> BigInt,
        wake_ms -> Nullable<BigInt>,
        parked_at_ms -> Nullable<BigInt>,
        deadline_ms -> BigInt,
        due_ms -> BigInt,
        answer_due_ms -> Nullable<BigInt>,
        run_of -> Nullable<Text>,
        superseded_by -> Nullable<Text>,
        version -> BigInt,
        created_ms -> BigInt,
        updated_ms -> BigInt,
        ended_ms -> Nullable<BigInt>,
        asked_at -> Nullable<Text>,
    }
}

diesel::table! {
    exchange_ask (exchange_id) {
        exchange_id -> Text,
        asked_for -> Text,
        cover -> Text,
        opt_in_id -> Text,
        own_coverage_id -> Nullable<Text>,
        member_number -> Text,
        subscriber_number -> Nullable<Text>,
        group_number -> Nullable<Text>,
        plan -> Nullable<Text>,
        number_system -> Nullable<Text>,
        begins -> Nullable<Text>,
        ends -> Nullable<Text>,
        coverage_digest -> Text,
        since_ms -> Nullable<BigInt>,
        request_key -> Nullable<Text>,
        request_digest -> Nullable<Text>,
        started_by -> Text,
    }
}

diesel::table! {
    exchange_result (exchange_id) {
        exchange_id -> Text,
        patient_id -> Nullable<Text>,
        identifier_system -> Nullable<Text>,
        identifier -> Nullable<Text>,
        method -> Nullable<Text>,
        as_of_ms -> Nullable<BigInt>,
        received -> BigInt,
        bytes -> BigInt,
        stored -> BigInt,
        unchanged -> BigInt,
        quarantined -> BigInt,
        resume -> Nullable<Text>,
    }
}

diesel::table! {
    exchange_question (exchange_id) {
        exchange_id -> Text,
        round -> BigInt,
        key_id -> Text,
        sealed -> Binary,
    }
}

diesel::table! {
    exchange_step (exchange_id, number) {
        exchange_id -> Text,
        number -> BigInt,
        step -> Text,
        round -> BigInt,
        attempt -> BigInt,
        started_ms -> BigInt,
        ended_ms -> Nullable<BigInt>,
        class -> Nullable<Text>,
        fault -> Nullable<Text>,
        http_status -> Nullable<BigInt>,
        partner_request_id -> Nullable<Text>,
        idempotency_key -> Text,
        request_digest -> Nullable<Binary>,
        response_digest -> Nullable<Binary>,
        bytes -> BigInt,
    }
}

diesel::table! {
    exchange_missing (exchange_id, number) {
        exchange_id -> Text,
        number -> BigInt,
        resource_type -> Text,
        missing -> Nullable<BigInt>,
        page -> Nullable<BigInt>,
        resume -> Nullable<Text>,
        reason -> Nullable<Text>,
    }
}

diesel::table! {
    enrolment (row_digest) {
        row_digest -> Text,
        file_digest -> Text,
        line -> BigInt,
        exchange_id -> Text,
        accepted_ms -> BigInt,
    }
}

diesel::table! {
    partner_health (partner_id) {
        partner_id -> Text,
        budget_milli -> BigInt,
        budget_at_ms -> BigInt,
        failures -> BigInt,
        window_from_ms -> BigInt,
        window_calls -> BigInt,
        window_failed -> BigInt,
        opened -> BigInt,
        open_until_ms -> Nullable<BigInt>,
        probe_until_ms -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(exchange, exchange_ask);
