//! The tables, as diesel needs them. They are the same for both databases; `migrations/` defines them, and a test compares the two.

#![allow(missing_docs)] // column docs live in migrations/

mod alerts;
mod bulk;
mod console;
mod erased;
mod evidence;
mod exchanges;
mod figures;
mod ledger;
mod policy;
mod received;
mod retention;

pub use alerts::{alert_delivery, alert_episode};
pub use bulk::{
    bulk_acknowledgement, bulk_file, bulk_job, bulk_piece, bulk_run, bulk_run_file, bulk_run_member, bulk_run_receipt,
    member_group, member_group_entry,
};
pub use console::{console_link, console_session, console_sign_in};
pub use erased::{backup_made, erasure};
pub use evidence::{evidence_case, evidence_case_item, evidence_key, evidence_member, evidence_packet, evidence_piece};
pub use exchanges::{
    enrolment, exchange, exchange_ask, exchange_missing, exchange_question, exchange_result, exchange_step, opt_in,
    partner_health,
};
pub use figures::{business_figure, figure_state};
pub use ledger::{
    control_run, correlation_state, correlation_text, disclosed_file, disclosed_share, disclosure_end_state,
    ledger_checkpoint, ledger_cosignature, ledger_leaf, ledger_log, ledger_subject, ledger_subject_state, ledger_tile,
    ledger_tree, member_key, partner_checkpoint,
};
pub use policy::{guess, guess_lock, guess_tally, policy_activation, policy_active, policy_shadow, policy_version};
pub use received::{ingest, ingest_page, ingest_part, ingest_piece, ingest_progress, ingest_resource};
pub use retention::{retention_clock, retention_hold, retention_kind, retention_mark};

diesel::table! {
    partner (id) {
        id -> Text,
        name -> Text,
        npi -> Text,
        client_id -> Text,
        status -> Text,
        status_reason -> Nullable<Text>,
        certificate_uri -> Nullable<Text>,
        mtls -> Text,
        scopes -> Text,
        dialect -> Text,
        jwks -> Nullable<Text>,
        jwks_url -> Nullable<Text>,
        endpoint -> Nullable<Text>,
        version -> BigInt,
        created_ms -> BigInt,
        updated_ms -> BigInt,
        contacts -> Nullable<Text>,
    }
}

diesel::table! {
    access_token (hash) {
        hash -> Binary,
        partner_id -> Text,
        scope -> Text,
        certificate_sha256 -> Nullable<Binary>,
        patient_id -> Nullable<Text>,
        jti_sha256 -> Binary,
        key_thumbprint -> Text,
        issued_ms -> BigInt,
        expires_ms -> BigInt,
        revoked_ms -> Nullable<BigInt>,
    }
}

diesel::table! {
    assertion_seen (client_id, jti_sha256) {
        client_id -> Text,
        jti_sha256 -> Binary,
        expires_ms -> BigInt,
    }
}

diesel::table! {
    operator_token (hash) {
        hash -> Binary,
        role -> Text,
        created_ms -> BigInt,
        expires_ms -> BigInt,
        name -> Nullable<Text>,
    }
}

diesel::table! {
    compartment (no) {
        no -> BigInt,
        patient_id -> Text,
        umb -> Text,
        next_seq -> BigInt,
    }
}

diesel::table! {
    resource (key) {
        key -> BigInt,
        compartment -> BigInt,
        #[sql_name = "type"]
        rtype -> Text,
        id -> Text,
        version -> BigInt,
        last_updated_ms -> BigInt,
        service_from_ms -> Nullable<BigInt>,
        service_to_ms -> Nullable<BigInt>,
        sensitivity -> BigInt,
        pa_state -> BigInt,
        pa_changed_ms -> Nullable<BigInt>,
        financial -> BigInt,
        source_sha256 -> Binary,
        sha256 -> Binary,
        body -> Binary,
        released -> Nullable<Binary>,
        source_updated_ms -> Nullable<BigInt>,
        source_version -> Nullable<BigInt>,
    }
}

diesel::table! {
    attachment (binary_id, key) {
        binary_id -> Text,
        key -> BigInt,
    }
}

diesel::table! {
    visible_state (one) {
        one -> BigInt,
        last_ms -> BigInt,
        after_key -> Nullable<BigInt>,
    }
}

diesel::table! {
    authorization_dependency (key, from_type, from_id, to_type, to_id) {
        key -> BigInt,
        from_type -> Text,
        from_id -> Text,
        to_type -> Text,
        to_id -> Text,
    }
}

diesel::table! {
    gate_state (one) {
        one -> BigInt,
        version -> BigInt,
        after_key -> BigInt,
        done -> BigInt,
    }
}

diesel::table! {
    resource_identifier (value, system, rtype, kind, key) {
        value -> Text,
        system -> Text,
        #[sql_name = "type"]
        rtype -> Text,
        kind -> Text,
        key -> BigInt,
    }
}

diesel::table! {
    search_value (compartment, param, value, system, key) {
        compartment -> BigInt,
        param -> BigInt,
        value -> Text,
        system -> Text,
        key -> BigInt,
    }
}

diesel::table! {
    search_date (compartment, param, from_ms, to_ms, key) {
        compartment -> BigInt,
        param -> BigInt,
        from_ms -> BigInt,
        to_ms -> BigInt,
        key -> BigInt,
    }
}

diesel::table! {
    search_state (one) {
        one -> BigInt,
        version -> BigInt,
    }
}

diesel::table! {
    member (compartment) {
        compartment -> BigInt,
        patient_id -> Text,
        family -> Text,
        birth_date -> Text,
        demographics -> Text,
    }
}

diesel::table! {
    consent (id) {
        id -> Text,
        partner_id -> Text,
        patient_id -> Text,
        digest -> Binary,
        policy -> Text,
        period_from_ms -> BigInt,
        period_to_ms -> BigInt,
        body -> Binary,
        recorded_ms -> BigInt,
        revoked_ms -> Nullable<BigInt>,
        revoked_by -> Nullable<Text>,
        revoked_why -> Nullable<Text>,
    }
}

diesel::table! {
    decision (id) {
        id -> Text,
        partner_id -> Text,
        exchange_id -> Nullable<Text>,
        correlation_id -> Text,
        request_id -> Text,
        kind -> Text,
        outcome -> Text,
        reason -> Nullable<Text>,
        patient_id -> Nullable<Text>,
        consent_id -> Nullable<Text>,
        grant_id -> Nullable<Text>,
        policy_version -> Text,
        detail -> Text,
        created_ms -> BigInt,
    }
}

diesel::table! {
    grants (id) {
        id -> Text,
        partner_id -> Text,
        compartment -> BigInt,
        patient_id -> Text,
        consent_id -> Text,
        decision_id -> Text,
        sensitive -> BigInt,
        valid_from_ms -> BigInt,
        valid_until_ms -> BigInt,
        created_ms -> BigInt,
        renewed_ms -> BigInt,
        revoked_ms -> Nullable<BigInt>,
        revoked_by -> Nullable<Text>,
        revoked_why -> Nullable<Text>,
    }
}

diesel::table! {
    ledger_entry (id) {
        id -> Text,
        idx -> Nullable<BigInt>,
        at_us -> BigInt,
        action -> Text,
        partner_id -> Nullable<Text>,
        exchange_id -> Nullable<Text>,
        correlation_id -> Text,
        entry -> Binary,
        subject -> Nullable<Text>,
        subject_salt -> Nullable<Binary>,
        request_id -> Nullable<Text>,
    }
}

diesel::table! {
    idempotency (partner_id, method, route, idem_key) {
        partner_id -> Text,
        method -> Text,
        route -> Text,
        idem_key -> Text,
        fingerprint -> Binary,
        state -> Text,
        lease_until_ms -> BigInt,
        status -> Nullable<BigInt>,
        body -> Nullable<Binary>,
        decision_id -> Nullable<Text>,
        expires_ms -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    partner,
    access_token,
    assertion_seen,
    operator_token,
    compartment,
    resource,
    attachment,
    resource_identifier,
    search_value,
    search_date,
    member,
    consent,
    decision,
    grants,
    ledger_entry,
    idempotency,
);

diesel::table! {
    server_secret (name) {
        name -> Text,
        value -> Binary,
    }
}

diesel::table! {
    identity_key (hash, compartment) {
        hash -> BigInt,
        compartment -> BigInt,
    }
}

diesel::table! {
    identity_profile (compartment) {
        compartment -> BigInt,
        format -> BigInt,
        profile -> Binary,
        keys -> Binary,
    }
}

diesel::table! {
    identity_roster (no) {
        no -> BigInt,
        records -> BigInt,
        sha256 -> Binary,
        facts -> Binary,
        made_ms -> BigInt,
    }
}

diesel::table! {
    decision_candidate (decision_id, place) {
        decision_id -> Text,
        place -> BigInt,
        compartment -> BigInt,
        patient_id -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(authorization_dependency, resource);
diesel::allow_tables_to_appear_in_same_query!(member, identity_profile);

diesel::table! {
    identity_link (id) {
        id -> Text,
        source -> Text,
        kind -> Text,
        system -> Text,
        value -> Text,
        patient_id -> Text,
        state -> Text,
        confidence -> BigInt,
        origin -> Text,
        decision_id -> Nullable<Text>,
        review_id -> Nullable<Text>,
        from_ms -> BigInt,
        until_ms -> Nullable<BigInt>,
        version -> BigInt,
    }
}

diesel::table! {
    identity_step (id) {
        id -> Text,
        at_ms -> BigInt,
        event -> Text,
        operator -> Nullable<Text>,
        reason -> Nullable<Text>,
        undoes -> Nullable<Text>,
    }
}

diesel::table! {
    identity_change (step_id, place) {
        step_id -> Text,
        place -> BigInt,
        link_id -> Text,
        link_before -> Nullable<Text>,
        link_after -> Nullable<Text>,
        patient_id -> Text,
    }
}

diesel::table! {
    identity_revocation (step_id, grant_id) {
        step_id -> Text,
        grant_id -> Text,
    }
}

diesel::table! {
    review (id) {
        id -> Text,
        partner_id -> Text,
        asked -> Binary,
        state -> Text,
        reason -> Text,
        decision_id -> Text,
        correlation_id -> Text,
        policy_version -> Text,
        request -> Nullable<Text>,
        owner -> Nullable<Text>,
        due_ms -> BigInt,
        opened_ms -> BigInt,
        asked_count -> BigInt,
        asked_ms -> BigInt,
        proposed -> Nullable<Text>,
        proposed_patient -> Nullable<Text>,
        proposed_by -> Nullable<Text>,
        proposed_token -> Nullable<Binary>,
        patient_id -> Nullable<Text>,
        decided_ms -> Nullable<BigInt>,
        version -> BigInt,
        proposed_hand -> Nullable<Text>,
    }
}

diesel::table! {
    review_candidate (review_id, place) {
        review_id -> Text,
        place -> BigInt,
        patient_id -> Text,
        total_tenths -> BigInt,
        fields -> Text,
    }
}

diesel::table! {
    review_act (id) {
        id -> Text,
        review_id -> Text,
        at_ms -> BigInt,
        act -> Text,
        verdict -> Nullable<Text>,
        patient_id -> Nullable<Text>,
        operator -> Text,
        reason -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(identity_step, identity_revocation, grants);
diesel::allow_tables_to_appear_in_same_query!(review, review_candidate);

diesel::table! {
    operator_note (entry_id) {
        entry_id -> Text,
        operator -> Text,
        reason -> Text,
        sealed -> Nullable<Binary>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(ledger_entry, ledger_leaf, operator_note);
diesel::allow_tables_to_appear_in_same_query!(ledger_entry, ledger_subject, disclosed_share);
diesel::allow_tables_to_appear_in_same_query!(evidence_key, evidence_packet);
diesel::allow_tables_to_appear_in_same_query!(exchange, job, bulk_run_member);
diesel::allow_tables_to_appear_in_same_query!(member_group_entry, grants);
diesel::allow_tables_to_appear_in_same_query!(member_group_entry, consent);

diesel::table! {
    job (id) {
        id -> Text,
        kind -> Text,
        partner_id -> Nullable<Text>,
        live_key -> Text,
        payload -> Text,
        state -> Text,
        priority -> BigInt,
        due_ms -> BigInt,
        lease_until_ms -> Nullable<BigInt>,
        lease_token -> Nullable<Binary>,
        lease_epoch -> BigInt,
        claims -> BigInt,
        attempts -> BigInt,
        last_class -> Nullable<Text>,
        parked_at_ms -> Nullable<BigInt>,
        created_ms -> BigInt,
        updated_ms -> BigInt,
    }
}
