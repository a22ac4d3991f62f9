//! The comparison as a table: what each side has, and what is told of it.

use super::super::row::{ReconcileOutcome, ReconcileRow};
use super::super::side::RowsOf;
use super::*;
use crate::clock::parse_rfc3339_ms;

fn row(correlation: &str, direction: &str, outcome: ReconcileOutcome) -> ReconcileRow {
    ReconcileRow {
        correlation_id: correlation.into(),
        exchange_id: format!("{correlation}-{direction}"),
        direction: direction.into(),
        kind: "single".into(),
        state: outcome.code().into(),
        outcome,
        started_at: "2026-10-05T15:00:00.000Z".into(),
        ended_at: None,
        receipt: None,
        acknowledged_at: None,
        resources: None,
        bytes: None,
    }
}

fn side(of: RowsOf, rows: &[ReconcileRow]) -> SideRows {
    let mut side = SideRows::new(of);
    for (line, row) in (2..).zip(rows) {
        assert!(side.add(row, line), "{row:?}");
    }
    side.settle();
    side
}

fn compared(ours: &[ReconcileRow], theirs: &[ReconcileRow]) -> (ReconcileCounts, Vec<ReconcileDifference>) {
    compared_in(ReconcilePeriod::ALL, ours, theirs)
}

fn compared_in(
    period: ReconcilePeriod,
    ours: &[ReconcileRow],
    theirs: &[ReconcileRow],
) -> (ReconcileCounts, Vec<ReconcileDifference>) {
    let (ours, theirs) = (side(RowsOf::Us, ours), side(RowsOf::Partner, theirs));
    let mut found = Vec::new();
    let counts = compare(&ours, &theirs, period, &mut |difference| {
        found.push(difference);
        Ok(())
    });
    (counts.expect("compared"), found)
}

/// One finding and its action.
fn told(ours: &[ReconcileRow], theirs: &[ReconcileRow]) -> Option<(ReconcileFinding, ReconcileAction)> {
    let (counts, found) = compared(ours, theirs);
    assert!(found.len() <= 1, "{found:?}");
    assert_eq!(counts.differences, found.len() as u64);
    found.first().map(|one| (one.finding, one.action))
}

#[test]
fn what_we_asked_is_compared_with_what_the_partner_was_asked() {
    use ReconcileAction::*;
    use ReconcileFinding::*;
    use ReconcileOutcome::{Delivered, Ended, Open, Refused, Unasked};
    for (ours, theirs, wanted) in [
        (Some(Delivered), Some(Delivered), None),
        (Some(Open), Some(Open), None),
        (Some(Ended), Some(Open), None),
        (Some(Unasked), None, None),
        (Some(Open), Some(Delivered), Some((Outcome, PollAgain))),
        (Some(Refused), Some(Delivered), Some((Outcome, AskPartner))),
        // Its consent ended while the record was on its way.
        (Some(Ended), Some(Delivered), None),
        (Some(Delivered), Some(Refused), Some((Outcome, AskPartner))),
        (Some(Unasked), Some(Open), Some((Outcome, TraceHere))),
        (Some(Open), None, Some((OnlyOurs, SendAgain))),
        (Some(Delivered), None, Some((OnlyOurs, AskPartner))),
        (Some(Ended), None, Some((OnlyOurs, Nothing))),
        (None, Some(Delivered), Some((OnlyTheirs, TraceHere))),
    ] {
        let ours: Vec<ReconcileRow> = ours.map(|one| row("c", "outbound", one)).into_iter().collect();
        let theirs: Vec<ReconcileRow> = theirs.map(|one| row("c", "inbound", one)).into_iter().collect();
        assert_eq!(told(&ours, &theirs), wanted, "{ours:?} {theirs:?}");
    }
}

#[test]
fn what_the_partner_asked_is_compared_with_what_we_were_asked() {
    use ReconcileAction::*;
    use ReconcileFinding::*;
    use ReconcileOutcome::{Delivered, Open, Refused};
    for (ours, theirs, wanted) in [
        (Some(Delivered), Some(Delivered), None),
        (Some(Delivered), Some(Open), Some((Outcome, PartnerSendsAgain))),
        (Some(Refused), Some(Delivered), Some((Outcome, TraceHere))),
        (None, Some(Open), Some((OnlyTheirs, PartnerSendsAgain))),
        (None, Some(Refused), Some((OnlyTheirs, Nothing))),
        (Some(Delivered), None, Some((OnlyOurs, AskPartner))),
    ] {
        let ours: Vec<ReconcileRow> = ours.map(|one| row("c", "inbound", one)).into_iter().collect();
        let theirs: Vec<ReconcileRow> = theirs.map(|one| row("c", "outbound", one)).into_iter().collect();
        assert_eq!(told(&ours, &theirs), wanted, "{ours:?} {theirs:?}");
    }
}

#[test]
fn the_same_direction_at_both_sides_is_not_the_same_exchange() {
    let ours = [row("c", "outbound", ReconcileOutcome::Delivered)];
    let theirs = [row("c", "outbound", ReconcileOutcome::Delivered)];
    let (counts, found) = compared(&ours, &theirs);
    assert_eq!((counts.both, counts.differences), (0, 2));
    assert_eq!(found[0].asked_by, "partner");
    assert_eq!(found[1].asked_by, "us");
}

#[test]
fn receipts_and_acknowledgements_are_compared_where_the_outcome_is_the_same() {
    let bulk = |direction: &str, receipt: Option<&str>, at: Option<&str>| ReconcileRow {
        kind: "bulk".into(),
        receipt: receipt.map(str::to_owned),
        acknowledged_at: at.map(str::to_owned),
        ..row("c", direction, ReconcileOutcome::Delivered)
    };
    let at = Some("2026-10-05T16:00:00Z");
    for (ours, theirs, wanted) in [
        ((Some("aa"), at), (Some("aa"), at), None),
        ((Some("aa"), None), (Some("aa"), at), None),
        (
            (Some("aa"), at),
            (Some("bb"), at),
            Some((ReconcileFinding::Receipt, ReconcileAction::AskPartner)),
        ),
        (
            (None, None),
            (Some("bb"), None),
            Some((ReconcileFinding::Receipt, ReconcileAction::PollAgain)),
        ),
        // The files are gone, and the receipt with them.
        ((Some("aa"), None), (None, None), None),
        (
            (Some("aa"), at),
            (None, None),
            Some((ReconcileFinding::Receipt, ReconcileAction::AskPartner)),
        ),
        (
            (Some("aa"), at),
            (Some("aa"), None),
            Some((ReconcileFinding::Acknowledgement, ReconcileAction::AskPartner)),
        ),
    ] {
        let ours = [bulk("outbound", ours.0, ours.1)];
        let theirs = [bulk("inbound", theirs.0, theirs.1)];
        assert_eq!(told(&ours, &theirs), wanted, "{ours:?} {theirs:?}");
    }
}

#[test]
fn a_bulk_exchange_is_not_compared_once_whoever_was_asked_has_no_job_of_it() {
    let of = |direction: &str, kind: &str, outcome| ReconcileRow {
        kind: kind.into(),
        receipt: (kind == "bulk").then(|| "aa".into()),
        ..row("c", direction, outcome)
    };
    let run = |direction: &str| of(direction, "bulk", ReconcileOutcome::Delivered);
    let single = |direction: &str| of(direction, "single", ReconcileOutcome::Refused);
    for (ours, theirs, both) in [
        (vec![run("outbound")], vec![], 0),
        (vec![], vec![run("outbound")], 0),
        (vec![run("outbound")], vec![single("inbound")], 1),
        (vec![single("inbound")], vec![run("outbound")], 1),
    ] {
        let (counts, found) = compared(&ours, &theirs);
        assert!(found.is_empty(), "{ours:?} {theirs:?} {found:?}");
        assert_eq!((counts.both, counts.same, counts.not_kept), (both, 0, 1));
    }
    // Whoever was asked does not lose what whoever asked has.
    let (counts, found) = compared(&[run("inbound")], &[]);
    assert_eq!((found.len(), counts.not_kept), (1, 0), "{found:?}");
}

#[test]
fn the_last_round_of_a_correlation_id_says_how_it_stands() {
    let ours = [row("c", "outbound", ReconcileOutcome::Delivered)];
    let refused = ReconcileRow {
        exchange_id: "first".into(),
        started_at: "2026-10-04T15:00:00Z".into(),
        ..row("c", "inbound", ReconcileOutcome::Refused)
    };
    let theirs = [row("c", "inbound", ReconcileOutcome::Delivered), refused];
    let (counts, found) = compared(&ours, &theirs);
    assert_eq!((counts.both, counts.same, counts.duplicates), (1, 1, 0), "{found:?}");
}

#[test]
fn rows_beyond_the_period_do_not_stand_for_a_group_that_has_one_in_it() {
    let ms = |text: &str| parse_rfc3339_ms(text).expect("a time");
    let october = ReconcilePeriod {
        from_ms: ms("2026-10-01T00:00:00Z"),
        until_ms: ms("2026-11-01T00:00:00Z"),
    };
    let at = |id: &str, direction: &str, day: &str, outcome| ReconcileRow {
        exchange_id: id.into(),
        started_at: format!("2026-{day}T15:00:00Z"),
        ..row("c", direction, outcome)
    };
    let theirs = [at("t", "inbound", "10-05", ReconcileOutcome::Delivered)];
    // The middle one of three is in the period, and neither the first nor the last.
    let ours = [
        at("a", "outbound", "09-20", ReconcileOutcome::Refused),
        at("b", "outbound", "10-05", ReconcileOutcome::Delivered),
        at("c", "outbound", "11-09", ReconcileOutcome::Open),
    ];
    let (counts, found) = compared_in(october, &ours, &theirs);
    assert_eq!((counts.ours, counts.both, counts.same), (1, 1, 1), "{found:?}");
    let (counts, found) = compared_in(october, &ours, &[]);
    assert_eq!((counts.ours, counts.differences), (1, 1));
    assert_eq!(found[0].exchange_id.as_deref(), Some("b"));
    // What began at the same time is in the order of its id.
    let ours = [
        at("b", "outbound", "10-05", ReconcileOutcome::Delivered),
        at("a", "outbound", "10-05", ReconcileOutcome::Ended),
    ];
    let mut together = SideRows::new(RowsOf::Us);
    assert!(ours.iter().all(|row| together.add(row, 0)));
    together.settle();
    let groups: Vec<&str> = together
        .groups(october.range())
        .map(|group| group.last.exchange_id)
        .collect();
    assert_eq!(groups, ["b"]);
}

#[test]
fn fewer_rows_with_one_correlation_id_than_whoever_asked_has_are_a_difference() {
    let rows = |direction: &str, count: u32, outcome| -> Vec<ReconcileRow> {
        let each = |number| ReconcileRow {
            exchange_id: format!("{direction}-{number}"),
            ..row("night", direction, outcome)
        };
        (0..count).map(each).collect()
    };
    let delivered = ReconcileOutcome::Delivered;
    let all = |direction: &str, count| rows(direction, count, delivered);
    let short = (ReconcileFinding::Rows, ReconcileAction::AskPartner);
    assert_eq!(told(&all("outbound", 3), &all("inbound", 2)), Some(short));
    let short = (ReconcileFinding::Rows, ReconcileAction::TraceHere);
    assert_eq!(told(&all("inbound", 2), &all("outbound", 3)), Some(short));
    assert_eq!(told(&all("outbound", 3), &all("inbound", 3)), None);
    // Each round of a match is a row of whoever was asked.
    assert_eq!(told(&all("outbound", 1), &all("inbound", 3)), None);
    // What ended may have ended before it reached whoever was to be asked.
    let mut ours = rows("outbound", 1, ReconcileOutcome::Ended);
    ours[0].started_at = "2026-10-04T15:00:00Z".into();
    ours.extend(all("outbound", 2).into_iter().skip(1));
    assert_eq!(told(&ours, &all("inbound", 1)), None);
}

#[test]
fn a_row_that_stands_twice_is_counted_and_the_later_one_stays() {
    let ours = [row("c", "outbound", ReconcileOutcome::Delivered)];
    let theirs = [
        row("c", "inbound", ReconcileOutcome::Refused),
        row("c", "inbound", ReconcileOutcome::Delivered),
    ];
    let (counts, found) = compared(&ours, &theirs);
    assert_eq!(
        (counts.duplicates, counts.theirs, counts.differences),
        (1, 1, 0),
        "{found:?}"
    );
}

#[test]
fn what_only_one_side_has_counts_only_in_the_period() {
    let ms = |text: &str| parse_rfc3339_ms(text).expect("a time");
    let ours = [row("c", "outbound", ReconcileOutcome::Delivered)];
    for (from, until, differences) in [
        ("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", 1),
        ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", 0),
    ] {
        let period = ReconcilePeriod {
            from_ms: ms(from),
            until_ms: ms(until),
        };
        assert_eq!(compared_in(period, &ours, &[]).0.differences, differences, "{from}");
    }
}

#[test]
fn a_hundred_thousand_rows_about_one_exchange_are_one_exchange() {
    let mut side = SideRows::of_at_most(RowsOf::Partner, 100_000);
    let row = ReconcileRow {
        exchange_id: "x".into(),
        ..row("c", "inbound", ReconcileOutcome::Open)
    };
    let taken = (0..=100_000).filter(|line| side.add(&row, *line)).count();
    assert_eq!((taken, side.len()), (100_000, 100_000));
    side.settle();
    assert_eq!((side.len(), side.duplicates()), (1, 99_999));
}
