//! Legal holds.

use super::bed::{Bed, DAY, TEN_YEARS};
use causeway::error::{Failure, Fault};
use causeway::retention::hold::{self, HeldTarget, HoldActor, held, held_exchange};
use causeway::store::Db;
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
