//! When what is deleted.

use super::bed::{Bed, DAY, TEN_YEARS};
use causeway::audit::deletion::rows_digest;
use causeway::audit::{Action, LedgerEvent, Object, commitment, ledger};
use causeway::config::Config;
use causeway::controls::{self, ControlsAsked, HowMany, register};
use causeway::error::Fault;
use causeway::keeping::table::{JOB, KINDS};
use causeway::retention::{run, time};
use causeway::security::Operator;
use causeway::store::Db;
use causeway::store::erasures::{self, ErasureRow, RUNNING};
use causeway::telemetry::Correlation;

/// Every kind that the job deletes, with one row each, and the two entries of a member.
fn of_one_member() -> Vec<(String, u64)> {
    let kinds = KINDS.iter().filter(|row| row.job == JOB);
    let rows = |code: &str| if code == "ledger" { 2 } else { 1 };
    kinds.map(|row| (row.code.to_owned(), rows(row.code))).collect()
}

#[test]
fn each_kind_is_deleted_at_its_time_with_proof_and_not_before() {
    let bed = Bed::new();
    bed.fill("ana");
    bed.run();
    bed.ctx.clock.advance_ms(TEN_YEARS - DAY);
    bed.run();
    assert_eq!(
        (bed.left_of("ana"), bed.deleted()),
        (Bed::all(), Vec::new()),
        "a day too early"
    );
    bed.fill("ben");
    bed.ctx.clock.advance_ms(DAY + 1);
    bed.run();
    assert_eq!(bed.left_of("ana"), 0);
    assert_eq!(bed.left_of("ben"), Bed::all());
    assert_eq!(bed.deleted(), of_one_member());
    // Entries themselves stay, and so do the proofs.
    assert_eq!(
        bed.number("SELECT count(*) FROM ledger_entry WHERE action = 'operator.viewed'"),
        4
    );
    assert_eq!(bed.number("SELECT count(*) FROM operator_note"), 2, "those about ben");
    assert_eq!(
        bed.number("SELECT count(*) FROM ledger_entry WHERE action = 'operator.viewed' AND subject_salt IS NOT NULL"),
        2
    );
    bed.assert_verified();
    let cited = bed.ctx.keeping.version();
    for entry in bed.entries("retention.deleted") {
        assert_eq!(entry["policy_version"], cited.as_str(), "{entry}");
        assert_eq!(entry["deleted"]["from"], entry["deleted"]["to"], "{entry}");
        assert_eq!(entry["deleted"]["from"], "2026-01-01T00:00:00.000Z", "{entry}");
        let text = entry.to_string();
        assert!(!text.contains("ana") && !text.contains("ben"), "{text}");
    }
    // What was asked for as evidence stays, without the bytes.
    for (of, rows) in [
        ("evidence_packet WHERE state = 'erased'", 1),
        ("evidence_packet WHERE state = 'made'", 1),
        ("evidence_piece", 1),
    ] {
        assert_eq!(bed.number(&format!("SELECT count(*) FROM {of}")), rows, "{of}");
    }
    // A run after it finds nothing.
    bed.ctx.clock.advance_ms(DAY);
    bed.run();
    assert_eq!(bed.deleted(), of_one_member());
}

#[test]
fn controls_hold_after_rows_and_values_were_deleted() {
    let bed = Bed::new();
    let exchange = bed.fill("ana");
    let at_us = bed.ctx.clock.now_us();
    let id = bed.ctx.ids.new_id(at_us / 1000);
    let mut entry = LedgerEvent::new(
        Action::ExchangeStarted,
        Operator::actor("auditor"),
        Correlation::of(id.clone(), [0; 8], Some("chosen"), None, None),
    );
    entry.exchange = Some(exchange);
    entry.object = Some(Object {
        kind: "Patient",
        id: "ana".into(),
    });
    let write = move |db: &mut Db| ledger::append(db, &entry, &id, at_us);
    bed.ctx.store.write_blocking(write).expect("appended");
    bed.run();
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    bed.run();
    assert_eq!(bed.left_of("ana"), 0);
    let chosen = "SELECT count(*) FROM ledger_entry WHERE correlation_id = 'chosen'";
    assert_eq!(
        bed.number(chosen),
        0,
        "what opens a commitment is gone, the correlation id too"
    );
    bed.sequence();
    let all = register::CONTROLS.iter();
    let asked = ControlsAsked {
        seed: 7,
        many: HowMany::All,
        only: all.filter(|one| one.id == register::COMPLETENESS).collect(),
        outside: Vec::new(),
    };
    let report = controls::run(&bed.ctx, &asked, &mut |_| {}).expect("runs");
    let [completeness] = report.controls.as_slice() else {
        panic!("{:?}", report.controls)
    };
    assert!(completeness.checked > 0);
    assert_eq!(completeness.defects, 0, "{:?}", completeness.found);
}

#[test]
fn the_proof_commits_to_the_rows_that_were_deleted() {
    let bed = Bed::new();
    bed.fill("ana");
    let of_decision = "SELECT id FROM decision";
    let id = bed.text(of_decision);
    bed.run();
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    bed.run();
    let entries = bed.entries("retention.deleted");
    let entry = entries.iter().find(|entry| entry["deleted"]["kind"] == "decisions");
    let entry = entry.expect("an entry of decisions");
    let salt = bed.salt_of("decisions");
    let expected = commitment("object", &salt, &rows_digest([id.as_str()]));
    assert_eq!(entry["object"]["id_commit"], expected.as_str(), "{entry}");
    let other = commitment("object", &salt, &rows_digest(["another"]));
    assert_ne!(entry["object"]["id_commit"], other.as_str());
}

#[test]
fn what_is_deleted_and_its_entry_are_one_transaction() {
    let bed = Bed::new();
    bed.fill("ana");
    bed.run();
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    let now_ms = bed.ctx.clock.now_ms();
    let store = &bed.ctx.store;
    let cut_off = run::run(&bed.ctx, now_ms, "", &|mut write| {
        store.write_blocking(move |db: &mut Db| {
            assert!(write(db)?.is_some(), "it deleted something");
            Err(Fault::Internal.into())
        })
    });
    assert_eq!(cut_off.expect_err("cut off").fault(), Fault::Internal);
    assert_eq!((bed.left_of("ana"), bed.deleted()), (Bed::all(), Vec::new()));
    assert_eq!(bed.number("SELECT count(*) FROM retention_kind"), 0);
    bed.run();
    assert_eq!((bed.left_of("ana"), bed.deleted()), (0, of_one_member()));
    assert_eq!(bed.number("SELECT count(*) FROM retention_kind"), 9);
}

#[test]
fn t_f10_a_clock_that_is_set_forward_by_years_deletes_nothing() {
    let mut bed = Bed::new();
    bed.fill("ana");
    bed.run();
    bed.ctx.clock.set_ms(2 * TEN_YEARS);
    bed.ctx.clock.look();
    bed.run();
    // Ten minutes later the other parts of the program believe the clock.
    bed.ctx.clock.advance_ms(660_000);
    bed.ctx.clock.look();
    for _ in 0..5 {
        bed.run();
        bed.ctx.clock.advance_ms(DAY);
        bed.restart();
    }
    assert_eq!((bed.left_of("ana"), bed.deleted()), (Bed::all(), Vec::new()));
    let seen_ms = bed.number("SELECT seen_ms FROM retention_clock");
    assert!(seen_ms < super::bed::NOW + 15 * DAY, "{seen_ms}");
}

#[test]
fn t_f10_an_entry_that_was_stamped_by_a_clock_set_back_is_as_young_as_it_is() {
    let bed = Bed::new();
    bed.run();
    bed.ctx.clock.advance_ms(DAY);
    bed.run();
    // The stamps of these entries say that they are twenty years old.
    bed.ctx.clock.set_ms(-2 * TEN_YEARS);
    bed.fill("ana");
    bed.ctx.clock.set_ms(2 * TEN_YEARS);
    bed.ctx.clock.advance_ms(DAY);
    bed.run();
    assert_eq!(bed.number("SELECT count(*) FROM ledger_entry WHERE subject = 'ana'"), 2);
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    bed.run();
    assert_eq!(bed.number("SELECT count(*) FROM ledger_entry WHERE subject = 'ana'"), 0);
    bed.assert_verified();
}

#[test]
fn an_operator_looks_without_deleting_and_does_not_move_time() {
    let bed = Bed::new();
    bed.fill("ana");
    bed.run();
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    let standing = time::standing(&bed.ctx).expect("a time");
    assert_eq!(standing, super::bed::NOW, "the job has not looked since");
    assert_eq!(run::now(&bed.ctx).expect("runs"), Vec::new());
    let due = run::look(&bed.ctx, bed.ctx.clock.now_ms()).expect("looks");
    let mut kinds: Vec<&str> = due.iter().map(|part| part.kind.code()).collect();
    kinds.sort_unstable();
    // What the run and what was received keep their exchange until they are gone.
    assert_eq!(
        kinds,
        [
            "checkpoints",
            "consents",
            "ledger",
            "packets",
            "received",
            "reviews",
            "runs"
        ]
    );
    assert_eq!(bed.left_of("ana"), Bed::all());
}

#[test]
fn t_f11_a_period_below_six_years_is_refused_with_its_key() {
    for (key, value) in [
        ("RETENTION__LEDGER_YEARS", "5"),
        ("RETENTION__DECISION_YEARS", "0"),
        ("RETENTION__EXCHANGE_YEARS", "-10"),
        ("RETENTION__LEDGER_YEARS", "101"),
        ("RETENTION__IDEMPOTENCY_DAYS", "0"),
    ] {
        let set = [(format!("CAUSEWAY_{key}"), value.to_owned())];
        let failure = Config::load(None, set).map(drop).expect_err(key);
        assert_eq!(failure.fault(), Fault::ConfigInvalid, "{key}");
        let name = key.to_lowercase().replace("__", ".");
        assert_eq!(failure.expressions(), [name.as_str()]);
    }
    let set = [("CAUSEWAY_RETENTION__LEDGER_YEARS".to_owned(), "6".to_owned())];
    let config = Config::load(None, set).expect("six years are taken");
    assert!(config.retention.text().contains("\nledger 6 years\n"));
}

#[test]
fn what_was_read_before_a_run_or_an_erasure_is_told_from_what_is_left() {
    let bed = Bed::new();
    bed.fill("ana");
    bed.run();
    let store = &bed.ctx.store;
    let taken_out = || store.read_blocking(erasures::taken_out).expect("reads");
    let is_touched = |before| {
        store
            .read_blocking(|db| erasures::touched_since(db, before))
            .expect("reads")
    };
    let first = taken_out();
    bed.ctx.clock.advance_ms(DAY);
    bed.run();
    assert!(!is_touched(first), "a run that deletes nothing");
    bed.ctx.clock.advance_ms(TEN_YEARS);
    bed.run();
    assert!(is_touched(first), "a packet of before would outlive what was deleted");
    let second = taken_out();
    assert!(!is_touched(second));
    let row = ErasureRow {
        id: "e1".to_owned(),
        patient_id: Some("ben".to_owned()),
        with_record: 0,
        reason: "test-data".to_owned(),
        legal_basis: None,
        operator: "ana".to_owned(),
        state: RUNNING.to_owned(),
        entry_id: "none".to_owned(),
        counts: "{}".to_owned(),
        begun_ms: bed.ctx.clock.now_ms(),
        ended_ms: None,
    };
    store
        .write_blocking(move |db| erasures::put(db, &row))
        .expect("written");
    assert!(is_touched(second), "it is under way");
    // By a process whose clock is late.
    store
        .write_blocking(|db| {
            erasures::set_erased(db, "e1")?;
            erasures::set_done(db, "e1", 1)
        })
        .expect("written");
    assert!(is_touched(second), "it came to its end");
    assert!(!is_touched(taken_out()));
}
