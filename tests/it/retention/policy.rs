//! A policy of retention: which periods apply under it, and what deletions cite.

use super::bed::{Bed, DAY, TEN_YEARS};
use causeway::audit::OperatorNote;
use causeway::error::{Failure, Fault};
use causeway::keeping::table::{DataKind, JOB, KINDS};
use causeway::ops::policy_kinds;
use causeway::ops::retention::whole;
use causeway::policy::{self, ActivationWish, NewVersion, PolicyHand, PolicyKind, Version};
use causeway::retention::hold::{self, HeldTarget, HoldActor};
use causeway::telemetry::Correlation;

/// From 2026-01-01 to 2033-01-01: seven years with two leap days.
const SEVEN_YEARS: i64 = 2_557 * DAY;

fn hand() -> PolicyHand {
    PolicyHand::from(OperatorNote {
        operator: "uid-1000/ana".into(),
        reason: "a test".into(),
    })
}

/// A text with these years for each kind of evidence.
fn text(years: i64) -> String {
    let kinds = KINDS.iter().filter(|row| row.job == JOB);
    let lines: Vec<String> = kinds.map(|row| format!("{} {years} years", row.code)).collect();
    format!("causeway retention 1\n{}\n", lines.join("\n"))
}

fn import(bed: &Bed, name: &str, text: &str) -> Result<Version, Failure> {
    let new = NewVersion {
        kind: PolicyKind::Retention,
        text,
        name,
        point: None,
    };
    policy::import(&bed.ctx, policy_kinds::KINDS, &new, &hand())
}

fn put_in_force(bed: &Bed, version: &str) {
    let wanted = (Some(PolicyKind::Retention), version);
    let wish = ActivationWish::default();
    policy::activate(&bed.ctx, policy_kinds::KINDS, wanted, &wish, &hand()).expect("in force");
}

#[test]
fn the_job_goes_by_the_policy_in_force_and_its_entries_cite_it() {
    let bed = Bed::new();
    bed.fill("ana");
    let version = import(&bed, "short", &text(7)).expect("imported");
    bed.run();
    put_in_force(&bed, "short");
    let shown = bed.ctx.store.read_blocking(|db| whole(db, &bed.ctx)).expect("shown");
    assert_eq!(
        (
            shown.policy_version.as_str(),
            shown.source,
            shown.policy_digest.as_str()
        ),
        (version.version.as_str(), "policy", version.id.as_str())
    );
    for kind in &shown.kinds {
        let is_evidence = kind.deleted_by == Some(JOB);
        assert_eq!(kind.source == Some("policy"), is_evidence, "{}", kind.kind);
        assert_eq!(kind.kept == "7 years", is_evidence, "{}", kind.kind);
    }
    bed.ctx.clock.advance_ms(SEVEN_YEARS - DAY);
    bed.run();
    assert_eq!((bed.left_of("ana"), bed.deleted()), (Bed::all(), Vec::new()));
    bed.ctx.clock.advance_ms(DAY + 1);
    bed.run();
    assert_eq!(bed.left_of("ana"), 0, "seven years, not ten");
    let entries = bed.entries("retention.deleted");
    assert!(!entries.is_empty());
    for entry in &entries {
        assert_eq!(entry["policy_version"], version.version.as_str(), "{entry}");
        assert_eq!(entry["tables"]["retention"], version.id.as_str(), "{entry}");
    }
    bed.assert_verified();
}

#[test]
fn a_longer_policy_keeps_what_is_due_and_going_back_leads_to_the_configuration() {
    let bed = Bed::new();
    bed.fill("ana");
    bed.run();
    import(&bed, "long", &text(12)).expect("imported");
    put_in_force(&bed, "long");
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    bed.run();
    assert_eq!((bed.left_of("ana"), bed.deleted()), (Bed::all(), Vec::new()));
    let back =
        policy::roll_back(&bed.ctx, policy_kinds::KINDS, PolicyKind::Retention, &[], &hand()).expect("went back");
    assert_eq!(back.version.name, "configured");
    bed.ctx.clock.advance_ms(DAY);
    bed.run();
    assert_eq!(bed.left_of("ana"), 0);
    let cited = bed.ctx.keeping.cited(DataKind::Ledger).version;
    for entry in bed.entries("retention.deleted") {
        assert_eq!(entry["policy_version"], cited.as_str(), "{entry}");
    }
}

#[test]
fn with_four_eyes_going_back_to_other_periods_waits_for_a_second_person() {
    let mut bed = Bed::new();
    bed.fill("ana");
    bed.run();
    import(&bed, "long", &text(12)).expect("imported");
    put_in_force(&bed, "long");
    bed.ctx.policy_four_eyes = true;
    let back =
        policy::roll_back(&bed.ctx, policy_kinds::KINDS, PolicyKind::Retention, &[], &hand()).expect("asked for");
    assert!(back.waits);
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    bed.run();
    assert_eq!((bed.left_of("ana"), bed.deleted()), (Bed::all(), Vec::new()));
    let approve = |operator: &str| {
        let hand = PolicyHand::from(OperatorNote {
            operator: operator.into(),
            reason: "a test".into(),
        });
        policy::approve(&bed.ctx, policy_kinds::KINDS, &back.act_id, &hand)
    };
    let own = approve("uid-1000/ana").map(drop).expect_err("whoever asked for it");
    assert_eq!(own.fault(), Fault::PolicySecondNeeded);
    let done = approve("uid-1000/bo").expect("approved");
    assert_eq!((done.waits, done.version.name.as_str()), (false, "configured"));
    bed.ctx.clock.advance_ms(DAY);
    bed.run();
    assert_eq!(bed.left_of("ana"), 0);
}

#[test]
fn t_f11_a_retention_policy_under_six_years_or_with_a_wrong_line_changes_nothing() {
    let bed = Bed::new();
    let count = || bed.number("SELECT count(*) FROM policy_version") + bed.number("SELECT count(*) FROM ledger_entry");
    let before = count();
    for (wrong, why) in [
        (text(7).replace("ledger 7", "ledger 5"), "6 years at least"),
        (text(5), "6 years at least"),
        (
            text(7).replace("reviews 7 years\n", ""),
            "the line of reviews is missing",
        ),
        (text(7) + "exports 24 hours\n", "configuration"),
        (text(7) + "ledger 8 years\n", "a line already"),
        ("retain everything\n".to_owned(), "the first line"),
    ] {
        let refused = import(&bed, "wrong", &wrong).map(drop).expect_err(why);
        assert_eq!(refused.fault(), Fault::PolicyInvalid, "{why}");
        let told = refused.operator_remedy_text();
        assert!(told.contains(why), "{told}");
    }
    assert_eq!(count(), before);
}

#[test]
fn a_policy_that_waits_for_a_second_person_or_was_changed_in_the_store_deletes_nothing() {
    let mut bed = Bed::new();
    bed.ctx.policy_four_eyes = true;
    bed.fill("ana");
    bed.run();
    let version = import(&bed, "short", &text(7)).expect("imported");
    put_in_force(&bed, "short");
    bed.ctx.clock.advance_ms(SEVEN_YEARS + DAY);
    bed.run();
    assert_eq!((bed.left_of("ana"), bed.deleted()), (Bed::all(), Vec::new()));
    bed.ctx.policy_four_eyes = false;
    put_in_force(&bed, "short");
    let id = &version.id;
    bed.sql(&format!(
        "UPDATE policy_version SET body = replace(body, 'ledger 7', 'ledger 6') WHERE id = '{id}'"
    ));
    let shown = bed.ctx.store.read_blocking(|db| whole(db, &bed.ctx)).map(drop);
    assert_eq!(shown.expect_err("damaged").fault(), Fault::StoreDamaged);
    let run = causeway::retention::run::now(&bed.ctx).map(drop);
    assert_eq!(run.expect_err("damaged").fault(), Fault::StoreDamaged);
    assert_eq!((bed.left_of("ana"), bed.deleted()), (Bed::all(), Vec::new()));
}

#[test]
fn packets_have_a_clock_of_their_own_and_holds_keep_them() {
    let bed = Bed::new();
    let (kept, _) = (bed.fill("ana"), bed.fill("ben"));
    bed.run();
    let short = text(10).replace("packets 10", "packets 1");
    let version = import(&bed, "packets", &short).expect("imported");
    put_in_force(&bed, "packets");
    let case = "INSERT INTO evidence_case_item (case_id, item, kind, entry_id, added_by, added_ms)";
    bed.sql(&format!("{case} VALUES ('case-1', '{kept}', 'exchange', 'e', 'o', 1)"));
    bed.sql(&format!(
        "UPDATE evidence_packet SET kind = 'case', subject = 'case-1' WHERE subject = '{kept}'"
    ));
    let by = HoldActor::new("uid-1".into(), "host", "a subpoena", Correlation::internal("c".into()));
    let write = hold::place(&bed.ctx, HeldTarget::Exchange(kept), None, by.expect("a reason"));
    let id = bed.ctx.store.write_blocking(write).expect("placed");
    bed.ctx.clock.advance_ms(366 * DAY);
    bed.run();
    assert_eq!(bed.deleted(), [("packets".to_owned(), 1)], "ben's, and nothing else");
    assert_eq!(
        bed.number("SELECT count(*) FROM evidence_member WHERE patient_id = 'ana'"),
        1
    );
    let entry = &bed.entries("retention.deleted")[0];
    assert_eq!(entry["policy_version"], version.version.as_str(), "{entry}");
    let by = HoldActor::new("uid-1".into(), "host", "closed", Correlation::internal("c".into()));
    let write = hold::release(&bed.ctx, id, by.expect("a reason"));
    bed.ctx.store.write_blocking(write).expect("released");
    bed.ctx.clock.advance_ms(DAY);
    bed.run();
    assert_eq!(bed.number("SELECT count(*) FROM evidence_piece"), 0);
    assert_eq!(
        bed.number("SELECT count(*) FROM evidence_packet WHERE state = 'erased'"),
        2
    );
}
