//! The tables of bulk work.

diesel::table! {
    bulk_job (id) {
        id -> Text,
        kind -> Text,
        partner_id -> Text,
        state -> Text,
        correlation_id -> Text,
        request_url -> Text,
        request_json -> Text,
        group_id -> Nullable<Text>,
        spool -> Nullable<Text>,
        created_ms -> BigInt,
        updated_ms -> BigInt,
        transaction_ms -> Nullable<BigInt>,
        deadline_ms -> BigInt,
        expires_ms -> Nullable<BigInt>,
        pieces -> BigInt,
        pieces_done -> BigInt,
        fault -> Nullable<Text>,
    }
}

diesel::table! {
    bulk_piece (job_id, position) {
        job_id -> Text,
        position -> BigInt,
        state -> Text,
        first_key -> Text,
        last_key -> Text,
        members -> BigInt,
    }
}

diesel::table! {
    bulk_file (name) {
        name -> Text,
        job_id -> Text,
        piece -> BigInt,
        side -> Text,
        resource_type -> Text,
        resources -> BigInt,
        bytes -> BigInt,
        sha256 -> Binary,
        created_ms -> BigInt,
    }
}

diesel::table! {
    bulk_acknowledgement (job_id, position) {
        job_id -> Text,
        position -> BigInt,
        receipt_sha256 -> Binary,
        result -> Text,
        missing -> Nullable<Text>,
        signed_by -> Nullable<Text>,
        entry_id -> Text,
        at_ms -> BigInt,
    }
}

diesel::table! {
    member_group (id) {
        id -> Text,
        partner_id -> Text,
        code -> Text,
        job_id -> Text,
        match_ms -> BigInt,
        updated_ms -> BigInt,
        ended_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    member_group_entry (group_id, position) {
        group_id -> Text,
        position -> BigInt,
        patient_id -> Nullable<Text>,
        decision_id -> Nullable<Text>,
        sealed -> Nullable<Binary>,
    }
}

diesel::table! {
    bulk_run (id) {
        id -> Text,
        partner_id -> Text,
        file_digest -> Text,
        state -> Text,
        step -> Text,
        failed -> BigInt,
        status_url -> Nullable<Text>,
        group_id -> Nullable<Text>,
        progress -> Nullable<Text>,
        transaction_ms -> Nullable<BigInt>,
        left_out -> BigInt,
        fault -> Nullable<Text>,
        created_ms -> BigInt,
        updated_ms -> BigInt,
        deadline_ms -> BigInt,
        ended_ms -> Nullable<BigInt>,
        question -> Nullable<Text>,
        question_bytes -> Nullable<BigInt>,
        cancel_asked_ms -> Nullable<BigInt>,
        since_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    bulk_run_member (run_id, position) {
        run_id -> Text,
        position -> BigInt,
        exchange_id -> Text,
        carried -> BigInt,
        attempt -> BigInt,
        state -> Text,
        came -> Nullable<Text>,
        receipt -> Nullable<Text>,
    }
}

diesel::table! {
    bulk_run_file (run_id, position) {
        run_id -> Text,
        position -> BigInt,
        resource_type -> Text,
        url -> Text,
        told_resources -> Nullable<BigInt>,
        told_bytes -> Nullable<BigInt>,
        told_sha256 -> Nullable<Binary>,
        name -> Nullable<Text>,
        resources -> BigInt,
        bytes -> BigInt,
        sha256 -> Nullable<Binary>,
        part -> Nullable<Text>,
        etag -> Nullable<Text>,
    }
}

diesel::table! {
    bulk_run_receipt (run_id) {
        run_id -> Text,
        state -> Text,
        url -> Nullable<Text>,
        sha256 -> Nullable<Binary>,
        missing -> Nullable<Text>,
        fault -> Nullable<Text>,
        entry_id -> Nullable<Text>,
        checked_ms -> BigInt,
        at_ms -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(member_group, member_group_entry);
diesel::allow_tables_to_appear_in_same_query!(member_group, bulk_job);
diesel::allow_tables_to_appear_in_same_query!(bulk_run, bulk_run_member);
