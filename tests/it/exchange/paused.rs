//! A pause takes nothing away from a partner: not the time that it was given, and not an answer that it has given.

use super::bed::{Bed, HOUR};
use super::scripted::{Says, Scripted, failing, partly};
use causeway::error::Fault;
use causeway::exchange::acts::ExchangeAct;
use causeway::exchange::phase::Phase;
use causeway::exchange::steps::{StepEnd, StepName, TransportFailure};
use std::collections::BTreeSet;

/// A partner that says this to the first `$member-match`, and does all else well.
fn at_first(says: Says) -> Scripted {
    Scripted::that(move |_, step, before| match (step, before) {
        (StepName::MemberMatch, 0) => says.clone(),
        _ => Says::Well,
    })
}

#[test]
fn a_replay_after_a_pause_waits_for_what_is_left_of_the_wait() {
    let nobody = Says::End(StepEnd::NoMatch { several: false });
    let told = failing(TransportFailure::ToldToWait, Some(1_800_000));
    for (says, paused_ms) in [(nobody, HOUR), (told, 60_000)] {
        let bed = Bed::new();
        let id = bed.started();
        let partner = at_first(says);
        bed.run(&partner);
        let wake_ms = bed.exchange(&id).wake_ms.expect("it waits");
        bed.ctx.clock.advance_ms(paused_ms);
        bed.act(&id, ExchangeAct::Pause).expect("paused");
        bed.act(&id, ExchangeAct::Replay).expect("replayed");
        bed.run(&partner);
        assert_eq!(partner.count(StepName::MemberMatch), 1, "not before its time");
        let row = bed.exchange(&id);
        assert_eq!((row.wake_ms, row.parked_at_ms), (Some(wake_ms), None));
        assert!(row.deadline_ms > wake_ms, "it has time after its wait");
        bed.run_through(&partner, &id, 25 * HOUR);
        assert_eq!(bed.phase(&id), Phase::Completed);
        assert!(bed.ctx.clock.now_ms() >= wake_ms);
    }
}

#[test]
fn a_pause_that_is_longer_than_the_wait_adds_none() {
    let bed = Bed::new();
    let id = bed.started();
    let partner = at_first(Says::End(StepEnd::NoMatch { several: false }));
    bed.run(&partner);
    bed.act(&id, ExchangeAct::Pause).expect("paused");
    bed.ctx.clock.advance_ms(100 * HOUR);
    bed.act(&id, ExchangeAct::Replay).expect("replayed");
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::Completed);
}

#[test]
fn an_answer_that_was_given_is_not_asked_for_under_its_key_again_because_of_a_pause() {
    let bed = Bed::new();
    let id = bed.started();
    let partner = at_first(Says::End(StepEnd::NoMatch { several: true }));
    bed.run(&partner);
    assert_eq!(bed.exchange(&id).reason.as_deref(), Some(Fault::SeveralThere.code()));
    bed.act(&id, ExchangeAct::Pause).expect("paused");
    bed.act(&id, ExchangeAct::Replay).expect("reopened");
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::Completed);
    let asked = partner.seen();
    let keys: BTreeSet<&String> = asked
        .iter()
        .filter(|seen| seen.step == StepName::MemberMatch)
        .map(|seen| &seen.key)
        .collect();
    assert_eq!(keys.len(), 2, "{asked:?}");
}

/// The keys under which this step was asked for, in their order, each once.
fn keys_of(partner: &Scripted, step: StepName) -> Vec<String> {
    let mut keys: Vec<String> = partner
        .seen()
        .into_iter()
        .filter(|seen| seen.step == step)
        .map(|seen| seen.key)
        .collect();
    keys.dedup();
    keys
}

#[test]
fn a_step_that_had_a_turn_before_it_was_paused_goes_on_in_its_round() {
    for slow in [StepName::Retrieve, StepName::Check, StepName::Store] {
        let bed = Bed::new();
        let id = bed.started();
        let partner = Scripted::that(move |_, step, before| match (step == slow, before) {
            (true, 0) => Says::End(StepEnd::More),
            (true, 1) => Says::End(StepEnd::OwnTrouble { fault: Fault::NoRoom }),
            _ => Says::Well,
        });
        bed.run(&partner);
        bed.run(&partner);
        assert_eq!((bed.exchange(&id).step.as_str(), partner.count(slow)), (slow.code(), 2));
        bed.act(&id, ExchangeAct::Pause).expect("paused");
        bed.act(&id, ExchangeAct::Replay).expect("replayed");
        bed.run(&partner);
        assert_eq!(bed.phase(&id), Phase::Completed, "{slow:?}");
        assert_eq!((partner.count(slow), keys_of(&partner, slow).len()), (3, 1), "{slow:?}");
    }
}

#[test]
fn what_is_missing_is_asked_for_in_a_new_round_also_after_a_pause() {
    let bed = Bed::new();
    let id = bed.started();
    let partner = Scripted::that(|_, step, before| match (step, before) {
        (StepName::Retrieve, 0..=6) => partly(),
        _ => Says::Well,
    });
    bed.run_through(&partner, &id, 200 * HOUR);
    let row = bed.exchange(&id);
    assert_eq!(
        (row.reason.as_deref(), row.parked_at_ms.is_some()),
        (Some(Fault::RestNotGiven.code()), true)
    );
    bed.act(&id, ExchangeAct::Pause).expect("paused");
    bed.act(&id, ExchangeAct::Replay).expect("replayed");
    bed.run(&partner);
    assert_eq!(bed.phase(&id), Phase::Completed);
    assert_eq!(
        (
            partner.count(StepName::Retrieve),
            keys_of(&partner, StepName::Retrieve).len()
        ),
        (8, 8)
    );
}
