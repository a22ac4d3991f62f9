//! Where an exchange stands that another payer began with `$member-match`: the same states as those of our own exchanges, computed from
//! what the match and its disclosures left. Pure: values in, values out; nothing is stored for it.
//!
//! It begins with the decision. While the grant holds, the partner may retrieve, and the exchange is `matched`. It ends with the grant, or
//! when a later match renews the grant.

use super::phase::{AuditState, ConsentState, DeliveryState, IdentityState, NextMover, Phase, TransportState};

/// The outcome code of a decision that granted.
pub const MATCHED: &str = "matched";
/// The outcome code of a decision that a reviewer has to take.
pub const REVIEW: &str = "review";

/// What is known of an inbound exchange; times are UTC milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct InboundFacts<'a> {
    /// The outcome code of the decision.
    pub outcome: &'a str,
    /// Whether the decision names a member.
    pub names_member: bool,
    /// When it was decided.
    pub decided_ms: i64,
    /// The grant that the decision made or renewed.
    pub grant: Option<GrantFacts>,
    /// The review of the question, if it has one.
    pub review: Option<ReviewFacts>,
    /// What was sent under it.
    pub sent: SentFacts,
    /// The time now.
    pub now_ms: i64,
}

/// A grant with its consent.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrantFacts {
    /// The first instant at which it does not hold by itself, or its consent does not.
    pub until_ms: i64,
    /// When somebody ended it or its consent.
    pub revoked_ms: Option<i64>,
    /// When a later match renewed it.
    pub renewed_ms: Option<i64>,
}

/// A review.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReviewFacts {
    /// When it was decided; `None` while it waits.
    pub decided_ms: Option<i64>,
    /// Whether a member was confirmed.
    pub is_confirmed: bool,
}

/// The disclosures under a decision.
#[derive(Clone, Copy, Debug, Default)]
pub struct SentFacts {
    /// How many began.
    pub begun: usize,
    /// How many of them were sent to their end.
    pub whole: usize,
    /// Whether the end of one is not known.
    pub is_open: bool,
}

/// The states of an inbound exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the enumerations tell it
pub struct InboundStates {
    pub phase: Phase,
    pub identity: IdentityState,
    pub consent: ConsentState,
    pub transport: TransportState,
    pub delivery: DeliveryState,
    pub audit: AuditState,
    pub owner: NextMover,
    /// When it ended, UTC milliseconds.
    pub ended_ms: Option<i64>,
    /// When the partner had its answer, UTC milliseconds; `None` while a person still has to decide.
    pub answered_ms: Option<i64>,
}

/// The states that these facts make.
pub fn states(facts: &InboundFacts<'_>) -> InboundStates {
    match (facts.outcome, facts.grant) {
        (MATCHED, Some(grant)) => of_grant(facts, grant),
        (REVIEW, _) => of_review(facts),
        _ => refused(facts),
    }
}

/// The outcomes of the decisions whose exchange can be in this phase, an empty list for any; `None` when no inbound exchange is ever in it.
pub fn outcomes_in(phase: Phase) -> Option<&'static [&'static str]> {
    match phase {
        Phase::Matched | Phase::Completed | Phase::Failed | Phase::Superseded => Some(&[MATCHED]),
        Phase::ManualReview => Some(&[REVIEW]),
        // A refusal, what a person has decided, and a grant that was revoked.
        Phase::Refused => Some(&[]),
        Phase::Requested | Phase::AwaitingPartner | Phase::PartiallyResolved | Phase::Cancelled => None,
    }
}

fn of_grant(facts: &InboundFacts<'_>, grant: GrantFacts) -> InboundStates {
    let SentFacts { begun, whole, is_open } = facts.sent;
    let delivery = match (begun, whole) {
        (0, _) => DeliveryState::None,
        (_, 0) => DeliveryState::Partial,
        _ => DeliveryState::Received,
    };
    let came = delivery == DeliveryState::Received;
    let expired_ms = Some(grant.until_ms).filter(|until| *until <= facts.now_ms);
    // What came first ended it: a grant that was revoked cannot be renewed, and one that is over cannot be either.
    let (phase, consent, ended_ms) = match (grant.renewed_ms, grant.revoked_ms, expired_ms) {
        (Some(renewed), ..) => {
            let phase = if came { Phase::Completed } else { Phase::Superseded };
            (phase, ConsentState::Permitted, Some(renewed))
        }
        (_, Some(revoked), _) => {
            let phase = if came { Phase::Completed } else { Phase::Refused };
            (phase, ConsentState::Revoked, Some(revoked))
        }
        (_, _, Some(expired)) => {
            let phase = if came { Phase::Completed } else { Phase::Failed };
            (phase, ConsentState::Expired, Some(expired))
        }
        _ => (Phase::Matched, ConsentState::Permitted, None),
    };
    InboundStates {
        phase,
        identity: IdentityState::Matched,
        consent,
        transport: if is_open {
            TransportState::Sending
        } else {
            TransportState::Idle
        },
        delivery,
        audit: if ended_ms.is_some() && !is_open {
            AuditState::Complete
        } else {
            AuditState::Open
        },
        owner: NextMover::Partner,
        ended_ms,
        answered_ms: Some(facts.decided_ms),
    }
}

/// The partner was told that nobody was found, and a person decides. The partner asks again to learn it.
fn of_review(facts: &InboundFacts<'_>) -> InboundStates {
    let review = facts.review.unwrap_or_default();
    let is_waiting = facts.review.is_some() && review.decided_ms.is_none();
    let identity = match (is_waiting, review.is_confirmed) {
        (true, _) => IdentityState::InReview,
        (_, true) => IdentityState::Matched,
        _ => IdentityState::NoMatch,
    };
    let ended_ms = if is_waiting {
        None
    } else {
        Some(review.decided_ms.unwrap_or(facts.decided_ms))
    };
    InboundStates {
        phase: if is_waiting {
            Phase::ManualReview
        } else {
            Phase::Refused
        },
        identity,
        owner: if is_waiting {
            NextMover::Operator
        } else {
            NextMover::Partner
        },
        audit: if is_waiting {
            AuditState::Open
        } else {
            AuditState::Complete
        },
        ended_ms,
        answered_ms: ended_ms,
        ..refused(facts)
    }
}

fn refused(facts: &InboundFacts<'_>) -> InboundStates {
    let is_by_consent = matches!(facts.outcome, "consent" | "consent-first");
    let identity = match facts.outcome {
        "none" => IdentityState::NoMatch,
        _ if facts.names_member => IdentityState::Matched,
        _ => IdentityState::Unresolved,
    };
    InboundStates {
        phase: Phase::Refused,
        identity,
        consent: if is_by_consent {
            ConsentState::Refused
        } else {
            ConsentState::Unchecked
        },
        transport: TransportState::Idle,
        delivery: DeliveryState::None,
        audit: AuditState::Complete,
        owner: NextMover::Partner,
        ended_ms: Some(facts.decided_ms),
        answered_ms: Some(facts.decided_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(grant: GrantFacts, sent: SentFacts) -> InboundStates {
        states(&InboundFacts {
            outcome: MATCHED,
            names_member: true,
            decided_ms: 10,
            grant: Some(GrantFacts {
                until_ms: if grant.until_ms == 0 { 1_000 } else { grant.until_ms },
                ..grant
            }),
            sent,
            now_ms: 100,
            ..InboundFacts::default()
        })
    }

    const WHOLE: SentFacts = SentFacts {
        begun: 2,
        whole: 1,
        is_open: false,
    };

    #[test]
    fn a_match_is_open_while_its_grant_holds_and_delivery_is_a_state_of_its_own() {
        let nothing = SentFacts::default();
        let partial = SentFacts {
            begun: 1,
            whole: 0,
            is_open: true,
        };
        for (sent, delivery, transport) in [
            (nothing, DeliveryState::None, TransportState::Idle),
            (partial, DeliveryState::Partial, TransportState::Sending),
            (WHOLE, DeliveryState::Received, TransportState::Idle),
        ] {
            let states = granted(GrantFacts::default(), sent);
            assert_eq!(
                (states.phase, states.delivery, states.transport),
                (Phase::Matched, delivery, transport)
            );
            assert_eq!(
                (states.owner, states.ended_ms, states.audit),
                (NextMover::Partner, None, AuditState::Open)
            );
        }
    }

    #[test]
    fn it_ends_with_its_grant() {
        let revoked = GrantFacts {
            revoked_ms: Some(50),
            ..GrantFacts::default()
        };
        let renewed = GrantFacts {
            renewed_ms: Some(60),
            ..GrantFacts::default()
        };
        let expired = GrantFacts {
            until_ms: 70,
            ..GrantFacts::default()
        };
        for (grant, without, consent, at) in [
            (revoked, Phase::Refused, ConsentState::Revoked, 50),
            (renewed, Phase::Superseded, ConsentState::Permitted, 60),
            (expired, Phase::Failed, ConsentState::Expired, 70),
        ] {
            let states = granted(grant, SentFacts::default());
            assert_eq!(
                (states.phase, states.consent, states.ended_ms),
                (without, consent, Some(at))
            );
            let states = granted(grant, WHOLE);
            assert_eq!(
                (states.phase, states.consent, states.ended_ms),
                (Phase::Completed, consent, Some(at))
            );
            assert_eq!(states.audit, AuditState::Complete);
        }
    }

    #[test]
    fn a_refusal_ends_at_once_and_a_review_when_a_person_has_decided() {
        let of = |outcome, review| {
            states(&InboundFacts {
                outcome,
                decided_ms: 10,
                review,
                now_ms: 100,
                ..InboundFacts::default()
            })
        };
        for (outcome, identity, consent) in [
            ("none", IdentityState::NoMatch, ConsentState::Unchecked),
            ("consent", IdentityState::Unresolved, ConsentState::Refused),
            ("consent-first", IdentityState::Unresolved, ConsentState::Refused),
            ("guarded", IdentityState::Unresolved, ConsentState::Unchecked),
        ] {
            let states = of(outcome, None);
            assert_eq!(
                (states.phase, states.identity, states.consent),
                (Phase::Refused, identity, consent),
                "{outcome}"
            );
            assert_eq!(states.ended_ms, Some(10));
        }
        let waiting = of(REVIEW, Some(ReviewFacts::default()));
        assert_eq!(
            (waiting.phase, waiting.owner),
            (Phase::ManualReview, NextMover::Operator)
        );
        assert_eq!((waiting.ended_ms, waiting.answered_ms), (None, None));
        let decided = of(
            REVIEW,
            Some(ReviewFacts {
                decided_ms: Some(40),
                is_confirmed: true,
            }),
        );
        assert_eq!(
            (decided.phase, decided.identity, decided.ended_ms),
            (Phase::Refused, IdentityState::Matched, Some(40))
        );
    }

    #[test]
    fn every_phase_that_is_reached_is_searched_for() {
        for phase in Phase::ALL {
            let is_reached = matches!(
                phase,
                Phase::Matched
                    | Phase::Completed
                    | Phase::Failed
                    | Phase::Superseded
                    | Phase::ManualReview
                    | Phase::Refused
            );
            assert_eq!(outcomes_in(*phase).is_some(), is_reached, "{phase:?}");
        }
    }
}
