//! Series of exchanges: what ends one, and that there is one for each question.

use super::bed::{Bed, HOUR, NOW, wish};
use super::scripted::{Says, Scripted};
use causeway::error::Fault;
use causeway::exchange::acts::{ActResult, ExchangeAct};
use causeway::exchange::phase::{AskedFor, CoverKind, Phase};
use causeway::exchange::steps::{StepEnd, StepName};
use causeway::store::ingest::{self, IngestRow};

const DAY: i64 = 24 * HOUR;
const SERIES: &str = "SELECT COUNT(*) FROM job WHERE kind = 'exchange-again'";

/// An exchange about concurrent cover that is complete.
fn concurrent(bed: &Bed, partner: &Scripted) -> String {
    let mut concurrent = wish();
    concurrent.cover = CoverKind::Concurrent;
    let first = bed.start(&concurrent).expect("started").exchange_id;
    bed.run(partner);
    assert_eq!(bed.phase(&first), Phase::Completed);
    first
}

/// A partner that ends the match of the first further exchange like this, and does all else well.
fn once(asked_for: AskedFor, end: StepEnd) -> Scripted {
    Scripted::that(move |facts, step, _| {
        let is_first = facts.asked_for == asked_for && facts.begun_ms < first_end(asked_for);
        match step {
            StepName::MemberMatch if is_first => Says::End(end.clone()),
            _ => Says::Well,
        }
    })
}

/// When the first further exchange has surely begun.
fn first_end(asked_for: AskedFor) -> i64 {
    match asked_for {
        AskedFor::RunOff => NOW + 40 * DAY,
        _ => NOW + 95 * DAY,
    }
}

fn refused() -> StepEnd {
    StepEnd::Refused {
        fault: Fault::PartnerRefuses,
    }
}

fn again(bed: &Bed, id: &str) -> String {
    match bed.act(id, ExchangeAct::Replay).expect("run again") {
        ActResult::Done { exchange_id } => exchange_id,
        ActResult::NotAllowed => panic!("not allowed"),
    }
}

#[test]
fn a_partner_that_refuses_one_quarter_is_asked_in_the_next_for_all_since_the_last_record() {
    let bed = Bed::new();
    let partner = once(AskedFor::Quarter, refused());
    concurrent(&bed, &partner);
    bed.ctx.clock.advance_ms(91 * DAY);
    bed.run(&partner);
    assert_eq!(bed.number("SELECT COUNT(*) FROM exchange WHERE phase = 'refused'"), 1);
    assert_eq!(bed.number(SERIES), 1, "the series goes on");
    bed.ctx.clock.advance_ms(93 * DAY);
    bed.run(&partner);
    assert_eq!(bed.number("SELECT COUNT(*) FROM exchange WHERE phase = 'completed'"), 2);
    let since =
        "SELECT COUNT(DISTINCT since_ms) FROM exchange_ask WHERE asked_for = 'quarter' AND since_ms = 1767225600000";
    assert_eq!(bed.number(since), 1);
    let whole = "SELECT COUNT(*) FROM exchange_ask WHERE asked_for = 'quarter' AND since_ms IS NULL";
    assert_eq!(
        bed.number(whole),
        0,
        "what the refused one did not bring is asked for again"
    );
}

#[test]
fn a_series_ends_when_an_exchange_of_it_is_cancelled_or_the_opt_in_is_revoked() {
    for revokes in [false, true] {
        let bed = Bed::new();
        let partner = once(AskedFor::Quarter, StepEnd::NotYet { retry_after_ms: None });
        let first = concurrent(&bed, &partner);
        bed.ctx.clock.advance_ms(91 * DAY);
        bed.run(&partner);
        let mut ids = bed.ids_with("old-payer");
        ids.remove(&first);
        let quarter = ids.pop_first().expect("a second exchange");
        if revokes {
            assert_eq!(bed.revoke(&quarter), 1);
        } else {
            bed.act(&quarter, ExchangeAct::Cancel).expect("cancelled");
        }
        assert_eq!(bed.number(SERIES), 0, "{revokes}");
    }
}

#[test]
fn an_exchange_that_is_run_again_makes_no_second_series() {
    let bed = Bed::new();
    let partner = Scripted::well();
    let first = concurrent(&bed, &partner);
    bed.ctx.clock.advance_ms(5 * DAY);
    let second = again(&bed, &first);
    bed.run(&partner);
    assert_eq!(bed.phase(&second), Phase::Completed);
    assert_eq!(bed.number(SERIES), 1);
    let quarters = "SELECT COUNT(*) FROM exchange_ask WHERE asked_for = 'quarter'";
    bed.ctx.clock.advance_ms(86 * DAY);
    bed.run(&partner);
    assert_eq!(bed.number(quarters), 1, "a quarter after the first one");
    let of_second = format!("SELECT COUNT(*) FROM exchange WHERE run_of = '{second}'");
    assert_eq!(bed.number(&of_second), 1, "it follows the last record");
    bed.ctx.clock.advance_ms(30 * DAY);
    bed.run(&partner);
    assert_eq!((bed.number(quarters), bed.number(SERIES)), (1, 1));
}

#[test]
fn late_claims_are_asked_for_at_their_days_whatever_was_refused_or_run_again() {
    let bed = Bed::new();
    let partner = once(AskedFor::RunOff, refused());
    let first = bed.started();
    bed.run(&partner);
    again(&bed, &first);
    bed.run(&partner);
    let mut days = 0;
    for (until, asked) in [(29, 0), (31, 1), (89, 1), (91, 2), (179, 2), (181, 3), (390, 3)] {
        bed.ctx.clock.advance_ms((until - days) * DAY);
        days = until;
        bed.run(&partner);
        let count = "SELECT COUNT(*) FROM exchange_ask WHERE asked_for = 'run_off'";
        assert_eq!(bed.number(count), asked, "day {until}");
    }
    assert_eq!(bed.number(SERIES), 0);
}

/// What this exchange brought is taken out again.
fn taken_out(bed: &Bed, id: &str) {
    let row = IngestRow {
        exchange_id: id.to_owned(),
        partner_id: "old-payer".into(),
        patient_id: "m1".into(),
        key_id: "k1".into(),
        sealed_about: Vec::new(),
        method: "everything".into(),
        state: "retracted".into(),
        created_ms: NOW,
        updated_ms: NOW,
    };
    bed.write(move |db| ingest::open(db, &row).map(drop));
}

#[test]
fn changes_are_not_asked_for_of_a_record_that_was_taken_out() {
    let asked =
        |which: &str| format!("SELECT COUNT(*) FROM exchange_ask WHERE asked_for = 'quarter' AND since_ms {which}");
    // The second one brought the changes since the first; without it, they are changes of nothing.
    for (out, changes, all) in [(None, 2, 0), (Some(0), 1, 1), (Some(1), 1, 1)] {
        let bed = Bed::new();
        let partner = Scripted::well();
        let first = concurrent(&bed, &partner);
        bed.ctx.clock.advance_ms(91 * DAY);
        bed.run(&partner);
        let mut ids = bed.ids_with("old-payer");
        ids.remove(&first);
        let second = ids.pop_first().expect("a second exchange");
        if let Some(which) = out {
            taken_out(&bed, [&first, &second][which]);
        }
        bed.ctx.clock.advance_ms(93 * DAY);
        bed.run(&partner);
        assert_eq!(
            (bed.number(&asked("IS NOT NULL")), bed.number(&asked("IS NULL"))),
            (changes, all),
            "{out:?}"
        );
    }
}
