//! Legal holds.

use super::bed::{Bed, DAY, TEN_YEARS};
use causeway::erasure::{ErasureLeave, may_be_erased};
use causeway::error::{Failure, Fault};
use causeway::retention::hold::{self, HeldTarget, HoldActor, held, held_exchange};
use causeway::store::erasures::{self, ErasureRow};
use causeway::store::member_groups::{self, GroupFilter};
use causeway::store::retention::holds::forget;
use causeway::store::{Db, entries, erased_decided, group_ends};
use causeway::telemetry::Correlation;

fn by(bed: &Bed, reason: &str) -> HoldActor {
    let correlation = Correlation::internal(bed.ctx.ids.new_id(bed.ctx.clock.now_ms()));
    HoldActor::new("uid-1".into(), "host", reason, correlation).expect("a reason")
}

fn place(bed: &Bed, target: HeldTarget) -> Result<String, Failure> {
    let write = hold::place(&bed.ctx, target, Some("case-7".into()), by(bed, "a subpoena"));
    bed.ctx.store.write_blocking(write)
}

fn release(bed: &Bed, id: &str) -> Result<(), Failure> {
    let write = hold::release(&bed.ctx, id.to_owned(), by(bed, "the case is closed"));
    bed.ctx.store.write_blocking(write)
}

fn is_held(bed: &Bed, member: &str) -> bool {
    bed.ctx
        .store
        .read_blocking(|db| held(db, member))
        .expect("reads")
        .is_some()
}

#[test]
fn what_is_held_stays_and_goes_after_the_release() {
    let bed = Bed::new();
    bed.fill("ana");
    bed.fill("ben");
    let id = place(&bed, HeldTarget::Member("ana".into())).expect("placed");
    assert_eq!(place(&bed, HeldTarget::Member("ana".into())).expect("again"), id);
    assert_eq!((is_held(&bed, "ana"), is_held(&bed, "ben")), (true, false));
    bed.run();
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    bed.run();
    assert_eq!((bed.left_of("ana"), bed.left_of("ben")), (Bed::all(), 0));
    bed.ctx.clock.advance_ms(DAY);
    bed.run();
    assert_eq!(bed.left_of("ana"), Bed::all());
    release(&bed, &id).expect("released");
    release(&bed, &id).expect("released before");
    assert!(!is_held(&bed, "ana"));
    bed.ctx.clock.advance_ms(DAY);
    bed.run();
    // The entry of the release is about ana, too, and young.
    assert_eq!(bed.left_of("ana"), 1);
    assert_eq!(bed.number("SELECT count(*) FROM ledger_entry WHERE subject = 'ana'"), 1);
    for (action, reason) in [
        ("retention.hold-placed", "a subpoena"),
        ("retention.hold-released", "the case is closed"),
    ] {
        let entries = bed.entries(action);
        assert_eq!(entries.len(), 1, "{action}");
        let text = entries[0].to_string();
        assert!(!text.contains("ana") && !text.contains(reason), "{text}");
        assert!(entries[0]["operator_commit"].is_string() && entries[0]["note_commit"].is_string());
    }
    bed.assert_verified();
}

#[test]
fn a_hold_on_an_exchange_keeps_the_exchange_and_what_it_received_and_no_more() {
    let bed = Bed::new();
    let exchange = bed.fill("ana");
    place(&bed, HeldTarget::Exchange(exchange.clone())).expect("placed");
    assert!(
        is_held(&bed, "ana"),
        "an erasure of the member would erase the exchange"
    );
    let of_exchange = |db: &mut Db| held_exchange(db, &exchange);
    assert!(bed.ctx.store.read_blocking(of_exchange).expect("reads").is_some());
    bed.run();
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    bed.run();
    for (table, left) in [
        ("exchange", 1),
        ("exchange_step", 1),
        ("ingest_piece", 1),
        ("bulk_run", 1),
        ("partner_checkpoint", 1),
        ("opt_in", 1),
        ("evidence_piece", 1),
        ("evidence_member", 1),
        ("decision", 0),
        ("consent", 0),
        ("review", 0),
    ] {
        assert_eq!(bed.number(&format!("SELECT count(*) FROM {table}")), left, "{table}");
    }
    let of_exchange = "SELECT count(*) FROM ledger_entry WHERE subject = 'ana' AND exchange_id IS NOT NULL";
    assert_eq!(bed.number(of_exchange), 1);
}

#[test]
fn a_hold_on_an_exchange_of_a_partner_keeps_what_opens_its_entries() {
    let bed = Bed::new();
    bed.fill("ana");
    let decision = bed.text("SELECT id FROM decision");
    place(&bed, HeldTarget::Exchange(decision)).expect("placed");
    bed.run();
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    bed.run();
    assert_eq!(bed.number("SELECT count(*) FROM ledger_entry WHERE subject = 'ana'"), 2);
    assert_eq!(bed.number("SELECT count(*) FROM decision"), 1);
}

/// Ana and Ben, and a decision and a review that are Ben's, in which Ana was a candidate. Returns the decision.
fn one_is_a_candidate(bed: &Bed) -> String {
    bed.fill("ana");
    bed.fill("ben");
    let decision = bed.text("SELECT id FROM decision WHERE patient_id = 'ben'");
    let review = bed.text("SELECT id FROM review WHERE patient_id = 'ben'");
    bed.sql(&format!(
        "INSERT INTO decision_candidate (decision_id, place, compartment, patient_id) VALUES ('{decision}', 1, 1, 'ana')"
    ));
    bed.sql(&format!(
        "INSERT INTO review_candidate (review_id, place, patient_id, total_tenths, fields) VALUES ('{review}', 1, 'ana', 1, '{{}}')"
    ));
    decision
}

#[test]
fn a_hold_on_an_exchange_holds_those_it_asked_about_too() {
    let bed = Bed::new();
    let decision = one_is_a_candidate(&bed);
    place(&bed, HeldTarget::Exchange(decision)).expect("placed");
    assert!(is_held(&bed, "ana") && is_held(&bed, "ben"));
}

#[test]
fn an_erasure_leaves_what_was_decided_about_another_member() {
    let bed = Bed::new();
    one_is_a_candidate(&bed);
    let erase = |db: &mut Db| erased_decided::drop_decided(db, "ana");
    bed.ctx.store.write_blocking(erase).expect("erased");
    for table in [
        "decision",
        "decision_candidate",
        "review",
        "review_candidate",
        "review_act",
    ] {
        for (member, left) in [("ana", 0), ("ben", 1)] {
            let rows = format!("SELECT count(*) FROM {table} WHERE patient_id = '{member}'");
            assert_eq!(bed.number(&rows), left, "{table} of {member}");
        }
    }
}

#[test]
fn what_is_kept_of_the_record_keeps_the_record_and_not_the_ledger() {
    let bed = Bed::new();
    bed.fill("ana");
    bed.sql("UPDATE ledger_entry SET subject = NULL, subject_salt = NULL");
    let leave = |with_record: bool, years: i64| {
        let now_ms = bed.ctx.clock.now_ms() + years * 366 * DAY;
        let ask = |db: &mut Db| may_be_erased(db, "ana", &bed.ctx.keeping, with_record, now_ms);
        bed.ctx.store.read_blocking(ask).expect("asked")
    };
    assert_eq!(leave(false, 0), ErasureLeave::Free);
    let is_kept = |leave: ErasureLeave| matches!(leave, ErasureLeave::Kept { until_ms } if until_ms > super::bed::NOW + TEN_YEARS);
    assert!(is_kept(leave(true, 0)), "{:?}", leave(true, 0));
    // Before the store knows the time, and after it.
    assert!(
        is_kept(leave(true, 20)),
        "a clock that is set forward makes nothing old"
    );
    bed.run();
    assert!(
        is_kept(leave(true, 20)),
        "a clock that is set forward makes nothing old"
    );
}

#[test]
fn nothing_is_held_that_is_being_erased() {
    let bed = Bed::new();
    let exchange = bed.fill("ana");
    let row = ErasureRow {
        id: "e-1".into(),
        patient_id: Some("ana".into()),
        with_record: 1,
        reason: "member-request".into(),
        legal_basis: None,
        operator: "o".into(),
        state: erasures::RUNNING.into(),
        entry_id: "e-2".into(),
        counts: "{}".into(),
        begun_ms: bed.ctx.clock.now_ms(),
        ended_ms: None,
    };
    let write = move |db: &mut Db| erasures::put(db, &row);
    bed.ctx.store.write_blocking(write).expect("begun");
    for (target, fault) in [
        (HeldTarget::Member("ana".into()), Fault::MemberUnknown),
        (HeldTarget::Exchange(exchange), Fault::ExchangeUnknown),
    ] {
        assert_eq!(place(&bed, target).expect_err("refused").fault(), fault);
    }
    assert_eq!(bed.number("SELECT count(*) FROM retention_hold"), 0);
}

#[test]
fn a_released_hold_does_not_say_any_more_whom_it_was_on() {
    let bed = Bed::new();
    let exchange = bed.fill("ana");
    bed.fill("ben");
    for target in [
        HeldTarget::Member("ana".into()),
        HeldTarget::Exchange(exchange),
        HeldTarget::Member("ben".into()),
    ] {
        let id = place(&bed, target).expect("placed");
        release(&bed, &id).expect("released");
    }
    let write = |db: &mut Db| forget(db, "ana");
    bed.ctx.store.write_blocking(write).expect("forgotten");
    for (left, rows) in [
        ("target = 'ana'", 0),
        ("target = 'ben'", 1),
        ("reason = '' AND released_why = ''", 2),
    ] {
        let query = format!("SELECT count(*) FROM retention_hold WHERE {left}");
        assert_eq!(bed.number(&query), rows, "{left}");
    }
}

#[test]
fn a_request_is_found_by_its_own_id_after_its_correlation_id_was_taken_out() {
    let bed = Bed::new();
    bed.fill("ana");
    bed.sql("UPDATE ledger_entry SET action = 'review.opened', correlation_id = 'r-1', request_id = NULL");
    let ids = entries::RequestIds {
        correlation_id: "chosen".into(),
        request_id: "r-1".into(),
    };
    let found = bed.ctx.store.read_blocking(|db| entries::of_request(db, &ids, "", 10));
    assert_eq!(found.expect("reads").len(), 2);
    let found = bed
        .ctx
        .store
        .read_blocking(|db| entries::by_request_id(db, "r-1", "", 10));
    assert_eq!(found.expect("reads").len(), 2);
}

#[test]
fn a_hold_that_is_placed_while_a_run_looks_is_seen_by_the_run() {
    let bed = Bed::new();
    bed.fill("ana");
    bed.run();
    bed.ctx.clock.advance_ms(TEN_YEARS + DAY);
    let store = &bed.ctx.store;
    // Between what a run finds and what it deletes.
    let deleted = causeway::retention::run::run(&bed.ctx, bed.ctx.clock.now_ms(), "", &|write| {
        place(&bed, HeldTarget::Member("ana".into())).expect("placed");
        store.write_blocking(write)
    });
    assert_eq!(deleted.expect("runs"), Vec::new());
    assert_eq!(bed.left_of("ana"), Bed::all());
}

#[test]
fn holds_on_what_is_not_there_and_without_a_reason_change_nothing() {
    let bed = Bed::new();
    let refused = |target| place(&bed, target).expect_err("refused").fault();
    assert_eq!(refused(HeldTarget::Member("nobody".into())), Fault::MemberUnknown);
    assert_eq!(refused(HeldTarget::Exchange("nothing".into())), Fault::ExchangeUnknown);
    assert_eq!(
        release(&bed, "nothing").expect_err("refused").fault(),
        Fault::HoldUnknown
    );
    let long = "x".repeat(501);
    for reason in ["", "  ", "two\nlines", &long] {
        let correlation = Correlation::internal("r".into());
        let refused = HoldActor::new("uid-1".into(), "host", reason, correlation);
        assert_eq!(
            refused.expect_err("refused").fault(),
            Fault::ParameterInvalid,
            "{reason:?}"
        );
    }
    assert_eq!(
        hold::case(Some("a/b")).expect_err("refused").fault(),
        Fault::ParameterInvalid
    );
    assert_eq!(bed.number("SELECT count(*) FROM retention_hold"), 0);
    assert_eq!(bed.number("SELECT count(*) FROM ledger_entry"), 0);
}

/// The group `g-match` of the partner `p`, whose match is over since long. Its last member but one is this one.
fn add_group(bed: &Bed, members: usize, member: &str) {
    bed.sql(
        "INSERT INTO member_group (id, partner_id, code, job_id, match_ms, updated_ms) VALUES ('g-match', 'p', 'match', 'g', 1, 1)",
    );
    bed.sql(&format!(
        "INSERT INTO member_group_entry (group_id, position, patient_id) WITH RECURSIVE n(i) AS \
         (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {members}) \
         SELECT 'g-match', i, CASE WHEN i + 2 = {members} THEN '{member}' ELSE 'm-' || i END FROM n"
    ));
}

fn left_of_group(bed: &Bed) -> (i64, i64) {
    let count = |table: &str| bed.number(&format!("SELECT count(*) FROM {table}"));
    (count("member_group"), count("member_group_entry"))
}

#[test]
fn a_group_whose_end_has_begun_ends_whole_and_one_that_was_held_before_stays_whole() {
    let bed = Bed::new();
    bed.fill("ana");
    add_group(&bed, 4_500, "ana");
    let now_ms = bed.ctx.clock.now_ms();
    let sweep = || {
        let write = move |db: &mut Db| group_ends::sweep(db, now_ms, now_ms);
        bed.ctx.store.write_blocking(write).expect("swept")
    };
    let is_shown = || {
        let filter = GroupFilter {
            limit: 10,
            ..GroupFilter::default()
        };
        let rows = bed.ctx.store.read_blocking(|db| member_groups::page(db, "p", &filter));
        !rows.expect("reads").is_empty()
    };
    let id = place(&bed, HeldTarget::Member("ana".into())).expect("placed");
    assert!(!sweep().more, "it is held");
    assert_eq!((left_of_group(&bed), is_shown()), ((1, 4_500), true));
    release(&bed, &id).expect("released");
    let first = sweep();
    assert!(first.more && first.gone.is_empty());
    assert_eq!(left_of_group(&bed), (1, 2_500));
    assert!(!is_shown(), "half a group is shown to nobody");
    place(&bed, HeldTarget::Member("ana".into())).expect("placed between two parts");
    let (mut gone, mut parts) = (Vec::new(), 1);
    loop {
        let swept = sweep();
        gone.extend(swept.gone);
        parts += 1;
        if !swept.more {
            break;
        }
        assert!(parts < 10, "it comes to an end");
    }
    assert_eq!(left_of_group(&bed), (0, 0), "nothing is left half deleted");
    assert_eq!(gone, [("g-match".to_owned(), 1_i64)]);
    // What begins after the hold is kept whole.
    add_group(&bed, 3, "ana");
    assert!(!sweep().more);
    assert_eq!((left_of_group(&bed), is_shown()), ((1, 3), true));
}
