//! The tables beside the entries of the ledger: its tree with its witnesses, its index by subject, how far it was followed, and of whom the
//! files are that one entry is about; where the keys of values beside entries are, and the correlation ids that stand sealed; the checkpoints of
//! partners' ledgers; and the last runs of controls.

diesel::table! {
    ledger_subject (subject, entry_id) {
        subject -> Text,
        entry_id -> Text,
    }
}

diesel::table! {
    ledger_subject_state (one) {
        one -> BigInt,
        upto -> Text,
    }
}

diesel::table! {
    disclosure_end_state (one) {
        one -> BigInt,
        upto -> Text,
    }
}

diesel::table! {
    disclosed_file (name) {
        name -> Text,
        members -> BigInt,
        root -> Binary,
        leaves -> Binary,
    }
}

diesel::table! {
    disclosed_share (subject, file) {
        subject -> Text,
        file -> Text,
        place -> BigInt,
        consent_id -> Text,
        sensitive -> BigInt,
        begins -> BigInt,
        bytes -> BigInt,
        resources -> BigInt,
        salt -> Binary,
    }
}

diesel::table! {
    member_key (code) {
        code -> Text,
        slot -> Binary,
    }
}

diesel::table! {
    correlation_text (handle) {
        handle -> Text,
        sealed -> Binary,
        state -> Nullable<BigInt>,
    }
}

diesel::table! {
    correlation_state (one) {
        one -> BigInt,
        entries -> Text,
        decisions -> Text,
    }
}

diesel::table! {
    ledger_log (no) {
        no -> BigInt,
        log_id -> Text,
        origin -> Text,
        public_key -> Binary,
        began_ms -> BigInt,
    }
}

diesel::table! {
    ledger_leaf (log, entry_id) {
        log -> BigInt,
        entry_id -> Text,
        idx -> BigInt,
    }
}

diesel::table! {
    ledger_tile (log, level, n) {
        log -> BigInt,
        level -> BigInt,
        n -> BigInt,
        hashes -> Binary,
    }
}

diesel::table! {
    ledger_tree (log) {
        log -> BigInt,
        size -> BigInt,
        edge -> Binary,
        settled -> Text,
    }
}

diesel::table! {
    ledger_cosignature (log, witness) {
        log -> BigInt,
        witness -> Text,
        size -> BigInt,
        note -> Text,
        line -> Text,
        signed_ms -> BigInt,
    }
}

diesel::table! {
    partner_checkpoint (work_id) {
        work_id -> Text,
        partner_id -> Text,
        note -> Text,
        came_ms -> BigInt,
    }
}

diesel::table! {
    ledger_checkpoint (log, size) {
        log -> BigInt,
        size -> BigInt,
        root -> Binary,
        note -> Text,
        signed_ms -> BigInt,
    }
}

diesel::table! {
    control_run (control) {
        control -> Text,
        last_run_ms -> BigInt,
        result -> Text,
        seed -> BigInt,
        checked -> BigInt,
        defects -> BigInt,
        report_sha256 -> Binary,
        entry_id -> Text,
    }
}
