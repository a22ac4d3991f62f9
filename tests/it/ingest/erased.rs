//! A member who is erased with the record takes along what another payer sent: the exchange, its answers as received, and its jobs.

use super::bed::World;
use crate::support::dump::dump;
use causeway::bulk::files::BulkFiles;
use causeway::config::Config;
use causeway::erasure::{ErasureReason, ErasureWish, LegalBasis, erase};
use causeway::error::Fault;

/// Tables that hold something only because of an exchange about the one member of this store, or because of that member.
const EMPTY: [&str; 20] = [
    "compartment",
    "enrolment",
    "exchange",
    "exchange_ask",
    "exchange_missing",
    "exchange_question",
    "exchange_result",
    "exchange_step",
    "identity_key",
    "identity_link",
    "identity_profile",
    "ingest",
    "ingest_page",
    "ingest_part",
    "ingest_piece",
    "ingest_progress",
    "ingest_resource",
    "member",
    "opt_in",
    "ledger_subject",
];

#[test]
fn an_erased_member_takes_along_what_another_payer_sent() {
    let world = World::new("members = { count = 2, resources = 20 }\n");
    let row = world.exchange();
    let count = |what: &str| world.bed.number(&format!("SELECT COUNT(*) FROM {what}"));
    assert!(count("ingest_piece") > 0 && count("resource WHERE compartment > 0") > 5);
    let number = world.member().number.clone();
    let wish = ErasureWish {
        patient_id: "m1".into(),
        reason: ErasureReason::MemberRequest,
        legal_basis: None,
        with_record: true,
        operator: "uid-7".into(),
    };
    let ctx = &world.bed.ctx;
    let files = BulkFiles::new(&Config::load(None, []).expect("a configuration"));
    let kept = erase(ctx, &files, &wish, false).expect_err("it must be kept");
    assert_eq!(kept.fault(), Fault::ErasureKept);
    assert!(count("exchange") == 1 && count("erasure") == 0);

    let wish = ErasureWish {
        legal_basis: Some(LegalBasis::StateLaw),
        ..wish
    };
    let report = erase(ctx, &files, &wish, false).expect("erased");
    assert_eq!((report.counts["exchanges"], report.with_record), (1, true));
    for table in EMPTY {
        assert_eq!(count(table), 0, "{table}");
    }
    assert_eq!(count("resource WHERE compartment > 0"), 0);
    let jobs = format!(
        "job WHERE kind = 'erasure' OR live_key = '{0}' OR payload LIKE '%{0}'",
        row.id
    );
    assert_eq!(count(&jobs), 0);
    assert_eq!(count("ledger_entry WHERE subject IS NOT NULL AND subject = 'm1'"), 0);
    // The entries of the exchange are there, under its id, and nothing in the store has the member's number.
    assert!(count(&format!("ledger_entry WHERE exchange_id = '{}'", row.id)) > 5);
    ctx.store
        .read_blocking(|db| {
            for (table, rows) in dump(db, &["partner"]) {
                assert!(!rows.join("\n").contains(&number), "{table}");
            }
            Ok(())
        })
        .expect("read");
    let again = erase(ctx, &files, &wish, false).expect_err("gone");
    assert_eq!(again.fault(), Fault::MemberUnknown);
}
