//! From the start to the end: what the partner is asked, and what is on record.

use super::bed::{Bed, HOUR, NOW, wish};
use super::scripted::{Says, Scripted, failing, gain, partly, with_quarantine};
use causeway::exchange::kind::EXCHANGE;
use causeway::exchange::phase::{CoverKind, Phase};
use causeway::exchange::steps::{StepEnd, StepGain, StepName, TransportFailure};

#[test]
fn a_clean_exchange_asks_each_thing_once_and_is_complete() {
    let bed = Bed::new();
    let partner = Scripted::well();
    let id = bed.started();
    bed.run(&partner);
    let row = bed.exchange(&id);
    assert_eq!(row.phase, "completed");
    assert_eq!(
        [
            &row.identity_state,
            &row.consent_state,
            &row.delivery_state,
            &row.audit_state
        ],
        ["matched", "permitted", "acknowledged", "complete"]
    );
    assert!(row.live_key.is_none() && row.ended_ms.is_some() && row.reason.is_none());
    let asked: Vec<StepName> = partner.seen().iter().map(|seen| seen.step).collect();
    assert_eq!(
        asked,
        StepName::ALL,
        "each step once, in order: one session does them all"
    );
    assert_eq!(
        bed.ledger(&id),
        [
            "opt-in.recorded",
            "started",
            "sending",
            "member-matched",
            "sending",
            "retrieved",
            "checked",
            "stored",
            "sending",
            "acknowledged"
        ]
    );
    assert_eq!(bed.number("SELECT COUNT(*) FROM job WHERE kind = 'exchange'"), 0);
    assert_eq!(bed.number("SELECT COUNT(*) FROM stored_by_test"), 1);
    let attempts = bed.attempts(&id);
    assert!(
        attempts
            .iter()
            .all(|one| one.class.as_deref() == Some("ok") && one.ended_ms.is_some())
    );
    assert!(attempts[2].partner_request_id.is_some());
    // Tuesday, the same local time: one business day.
    assert_eq!(row.answer_due_ms, Some(NOW + 24 * HOUR));
    assert_eq!(row.due_ms, NOW + 7 * 24 * HOUR);
}

#[test]
fn a_clean_exchange_costs_few_durable_transactions() {
    let bed = Bed::new();
    let id = bed.started();
    bed.run(&Scripted::well());
    let row = bed.exchange(&id);
    // Each transaction that changes the exchange raises its version, by one or two.
    assert!(row.version <= 11, "{}", row.version);
}

#[test]
fn a_partner_in_trouble_is_asked_again_with_the_same_key_and_then_parked() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, _| match step {
        StepName::MemberMatch => failing(TransportFailure::Unknown, None),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run_through(&partner, &id, 48 * HOUR);
    let row = bed.exchange(&id);
    assert_eq!((row.phase.as_str(), row.owner.as_str()), ("requested", "operator"));
    assert!(row.parked_at_ms.is_some());
    assert_eq!(row.reason.as_deref(), Some("EX-009"));
    let keys: std::collections::BTreeSet<String> = partner
        .seen()
        .into_iter()
        .filter(|seen| seen.step == StepName::MemberMatch)
        .map(|seen| seen.key)
        .collect();
    assert_eq!((partner.count(StepName::MemberMatch), keys.len()), (8, 1));
    assert!(bed.ledger(&id).ends_with(&["parked".to_owned()]));
}

#[test]
fn retry_after_is_waited_for_and_more_than_an_hour_is_for_an_operator() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, before| match (step, before) {
        (StepName::Retrieve, 0) => failing(TransportFailure::ToldToWait, Some(600_000)),
        (StepName::Retrieve, 1) => failing(TransportFailure::ToldToWait, Some(315_360_000_000)),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run(&partner);
    let row = bed.exchange(&id);
    assert!(
        row.wake_ms
            .is_some_and(|wake_ms| (NOW + 600_000..NOW + 700_000).contains(&wake_ms))
    );
    assert_eq!(
        (row.phase.as_str(), row.transport_state.as_str()),
        ("matched", "backing_off")
    );
    bed.run_through(&partner, &id, 2 * HOUR);
    assert_eq!(bed.exchange(&id).reason.as_deref(), Some("EX-011"));
}

#[test]
fn a_member_that_the_partner_does_not_know_is_asked_for_three_times_a_day_apart() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, _| match step {
        StepName::MemberMatch => Says::End(StepEnd::NoMatch { several: false }),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run(&partner);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.phase.as_str(), row.identity_state.as_str()),
        ("awaiting_partner", "no_match")
    );
    assert_eq!(row.wake_ms, Some(NOW + 24 * HOUR));
    bed.run_through(&partner, &id, 200 * HOUR);
    assert_eq!(bed.phase(&id), Phase::Refused);
    let keys: std::collections::BTreeSet<String> = partner
        .seen()
        .into_iter()
        .filter(|seen| seen.step == StepName::MemberMatch)
        .map(|seen| seen.key)
        .collect();
    assert_eq!(keys.len(), 3, "each round is a question of its own");
}

#[test]
fn an_ambiguous_member_waits_for_a_person() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, _| match step {
        StepName::MemberMatch => Says::End(StepEnd::NoMatch { several: true }),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run(&partner);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.phase.as_str(), row.identity_state.as_str()),
        ("manual_review", "ambiguous")
    );
    assert_eq!(row.owner, "operator");
}

#[test]
fn what_is_missing_is_named_and_only_that_is_asked_for_again() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, before| match (step, before) {
        (StepName::Retrieve, 0) => partly(),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run(&partner);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.phase.as_str(), row.delivery_state.as_str()),
        ("partially_resolved", "partial")
    );
    assert_eq!(
        bed.number("SELECT missing FROM exchange_missing WHERE resource_type = 'Observation' AND page = 2"),
        2
    );
    bed.run_through(&partner, &id, 48 * HOUR);
    assert_eq!(bed.phase(&id), Phase::Completed);
    let missing: Vec<usize> = partner
        .seen()
        .iter()
        .filter(|seen| seen.step == StepName::Retrieve)
        .map(|seen| seen.missing)
        .collect();
    assert_eq!(missing, [0, 1]);
    assert_eq!(bed.number("SELECT COUNT(*) FROM exchange_missing"), 0);
}

#[test]
fn quarantine_leaves_an_exchange_partly_resolved_until_it_is_judged_again() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, before| match (step, before) {
        (StepName::Check | StepName::Store, 0) => with_quarantine(step, 1),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run(&partner);
    let row = bed.exchange(&id);
    assert_eq!(row.phase, "partially_resolved");
    assert_eq!((row.reason.as_deref(), row.step.as_str()), (Some("EX-015"), "store"));
    assert!(row.parked_at_ms.is_some());
    bed.act(&id, causeway::exchange::acts::ExchangeAct::Replay)
        .expect("replayed");
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::Completed);
}

#[test]
fn a_refused_token_is_replaced_once() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, before| match (step, before) {
        (StepName::Retrieve, 0) => failing(TransportFailure::Unauthorized, None),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run_through(&partner, &id, HOUR);
    assert_eq!(bed.phase(&id), Phase::Completed);
    assert_eq!(
        partner.count(StepName::MemberToken),
        2,
        "for the session that failed and for the next one"
    );
    let never = Scripted::that(|_, step, _| match step {
        StepName::MemberMatch => failing(TransportFailure::Unauthorized, None),
        _ => Says::Well,
    });
    let mut other = wish();
    other.coverage.member_number = "OLD-78".into();
    let id = bed.start(&other).expect("started").exchange_id;
    bed.run_through(&never, &id, HOUR);
    assert_eq!(never.count(StepName::MemberMatch), 2);
    assert_eq!(bed.exchange(&id).reason.as_deref(), Some("EX-053"));
}

#[test]
fn a_consent_that_ends_while_the_exchange_waits_ends_it_before_anything_more_is_sent() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, _| match step {
        StepName::Retrieve => Says::End(StepEnd::NotYet { retry_after_ms: None }),
        _ => Says::Well,
    });
    let mut short = wish();
    if let causeway::exchange::intake::WishedOptIn::New { to_ms, .. } = &mut short.opt_in {
        *to_ms = Some(NOW + HOUR);
    }
    let id = bed.start(&short).expect("started").exchange_id;
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::AwaitingPartner);
    let asked = partner.seen().len();
    bed.run_through(&partner, &id, 48 * HOUR);
    let row = bed.exchange(&id);
    assert_eq!((row.phase.as_str(), row.consent_state.as_str()), ("refused", "expired"));
    assert_eq!(row.reason.as_deref(), Some("EX-005"));
    assert_eq!(partner.seen().len(), asked, "nothing was sent after it had ended");
}

#[test]
fn a_spool_that_was_lost_is_fetched_again_a_few_times_at_most() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, _| match step {
        StepName::Check => Says::End(StepEnd::Back {
            to: StepName::Retrieve,
            fault: causeway::error::Fault::SpoolLost,
        }),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run_through(&partner, &id, 48 * HOUR);
    assert_eq!(bed.exchange(&id).reason.as_deref(), Some("EX-020"));
    assert_eq!(partner.count(StepName::Retrieve), 7);
}

#[test]
fn a_step_that_says_what_makes_no_sense_is_left_to_a_person() {
    let bed = Bed::new();
    let partner = Scripted::that(|_, step, _| match step {
        StepName::MemberMatch => Says::End(StepEnd::Done(gain(StepName::Store))),
        _ => Says::Well,
    });
    let id = bed.started();
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::ManualReview);
    assert!(!matches!(gain(StepName::Store), StepGain::Ready));
}

#[test]
fn concurrent_cover_is_asked_again_after_a_quarter_for_what_is_new() {
    let bed = Bed::new();
    let partner = Scripted::well();
    let mut concurrent = wish();
    concurrent.cover = CoverKind::Concurrent;
    let first = bed.start(&concurrent).expect("started").exchange_id;
    bed.run(&partner);
    assert_eq!(bed.phase(&first), Phase::Completed);
    bed.ctx.clock.advance_ms(89 * 24 * HOUR);
    bed.run(&partner);
    assert_eq!(bed.number("SELECT COUNT(*) FROM exchange"), 1);
    bed.ctx.clock.advance_ms(2 * 24 * HOUR);
    bed.run(&partner);
    assert_eq!(bed.number("SELECT COUNT(*) FROM exchange WHERE phase = 'completed'"), 2);
    assert_eq!(
        bed.number("SELECT since_ms FROM exchange_ask WHERE asked_for = 'quarter'"),
        1_767_225_600_000
    );
    assert_eq!(
        bed.number(&format!("SELECT COUNT(*) FROM exchange WHERE run_of = '{first}'")),
        1
    );
}

#[test]
fn a_former_payer_is_asked_for_late_claims_three_times_and_then_no_more() {
    let bed = Bed::new();
    let partner = Scripted::well();
    let first = bed.start(&wish()).expect("started").exchange_id;
    bed.run(&partner);
    assert_eq!(bed.phase(&first), Phase::Completed);
    let mut days = 0;
    for (until, completed) in [(29, 1), (31, 2), (89, 2), (91, 3), (179, 3), (181, 4), (700, 4)] {
        bed.ctx.clock.advance_ms((until - days) * 24 * HOUR);
        days = until;
        bed.run(&partner);
        assert_eq!(
            bed.number("SELECT COUNT(*) FROM exchange WHERE phase = 'completed'"),
            completed,
            "day {until}"
        );
    }
    let run_off = "SELECT COUNT(*) FROM exchange_ask WHERE asked_for = 'run_off' AND since_ms IS NOT NULL";
    assert_eq!(bed.number(run_off), 3);
    assert_eq!(
        bed.number(&format!("SELECT COUNT(*) FROM exchange WHERE run_of = '{first}'")),
        1,
        "each follows the one before"
    );
}

#[test]
fn an_opt_in_that_is_revoked_ends_the_series_of_late_claims() {
    let bed = Bed::new();
    let partner = Scripted::well();
    bed.start(&wish()).expect("started");
    bed.run(&partner);
    bed.sql("UPDATE opt_in SET revoked_ms = 1, revoked_by = 'ana', revoked_why = 'a test'");
    bed.ctx.clock.advance_ms(31 * 24 * HOUR);
    bed.run(&partner);
    assert_eq!(bed.number("SELECT COUNT(*) FROM exchange"), 1);
    assert_eq!(bed.number("SELECT COUNT(*) FROM job WHERE kind = 'exchange-again'"), 0);
}

#[test]
fn an_exchange_whose_worker_keeps_dying_is_parked_and_can_be_replayed() {
    let bed = Bed::new();
    let id = bed.started();
    let mute = Scripted::well();
    let runner = bed.runner(&mute);
    for _ in 0..5 {
        let claimed = bed.block(runner.claim(1, &[])).expect("claimed").held;
        assert_eq!(claimed.len(), 1, "and the process dies");
        bed.ctx.clock.advance_ms(61_000);
    }
    assert!(bed.block(runner.claim(1, &[])).expect("claimed").held.is_empty());
    bed.block(runner.prepare()).expect("the watch has a row");
    bed.run(&mute);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some()),
        (Some("EX-018"), true)
    );
    assert_eq!(
        bed.number(&format!("SELECT COUNT(*) FROM job WHERE kind = '{}'", EXCHANGE.name)),
        0
    );
    bed.act(&id, causeway::exchange::acts::ExchangeAct::Replay)
        .expect("replayed");
    bed.run(&mute);
    assert_eq!(bed.phase(&id), Phase::Completed);
}

#[test]
fn an_exchange_without_a_job_gets_one() {
    let bed = Bed::new();
    let id = bed.started();
    bed.sql("DELETE FROM job");
    let partner = Scripted::well();
    let runner = bed.runner(&partner);
    bed.block(runner.prepare()).expect("the watch has a row");
    bed.run(&partner);
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::Completed);
}
