//! Scripted incidents in simulated time: quiet raises nothing; each incident raises its own alert and no other; afterwards it clears.

use super::*;
use crate::ops::alerts::table::ALERTS;

const NOW_MS: i64 = 1_800_000_000_000;
const MINUTE_MS: i64 = 60_000;

fn codes(figures: &AlertFigures, now_ms: i64) -> Vec<&'static str> {
    judge(figures, now_ms).into_iter().map(|raised| raised.code).collect()
}

fn tally(partner: &str, matched: i64, tried: i64) -> MatchTally {
    MatchTally {
        partner: partner.to_owned(),
        matched,
        tried,
    }
}

fn clock(began_ms: i64, due_ms: i64) -> RunningClock {
    RunningClock {
        exchange: "e".to_owned(),
        partner: "b".to_owned(),
        began_ms,
        due_ms,
    }
}

/// A server that works: two partners, some traffic, each figure below its limit.
fn quiet() -> AlertFigures {
    AlertFigures {
        circuits: vec![OpenCircuit {
            partner: "a".to_owned(),
            opened: 1,
            until_ms: NOW_MS + MINUTE_MS,
        }],
        answers: vec![PartnerAnswers {
            partner: "a".to_owned(),
            recent_ms: vec![900; 40],
            before_ms: vec![800; 400],
        }],
        matches: vec![tally("a", 60, 100), tally("b", 1, 19)],
        matches_before: vec![tally("a", 900, 1_000), tally("b", 1_000, 1_000)],
        ended: 19,
        ended_before: 100,
        expiring: 299,
        expired: 100,
        late_reviews: LateReviews::default(),
        due_jobs: 999,
        late_ms: 599_999,
        parked: 4,
        clocks: vec![clock(NOW_MS - 3 * DAY_MS, NOW_MS + 4 * DAY_MS)],
        burning: Vec::new(),
        unsequenced_ms: Some(NOW_MS - LEDGER_LATE_MS + 1),
        process: Some(ProcessFigures {
            tls_ends: vec![
                ("certificate", NOW_MS / 1_000 + 14 * 86_400),
                ("authority", NOW_MS / 1_000 + 30 * 86_400),
                ("list", NOW_MS / 1_000 + 2 * 86_400),
            ],
            log_lost: 0,
            spans_lost: 0,
            answered: 1_000,
            repeated: 500,
            last_scrape: Some((NOW_MS - 299_999, 60)),
        }),
    }
}

type Incident = (&'static str, fn(&mut AlertFigures));

fn process(figures: &mut AlertFigures) -> &mut ProcessFigures {
    figures.process.as_mut().expect("a process")
}

/// What happens in each incident: one for each alert at least.
const INCIDENTS: &[Incident] = &[
    ("partner-failing", |figures| {
        figures.circuits.push(OpenCircuit {
            partner: "dead".to_owned(),
            opened: 2,
            until_ms: NOW_MS - 59 * MINUTE_MS,
        });
    }),
    ("partner-slow", |figures| {
        figures.answers[0].recent_ms = vec![10_000; 20]
    }),
    ("partner-slow", |figures| {
        figures.answers[0].recent_ms = [vec![100; 90], vec![30_000; 10]].concat();
    }),
    // A feed without birth dates.
    ("match-rate-fallen", |figures| figures.matches[0] = tally("a", 40, 100)),
    ("consents-ended", |figures| figures.ended = 20),
    ("consents-expiring", |figures| figures.expiring = 300),
    ("consents-expiring", |figures| {
        (figures.expiring, figures.expired) = (20, 0)
    }),
    // Ten days are left.
    ("tls-expiring", |figures| {
        process(figures).tls_ends[0].1 = NOW_MS / 1_000 + 10 * 86_400;
    }),
    ("tls-expiring", |figures| {
        process(figures).tls_ends[2].1 = NOW_MS / 1_000 - 1
    }),
    ("queue-growth", |figures| figures.due_jobs = 1_000),
    ("parked-growth", |figures| figures.parked = 5),
    ("worker-stuck", |figures| figures.late_ms = 600_000),
    ("exchange-clock", |figures| {
        figures.clocks.push(clock(NOW_MS - 6 * DAY_MS, NOW_MS + DAY_MS))
    }),
    ("exchange-clock", |figures| {
        figures.clocks.push(clock(NOW_MS - 8 * DAY_MS, NOW_MS - DAY_MS))
    }),
    ("reviews-overdue", |figures| {
        figures.late_reviews = LateReviews {
            count: 1,
            first_due_ms: NOW_MS - 1,
        }
    }),
    ("budget-burn", |figures| figures.burning = vec!["business-day"]),
    ("replay-volume", |figures| process(figures).repeated = 501),
    ("ledger-lag", |figures| {
        figures.unsequenced_ms = Some(NOW_MS - LEDGER_LATE_MS)
    }),
    ("log-dropping", |figures| process(figures).log_lost = 1),
    ("traces-lost", |figures| process(figures).spans_lost = 1),
    ("scrape-missing", |figures| {
        process(figures).last_scrape = Some((NOW_MS - 300_000, 10))
    }),
];

#[test]
fn a_quiet_server_raises_nothing() {
    assert_eq!(judge(&quiet(), NOW_MS), Vec::<RaisedAlert>::new());
    assert_eq!(codes(&AlertFigures::default(), NOW_MS), [""; 0], "a new one");
}

#[test]
fn each_incident_raises_its_own_alert_and_then_clears() {
    for (number, (code, happens)) in INCIDENTS.iter().enumerate() {
        let mut figures = quiet();
        happens(&mut figures);
        let raised = judge(&figures, NOW_MS);
        assert_eq!(codes(&figures, NOW_MS), [*code], "incident {number}");
        assert!(raised[0].count >= 1 && !raised[0].says.is_empty(), "incident {number}");
        assert_eq!(codes(&quiet(), NOW_MS), [""; 0], "incident {number} is over");
    }
    for alert in ALERTS {
        assert!(
            INCIDENTS.iter().any(|(code, _)| *code == alert.code),
            "{} has no incident",
            alert.code
        );
    }
}

#[test]
fn all_at_once_come_in_the_order_of_the_table() {
    let mut figures = quiet();
    INCIDENTS.iter().for_each(|(_, happens)| happens(&mut figures));
    let all: Vec<&str> = ALERTS.iter().map(|alert| alert.code).collect();
    assert_eq!(codes(&figures, NOW_MS), all);
}

#[test]
fn few_consents_that_end_are_no_wave() {
    let ends = |expiring, expired| AlertFigures {
        expiring,
        expired,
        ..AlertFigures::default()
    };
    assert_eq!(codes(&ends(19, 0), NOW_MS), [""; 0]);
    assert_eq!(codes(&ends(20, 7), NOW_MS), [""; 0], "as many as always end");
    assert_eq!(codes(&ends(20, 6), NOW_MS), ["consents-expiring"]);
}

#[test]
fn the_oldest_review_that_is_late_is_told_with_its_age() {
    let figures = AlertFigures {
        late_reviews: LateReviews {
            count: 2,
            first_due_ms: NOW_MS - 49 * 3_600_000,
        },
        ..AlertFigures::default()
    };
    let raised = judge(&figures, NOW_MS);
    assert_eq!((raised[0].code, raised[0].count), ("reviews-overdue", 2));
    assert!(
        raised[0].says.ends_with("the oldest since 49 hours"),
        "{}",
        raised[0].says
    );
}

#[test]
fn time_alone_clears_a_partner_that_nobody_calls() {
    let mut figures = AlertFigures {
        circuits: vec![OpenCircuit {
            partner: "dead".to_owned(),
            opened: 9,
            until_ms: NOW_MS,
        }],
        ..AlertFigures::default()
    };
    assert_eq!(codes(&figures, NOW_MS + WINDOW_MS - 1), ["partner-failing"]);
    assert_eq!(codes(&figures, NOW_MS + WINDOW_MS), [""; 0]);
    figures.circuits[0].until_ms = NOW_MS + WINDOW_MS + 30_000;
    assert_eq!(
        codes(&figures, NOW_MS + WINDOW_MS),
        ["partner-failing"],
        "it was tried again"
    );
}

#[test]
fn an_alert_names_its_partners_once_and_in_order() {
    let mut figures = AlertFigures::default();
    for (partner, late) in [("z", 1), ("a", 2), ("z", 3)] {
        let mut late = clock(NOW_MS - 8 * DAY_MS, NOW_MS - late);
        late.partner = partner.to_owned();
        figures.clocks.push(late);
    }
    let raised = judge(&figures, NOW_MS);
    assert_eq!(
        (raised[0].count, raised[0].partners.as_slice()),
        (3, ["a".to_owned(), "z".to_owned()].as_slice())
    );
    assert!(raised[0].says.contains("over their time: 3"), "{}", raised[0].says);
}

#[test]
fn a_partner_without_a_before_is_not_slow() {
    let mut figures = AlertFigures {
        answers: vec![PartnerAnswers {
            partner: "a".to_owned(),
            recent_ms: vec![30_000; 100],
            before_ms: vec![100; 19],
        }],
        ..AlertFigures::default()
    };
    assert_eq!(codes(&figures, NOW_MS), [""; 0], "too few before");
    figures.answers[0].before_ms.push(100);
    assert_eq!(codes(&figures, NOW_MS), ["partner-slow"]);
}

#[test]
fn few_values_and_a_new_partner_say_nothing_of_a_rate() {
    let mut figures = AlertFigures {
        matches: vec![tally("a", 0, 20)],
        matches_before: vec![tally("a", 49, 49), tally("b", 500, 500)],
        ..AlertFigures::default()
    };
    assert_eq!(codes(&figures, NOW_MS), [""; 0], "too few before");
    figures.matches_before[0] = tally("a", 50, 50);
    assert_eq!(codes(&figures, NOW_MS), ["match-rate-fallen"]);
    figures.matches = vec![tally("new", 0, 500)];
    assert_eq!(codes(&figures, NOW_MS), [""; 0], "no baseline");
    figures.matches_before[0] = tally("a", 0, 50);
    figures.matches = vec![tally("a", 0, 500)];
    assert_eq!(codes(&figures, NOW_MS), [""; 0], "it never matched");
}

#[test]
fn who_reads_the_metrics_by_hand_is_not_missed() {
    let read = |last_scrape| AlertFigures {
        process: Some(ProcessFigures {
            last_scrape,
            ..ProcessFigures::default()
        }),
        ..AlertFigures::default()
    };
    for last in [None, Some((NOW_MS - DAY_MS, 9))] {
        assert_eq!(codes(&read(last), NOW_MS), [""; 0], "{last:?}");
    }
    assert_eq!(codes(&read(Some((NOW_MS - DAY_MS, 10))), NOW_MS), ["scrape-missing"]);
}

#[test]
fn numbers_at_their_limits_do_no_harm() {
    let figures = AlertFigures {
        circuits: vec![OpenCircuit {
            partner: "p".to_owned(),
            opened: i64::MAX,
            until_ms: i64::MAX,
        }],
        ended: i64::MAX,
        ended_before: i64::MAX,
        expiring: i64::MAX,
        expired: i64::MAX,
        late_reviews: LateReviews {
            count: i64::MAX,
            first_due_ms: i64::MIN,
        },
        due_jobs: i64::MAX,
        late_ms: i64::MAX,
        parked: i64::MAX,
        process: Some(ProcessFigures {
            tls_ends: vec![("certificate", i64::MAX), ("list", i64::MIN)],
            log_lost: u64::MAX,
            spans_lost: u64::MAX,
            answered: u64::MAX,
            repeated: u64::MAX,
            last_scrape: Some((0, u64::MAX)),
        }),
        ..AlertFigures::default()
    };
    assert!(judge(&figures, NOW_MS).len() >= 7);
}
