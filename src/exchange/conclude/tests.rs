//! What each end of a step leads to: every case is an allowed move, and what is lacking keeps an exchange open.

use super::*;
use crate::exchange::clocks::AUTOMATIC_MS;
use crate::exchange::moves::{LIVE, allowed};
use crate::exchange::steps::{MatchedAs, MissingPart, Quarantined, TransportFailure};
use crate::exchange::tables::BUILT_IN;
use std::collections::BTreeMap;

const HERE: Position = Position {
    phase: Phase::Requested,
    at: StepName::MemberMatch,
    round: 1,
    failed: 0,
    deadline_ms: AUTOMATIC_MS,
    lacks: false,
    has_quarantine: false,
    was_unauthorized: false,
};

fn gain(step: StepName, bad: u64) -> StepGain {
    let quarantined = vec![Quarantined {
        reason: "stranger".into(),
        count: bad,
    }];
    match step {
        StepName::MemberMatch => StepGain::Matched(MatchedAs {
            patient_id: Some("p".into()),
            identifier_system: None,
            identifier: None,
        }),
        StepName::Retrieve => StepGain::Retrieved {
            counts: BTreeMap::new(),
            bytes: 0,
            method: "everything",
            as_of_ms: None,
        },
        StepName::Check => StepGain::Checked { good: 1, quarantined },
        StepName::Store => StepGain::Stored {
            stored: 1,
            unchanged: 0,
            quarantined,
        },
        _ => StepGain::Ready,
    }
}

fn transport(failure: TransportFailure, retry_after_ms: Option<u64>) -> StepEnd {
    StepEnd::Transport {
        failure,
        retry_after_ms,
        resume: None,
    }
}

#[test]
fn whatever_a_step_says_in_whatever_place_makes_an_allowed_move() {
    let missing = vec![MissingPart {
        resource_type: "Observation".into(),
        count: Some(3),
        page: Some(2),
        resume: None,
        reason: None,
    }];
    let lasting = StepName::ALL.iter().copied().filter(|step| step.is_lasting());
    let mut seen = 0;
    for at in lasting {
        let phases: Vec<Phase> = LIVE.iter().copied().filter(|phase| reached(*phase, at)).collect();
        for phase in phases {
            for (lacks, has_quarantine) in [(false, false), (true, false), (false, true)] {
                if (lacks || has_quarantine) && phase != Phase::PartiallyResolved {
                    continue;
                }
                let here = Position {
                    phase,
                    at,
                    lacks,
                    has_quarantine,
                    ..HERE
                };
                let mut ends = vec![
                    StepEnd::Done(gain(at, 0)),
                    transport(TransportFailure::Unknown, None),
                    transport(TransportFailure::Unauthorized, None),
                    transport(TransportFailure::ToldToWait, Some(7_200_000)),
                    StepEnd::Refused {
                        fault: Fault::PartnerAnswer,
                    },
                    StepEnd::OurFault {
                        fault: Fault::PartnerAnswer,
                    },
                    StepEnd::OwnTrouble {
                        fault: Fault::StoreUnavailable,
                    },
                    StepEnd::NotPermitted {
                        fault: Fault::OptInOver,
                    },
                    StepEnd::NotPermitted {
                        fault: Fault::PartnerStopped,
                    },
                    StepEnd::NeedsPerson {
                        fault: Fault::PartnerAnswer,
                    },
                ];
                match at {
                    StepName::MemberMatch => {
                        ends.push(StepEnd::NotYet { retry_after_ms: None });
                        ends.push(StepEnd::NoMatch { several: false });
                        ends.push(StepEnd::NoMatch { several: true });
                    }
                    _ => ends.push(StepEnd::Back {
                        to: StepName::Retrieve,
                        fault: Fault::SpoolLost,
                    }),
                }
                if at == StepName::Retrieve {
                    ends.push(StepEnd::Partial {
                        gain: gain(at, 0),
                        missing: missing.clone(),
                    });
                }
                if matches!(at, StepName::Retrieve | StepName::Check | StepName::Store) {
                    ends.push(StepEnd::More);
                }
                if matches!(at, StepName::Check | StepName::Store) {
                    ends.push(StepEnd::Done(gain(at, 2)));
                }
                if matches!(at, StepName::Retrieve | StepName::Acknowledge) {
                    ends.push(StepEnd::NotYet { retry_after_ms: None });
                }
                for end in ends {
                    for round in [1, 9] {
                        let concluded = Position { round, ..here }.under(BUILT_IN).conclude(at, &end, 0, 0.5);
                        let found = allowed(phase, at, concluded.event);
                        assert!(found.is_some(), "{phase:?} {at:?} {end:?} {concluded:?}");
                        seen += 1;
                    }
                }
            }
        }
    }
    assert!(seen > 150, "{seen}");
}

/// Whether an exchange can be in this phase at this step while the program works on it.
fn reached(phase: Phase, at: StepName) -> bool {
    match phase {
        Phase::Requested => at == StepName::MemberMatch,
        Phase::Matched => at != StepName::MemberMatch,
        Phase::AwaitingPartner => matches!(at, StepName::MemberMatch | StepName::Retrieve | StepName::Acknowledge),
        Phase::PartiallyResolved => at != StepName::MemberMatch,
        _ => false,
    }
}

#[test]
fn transport_failures_stay_in_the_round_and_business_waits_begin_a_new_one() {
    let failed = HERE.under(BUILT_IN).conclude(
        StepName::MemberMatch,
        &transport(TransportFailure::Unknown, None),
        0,
        1.0,
    );
    assert_eq!((failed.round, failed.failed, failed.then), (1, 1, Then::Wait(1_000)));
    let unmatched = HERE
        .under(BUILT_IN)
        .conclude(StepName::MemberMatch, &StepEnd::NoMatch { several: false }, 0, 1.0);
    assert_eq!(
        (unmatched.round, unmatched.failed, unmatched.then),
        (2, 0, Then::Wait(86_400_000))
    );
    let third = Position { round: 3, ..HERE };
    let over = third
        .under(BUILT_IN)
        .conclude(StepName::MemberMatch, &StepEnd::NoMatch { several: false }, 0, 1.0);
    assert_eq!((over.event, over.then), (ExchangeEvent::Unmatched, Then::End));
}

#[test]
fn what_may_not_be_repeated_is_parked_with_its_reason() {
    let end = transport(TransportFailure::ToldToWait, Some(3_600_001));
    assert_eq!(
        HERE.under(BUILT_IN).conclude(StepName::MemberMatch, &end, 0, 0.0).then,
        Then::Park(Fault::WaitTooLong)
    );
    let last = Position { failed: 7, ..HERE };
    let end = transport(TransportFailure::NotSent, None);
    assert_eq!(
        last.under(BUILT_IN).conclude(StepName::MemberMatch, &end, 0, 0.0).then,
        Then::Park(Fault::AttemptsOver)
    );
    let late = AUTOMATIC_MS - 10;
    assert_eq!(
        HERE.under(BUILT_IN)
            .conclude(StepName::MemberMatch, &end, late, 1.0)
            .then,
        Then::Park(Fault::DeadlineOver)
    );
}

#[test]
fn a_refused_token_is_replaced_once_whatever_failed_before() {
    let end = transport(TransportFailure::Unauthorized, None);
    let tired = Position { failed: 5, ..HERE };
    assert!(matches!(
        tired.under(BUILT_IN).conclude(StepName::MemberMatch, &end, 0, 0.0).then,
        Then::Wait(_)
    ));
    let again = Position {
        was_unauthorized: true,
        ..HERE
    };
    assert_eq!(
        again.under(BUILT_IN).conclude(StepName::MemberMatch, &end, 0, 0.0).then,
        Then::Park(Fault::PartnerTokenRefused)
    );
}

#[test]
fn damage_to_what_is_kept_is_told_as_that_wherever_it_is_found() {
    let fault = Fault::SealBroken;
    let end = StepEnd::Back {
        to: StepName::Retrieve,
        fault,
    };
    let at = |at| Position {
        phase: Phase::Matched,
        at,
        ..HERE
    };
    let fetched_again = at(StepName::Check)
        .under(BUILT_IN)
        .conclude(StepName::Check, &end, 0, 0.5);
    assert_eq!((fetched_again.event, fetched_again.round), (ExchangeEvent::WentBack, 2));
    let told = at(StepName::Retrieve)
        .under(BUILT_IN)
        .conclude(StepName::Retrieve, &end, 0, 0.5);
    assert_eq!((told.class, told.then), ("spool-lost", Then::Park(fault)));
    // Too often: what goes on, when somebody lets it, is the retrieval and not the step that lacks it.
    let last = Position {
        round: 7,
        ..at(StepName::Store)
    };
    let parked = last.under(BUILT_IN).conclude(StepName::Store, &end, 0, 0.5);
    assert_eq!(
        (parked.event, parked.then, parked.round),
        (ExchangeEvent::WentBack, Then::Park(fault), 8)
    );
}

#[test]
fn what_the_partner_says_of_our_request_is_parked_and_its_word_about_the_member_is_final() {
    for fault in [
        Fault::PartnerForbids,
        Fault::PartnerMisunderstands,
        Fault::PartnerTokenRefused,
    ] {
        let parked = HERE
            .under(BUILT_IN)
            .conclude(StepName::MemberMatch, &StepEnd::refused(fault), 0, 0.5);
        assert_eq!((parked.class, parked.then), ("our-fault", Then::Park(fault)));
        assert!(retry::class(parked.class).is_some());
    }
    let over = HERE
        .under(BUILT_IN)
        .conclude(StepName::MemberMatch, &StepEnd::refused(Fault::PartnerRefuses), 0, 0.5);
    assert_eq!((over.event, over.then), (ExchangeEvent::PartnerRefused, Then::End));
}

#[test]
fn quarantine_keeps_an_exchange_from_being_complete() {
    let here = Position {
        phase: Phase::PartiallyResolved,
        at: StepName::Acknowledge,
        has_quarantine: true,
        ..HERE
    };
    let concluded = here
        .under(BUILT_IN)
        .conclude(StepName::Acknowledge, &StepEnd::Done(StepGain::Ready), 0, 0.0);
    assert_eq!(
        (concluded.event, concluded.then),
        (ExchangeEvent::PartlyAcknowledged, Then::Park(Fault::InQuarantine))
    );
}

#[test]
fn trouble_of_our_own_is_a_failed_attempt_and_none_of_the_partners() {
    let end = StepEnd::OwnTrouble {
        fault: Fault::StoreUnavailable,
    };
    let waits = HERE.under(BUILT_IN).conclude(StepName::MemberMatch, &end, 0, 1.0);
    assert_eq!(
        (waits.event, waits.then, waits.failed),
        (ExchangeEvent::AttemptFailed, Then::Wait(60_000), 1)
    );
    assert_eq!((waits.class, waits.fault), (OWN_TROUBLE, Some(Fault::StoreUnavailable)));
    assert!(!retry::class(OWN_TROUBLE).expect("a class").blames_server);
    let last = Position { failed: 7, ..HERE };
    let over = last.under(BUILT_IN).conclude(StepName::MemberMatch, &end, 0, 0.5);
    assert_eq!(
        over.then,
        Then::Park(Fault::StoreUnavailable),
        "not: the partner failed"
    );
    let late = HERE
        .under(BUILT_IN)
        .conclude(StepName::MemberMatch, &end, AUTOMATIC_MS, 0.5);
    assert_eq!(late.then, Then::Park(Fault::DeadlineOver));
    let slow = HERE.under(BUILT_IN).timed_out(StepName::Store, 0, 0.5);
    assert_eq!((slow.class, slow.fault), (OWN_TROUBLE, Some(Fault::StoreSlow)));
    let mute = HERE.under(BUILT_IN).timed_out(StepName::Retrieve, 0, 0.5);
    assert_eq!((mute.class, mute.fault), ("timeout", Some(Fault::PartnerUnreachable)));
}

#[test]
fn what_is_not_permitted_any_more_ends_or_parks_and_is_not_tried_again() {
    let at = |at, fault| {
        HERE.under(BUILT_IN)
            .conclude(at, &StepEnd::NotPermitted { fault }, 0, 0.5)
    };
    let revoked = at(StepName::MemberMatch, Fault::OptInRevoked);
    assert_eq!(
        (revoked.event, revoked.then),
        (ExchangeEvent::ConsentRevoked, Then::End)
    );
    let over = at(StepName::MemberMatch, Fault::OptInOver);
    assert_eq!((over.event, over.then), (ExchangeEvent::ConsentExpired, Then::End));
    let stopped = at(StepName::MemberMatch, Fault::PartnerStopped);
    assert_eq!(stopped.then, Then::Park(Fault::PartnerStopped));
}
