//! Exchanges that we began, in the report of a month and in the rows for a partner: counted once each, by how they ended and whether a person
//! was needed.

use super::bed::{Bed, HOUR};
use super::scripted::{Says, Scripted};
use causeway::error::Fault;
use causeway::exchange::acts::ExchangeAct;
use causeway::exchange::phase::Phase;
use causeway::exchange::steps::{StepEnd, StepName};
use causeway::ops::month::report::made;
use causeway::ops::reconciliation::compare::{ReconcilePeriod, compare};
use causeway::ops::reconciliation::next::ReconcileAction;
use causeway::ops::reconciliation::read;
use causeway::ops::reconciliation::row::{ReconcileOutcome, ReconcileRow, csv_header};
use causeway::ops::reconciliation::rows::ReconcileAsked;

/// One that is complete, one that was refused, one that an operator withdrew, and one that nobody has worked on.
fn played(bed: &Bed) -> Vec<(String, Phase)> {
    let mut all = Vec::new();
    for says in [
        Says::Well,
        Says::End(StepEnd::refused(Fault::PartnerRefuses)),
        Says::End(StepEnd::NeedsPerson {
            fault: Fault::PartnerRefuses,
        }),
    ] {
        let partner = Scripted::that(move |_, step, _| match step {
            StepName::MemberMatch => says.clone(),
            _ => Says::Well,
        });
        let id = bed.started();
        bed.ctx.clock.advance_ms(HOUR);
        bed.run_through(&partner, &id, 48 * HOUR);
        if !bed.phase(&id).is_terminal() {
            bed.act(&id, ExchangeAct::Cancel).expect("cancelled");
        }
        all.push((id.clone(), bed.phase(&id)));
    }
    let id = bed.started();
    all.push((id.clone(), bed.phase(&id)));
    all
}

fn rows(bed: &Bed, asked: &ReconcileAsked) -> Vec<ReconcileRow> {
    let mut all = Vec::new();
    read::each_page(&bed.ctx.store, asked, &mut |rows| {
        all.extend(rows);
        Ok(())
    })
    .expect("read");
    all
}

#[test]
fn exchanges_of_ours_are_counted_and_compared_by_how_they_ended() {
    let bed = Bed::new();
    let played = played(&bed);
    let phases: Vec<Phase> = played.iter().map(|(_, phase)| *phase).collect();
    assert_eq!(
        phases,
        [Phase::Completed, Phase::Refused, Phase::Cancelled, Phase::Requested]
    );

    let report = made(&bed.ctx, Some("2026-01"), None).expect("a report");
    let figures = &report.total.figures;
    assert_eq!(
        (
            figures.asked,
            figures.completed,
            figures.refused,
            figures.withdrawn,
            figures.open
        ),
        (4, 1, 1, 1, 1)
    );
    assert_eq!(figures.without_person, 2, "an operator withdrew one");
    assert!(figures.end_to_end_median_ms >= Some(HOUR), "{figures:?}");
    assert_eq!(figures.reasons.values().sum::<u64>(), 1);
    assert_eq!(
        (report.partners.len(), report.partners[0].partner.as_str()),
        (1, "old-payer")
    );
    assert_eq!(report.partners[0].figures, report.total.figures);
    assert_eq!(report.total.before.asked, 0);
    let later = made(&bed.ctx, Some("2026-02"), None).expect_err("it has not begun");
    assert_eq!(later.fault(), Fault::ParameterInvalid);

    let asked = ReconcileAsked {
        partner: "old-payer".into(),
        from_ms: None,
        until_ms: None,
        now_ms: bed.ctx.clock.now_ms(),
        keys: bed.ctx.member_keys.clone(),
    };
    let rows = rows(&bed, &asked);
    let outcomes: Vec<ReconcileOutcome> = rows.iter().map(|row| row.outcome).collect();
    assert_eq!(
        outcomes,
        [
            ReconcileOutcome::Delivered,
            ReconcileOutcome::Refused,
            ReconcileOutcome::Ended
        ],
        "the partner was not asked about the last one"
    );
    for row in &rows {
        assert_eq!(row.state, row.outcome.code(), "no state of ours");
    }
    let before = ReconcileAsked {
        until_ms: Some(bed.exchange(&played[1].0).created_ms),
        ..asked.clone()
    };
    assert_eq!(
        self::rows(&bed, &before).len(),
        1,
        "the period ends before the second one"
    );

    // The partner has nothing on record, not even what it was asked.
    let theirs = read::theirs(csv_header().as_bytes(), asked.now_ms).expect("a file without rows");
    let ours = read::ours(&bed.ctx.store, &asked, ReconcilePeriod::ALL).expect("read");
    let mut found = Vec::new();
    let counts = compare(&ours, &theirs, ReconcilePeriod::ALL, &mut |difference| {
        found.push(difference);
        Ok(())
    });
    // All of them have the correlation id of the wish, so that they are one exchange to the partner; about the last of them it was asked.
    let counts = counts.expect("compared");
    assert_eq!((counts.ours, counts.differences), (3, 1), "{found:?}");
    assert_eq!(found[0].action, ReconcileAction::Nothing, "it was withdrawn");
}
