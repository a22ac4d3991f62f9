//! What each row counts as, for its partner and for all.

use super::*;
use crate::ids::before_all_of;

const HOUR_MS: i64 = 3_600_000;
/// 2026-10-05, a Monday, at noon in UTC.
const NOON_MS: i64 = 1_791_201_600_000;

fn id(at_ms: i64) -> String {
    format!("{}-7000-8000-000000000001", before_all_of(at_ms))
}

fn begun(phase: &str, delivery: &str, ended_ms: Option<i64>) -> BegunExchange {
    BegunExchange {
        id: id(NOON_MS + 61_000),
        partner_id: "p".into(),
        kind: "single".into(),
        phase: phase.into(),
        delivery_state: delivery.into(),
        owner: "partner".into(),
        reason: Some("EX-012".into()),
        created_ms: NOON_MS + 61_000,
        ended_ms,
    }
}

fn clock(due_ms: i64, answer_due_ms: Option<i64>, ended_ms: Option<i64>, delivery: &str) -> EndedClock {
    EndedClock {
        exchange: "x".into(),
        partner: "p".into(),
        asked_for: "enrollment".into(),
        phase: "awaiting_partner".into(),
        delivery_state: delivery.into(),
        owner: "partner".into(),
        reason: "EX-009".into(),
        began_ms: NOON_MS,
        due_ms,
        answer_due_ms,
        ended_ms,
    }
}

/// Of the rows about all partners: figure, kind, state, owner, reason and total.
fn of_all(tally: FigureTally) -> Vec<(&'static str, String, String, String, String, i64)> {
    let rows = tally.rows();
    let own = rows.iter().filter(|row| row.partner_id == "p").count();
    assert_eq!(own * 2, rows.len(), "each counts for its partner and for all");
    let all = rows.into_iter().filter(|row| row.partner_id == ALL_PARTNERS);
    all.map(|row| (row.figure, row.kind, row.state, row.owner, row.reason, row.total))
        .collect()
}

fn told(
    figure: &'static str,
    kind: &str,
    state: &str,
    owner: &str,
    reason: &str,
    total: i64,
) -> (&'static str, String, String, String, String, i64) {
    (figure, kind.into(), state.into(), owner.into(), reason.into(), total)
}

#[test]
fn an_exchange_counts_in_its_own_minute_by_how_it_stands() {
    let mut tally = FigureTally::new(FigureGrain::Minute);
    tally.begun(&begun("completed", "acknowledged", Some(NOON_MS + HOUR_MS)));
    tally.begun(&begun("completed", "acknowledged", Some(NOON_MS + HOUR_MS)));
    tally.begun(&begun("refused", "none", Some(NOON_MS + HOUR_MS)));
    tally.begun(&begun("awaiting_partner", "none", None));
    let begins: Vec<i64> = tally.clone().rows().iter().map(|row| row.begin_ms).collect();
    assert!(
        begins.iter().all(|begin_ms| *begin_ms == NOON_MS + 60_000),
        "{begins:?}"
    );
    assert_eq!(
        of_all(tally),
        [
            told(ACKNOWLEDGED, "single", "", "", "", 2),
            told(ASKED, "single", "awaiting_partner", "partner", "", 1),
            told(ASKED, "single", "completed", "", "", 2),
            told(ASKED, "single", "refused", "", "EX-012", 1),
            told(TURNAROUND, "single", "3600", "", "", 2),
        ]
    );
}

#[test]
fn a_time_has_the_shortest_bound_that_holds_it() {
    for (took_ms, bound) in [
        (0, "60"),
        (60_000, "60"),
        (60_001, "300"),
        (604_800_000, "604800"),
        (604_800_001, LONGER),
    ] {
        assert_eq!(bound_of(took_ms), bound);
    }
}

#[test]
fn a_clock_counts_when_it_ends_and_says_who_has_to_act() {
    let due_ms = NOON_MS + 24 * HOUR_MS;
    let mut tally = FigureTally::new(FigureGrain::Hour);
    tally.answer_due(&clock(due_ms, Some(due_ms), Some(due_ms), "acknowledged"));
    tally.answer_due(&clock(due_ms, Some(due_ms), Some(due_ms + 1), "stored"));
    tally.answer_due(&clock(due_ms, Some(due_ms), None, "none"));
    let rows = tally.clone().rows();
    assert!(rows.iter().all(|row| row.begin_ms == due_ms), "{rows:?}");
    let missed = rows.iter().find(|row| row.state == MISSED).expect("one");
    assert_eq!(missed.channel, "awaiting_partner");
    assert_eq!(
        of_all(tally),
        [
            told(CLOCK, "acknowledgement", KEPT, "", "", 1),
            told(CLOCK, "acknowledgement", MISSED, "partner", "EX-009", 1),
            told(CLOCK, "business-day", KEPT, "", "", 1),
            told(CLOCK, "business-day", MISSED, "partner", "EX-009", 2),
        ]
    );
}

#[test]
fn a_request_is_in_time_if_the_partner_was_asked_by_then() {
    // A Tuesday; the Monday before it is Columbus Day.
    let due_ms = NOON_MS + 8 * 24 * HOUR_MS;
    let asked_at = |at_ms: i64| Some(answer_due_ms(at_ms, Tz::UTC));
    let mut tally = FigureTally::new(FigureGrain::Day);
    tally.ask_due(&clock(due_ms, asked_at(due_ms - 1), None, "none"), Tz::UTC);
    tally.ask_due(&clock(due_ms, asked_at(due_ms + HOUR_MS), None, "none"), Tz::UTC);
    tally.ask_due(&clock(due_ms, None, None, "none"), Tz::UTC);
    // It was withdrawn before.
    tally.ask_due(&clock(due_ms, None, Some(due_ms - 1), "none"), Tz::UTC);
    let mut quarter = clock(due_ms, asked_at(due_ms), None, "none");
    quarter.asked_for = "quarter".into();
    tally.ask_due(&quarter, Tz::UTC);
    assert_eq!(
        of_all(tally),
        [
            told(CLOCK, "quarterly", KEPT, "", "", 1),
            told(CLOCK, "week", KEPT, "", "", 1),
            told(CLOCK, "week", MISSED, "partner", "EX-009", 2),
        ]
    );
}

#[test]
fn a_request_on_the_same_holiday_on_which_it_was_due_is_in_time() {
    // Columbus Day: whoever is asked on it has to answer at the same time, whatever the hour was.
    let due_ms = NOON_MS + 7 * 24 * HOUR_MS;
    let asked_at = |at_ms: i64| Some(answer_due_ms(at_ms, Tz::UTC));
    let mut tally = FigureTally::new(FigureGrain::Day);
    tally.ask_due(&clock(due_ms, asked_at(due_ms + HOUR_MS), None, "none"), Tz::UTC);
    tally.ask_due(&clock(due_ms, asked_at(due_ms + 24 * HOUR_MS), None, "none"), Tz::UTC);
    assert_eq!(
        of_all(tally),
        [
            told(CLOCK, "week", KEPT, "", "", 1),
            told(CLOCK, "week", MISSED, "partner", "EX-009", 1),
        ]
    );
}

#[test]
fn matches_reviews_and_repetitions_count_by_what_was_decided() {
    let mut tally = FigureTally::new(FigureGrain::Minute);
    let decision = |outcome: &str, reason: Option<&str>| DecidedMatch {
        id: id(NOON_MS),
        partner_id: "p".into(),
        kind: "member-match".into(),
        outcome: outcome.into(),
        reason: reason.map(str::to_owned),
    };
    tally.decided(&decision("matched", None));
    tally.decided(&decision("none", Some("MM-001")));
    let review = ReviewedInMonth {
        id: id(NOON_MS),
        partner_id: "p".into(),
        state: "confirmed".into(),
        opened_ms: NOON_MS,
        decided_ms: Some(NOON_MS + 30_000),
    };
    tally.reviewed(&review);
    tally.review_due(&review, NOON_MS + 24 * HOUR_MS);
    tally.repeated(&id(NOON_MS), "p");
    tally.replayed(&id(NOON_MS), "p");
    // What is no id of ours is counted nowhere.
    tally.repeated("x", "p");
    assert_eq!(
        of_all(tally),
        [
            told(ANSWERED, "member-match", "matched", "", "", 1),
            told(ANSWERED, "member-match", "none", "", "MM-001", 1),
            told(DUPLICATE, "", "", "", "", 1),
            told(REPLAYED, "", "", "", "", 1),
            told(REVIEW_TIME, "", "60", "", "", 1),
            told(REVIEWED, "", "confirmed", "", "", 1),
            told(CLOCK, "business-day", KEPT, "", "", 1),
        ]
    );
}
