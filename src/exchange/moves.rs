//! The one table of moves of an exchange: from which phase, at which step, by which event, to what. What is not in it is refused. Pure.
//!
//! `causeway states` prints it joined with the table of steps ([`super::step_table`]).

use super::event::ExchangeEvent;
use super::phase::{AuditState, ConsentState, DeliveryState, IdentityState, NextMover, Phase, TransportState};
use super::steps::StepName;

/// The phase that a move leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadsTo {
    /// This phase.
    Phase(Phase),
    /// The phase stays.
    Same,
}

/// The step that comes next after a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// This step.
    Step(StepName),
    /// The step stays.
    Same,
    /// None: the exchange has ended.
    None,
}

/// The four kinds of ownership of a move: who does what if things go on like this. `None`: nobody needs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// Who tries again.
    pub retried_by: Option<NextMover>,
    /// Who calls for help.
    pub escalated_by: Option<NextMover>,
    /// Who keeps the evidence.
    pub evidence_by: Option<NextMover>,
    /// Who tells the final status.
    pub final_status_by: Option<NextMover>,
}

/// One allowed move.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    /// The phases from which it is allowed; empty for the first move of all.
    pub from: &'static [Phase],
    /// The steps at which it is allowed; empty for every step.
    pub at: &'static [StepName],
    /// The event.
    pub event: ExchangeEvent,
    /// The phase after it.
    pub to: LeadsTo,
    /// The step after it.
    pub next: NextStep,
    /// Who makes the next move.
    pub owner: NextMover,
    /// The new state, where it changes.
    pub identity: Option<IdentityState>,
    /// The new state, where it changes.
    pub consent: Option<ConsentState>,
    /// The new state.
    pub transport: TransportState,
    /// The new state, where it changes.
    pub delivery: Option<DeliveryState>,
    /// Who does what.
    pub ownership: Ownership,
    /// The heading of `docs/operators/exchanges.md` that says what to do.
    pub runbook: &'static str,
}

impl Move {
    /// Whether the ledger holds the whole exchange after this move.
    pub fn audit(&self) -> AuditState {
        match self.to {
            LeadsTo::Phase(phase) if phase.is_terminal() => AuditState::Complete,
            _ => AuditState::Open,
        }
    }

    const fn new(
        from: &'static [Phase],
        at: &'static [StepName],
        event: ExchangeEvent,
        to: LeadsTo,
        next: NextStep,
        owner: NextMover,
    ) -> Move {
        Move {
            from,
            at,
            event,
            to,
            next,
            owner,
            identity: None,
            consent: None,
            transport: TransportState::Idle,
            delivery: None,
            ownership: BY_US,
            runbook: "what-happens-by-itself",
        }
    }

    const fn identity(self, state: IdentityState) -> Move {
        Move {
            identity: Some(state),
            ..self
        }
    }

    const fn consent(self, state: ConsentState) -> Move {
        Move {
            consent: Some(state),
            ..self
        }
    }

    const fn transport(self, transport: TransportState) -> Move {
        Move { transport, ..self }
    }

    const fn delivery(self, state: DeliveryState) -> Move {
        Move {
            delivery: Some(state),
            ..self
        }
    }

    const fn owned(self, ownership: Ownership, runbook: &'static str) -> Move {
        Move {
            ownership,
            runbook,
            ..self
        }
    }
}

const US: Option<NextMover> = Some(NextMover::Us);
const OPERATOR: Option<NextMover> = Some(NextMover::Operator);
const PARTNER: Option<NextMover> = Some(NextMover::Partner);

const fn ownership(
    retried_by: Option<NextMover>,
    escalated_by: Option<NextMover>,
    last: Option<NextMover>,
) -> Ownership {
    Ownership {
        retried_by,
        escalated_by,
        evidence_by: US,
        final_status_by: last,
    }
}

/// The program goes on by itself, and parks the exchange when it cannot.
const BY_US: Ownership = ownership(US, US, US);
/// The partner has to do something; the program asks again.
const AFTER_PARTNER: Ownership = ownership(US, US, PARTNER);
/// An operator has to do something.
const BY_OPERATOR: Ownership = ownership(OPERATOR, OPERATOR, OPERATOR);
/// It is over, by an answer of the partner.
const OVER_BY_PARTNER: Ownership = ownership(None, OPERATOR, PARTNER);
/// It is over.
const OVER: Ownership = ownership(None, None, US);
/// It is over, by an operator.
const OVER_BY_OPERATOR: Ownership = ownership(None, None, OPERATOR);

/// The phases in which the program works.
pub const WORKING: &[Phase] = &[
    Phase::Requested,
    Phase::Matched,
    Phase::AwaitingPartner,
    Phase::PartiallyResolved,
];
/// The phases that are not terminal.
pub const LIVE: &[Phase] = &[
    Phase::Requested,
    Phase::Matched,
    Phase::AwaitingPartner,
    Phase::PartiallyResolved,
    Phase::ManualReview,
];
const ASKING: &[Phase] = &[Phase::Requested, Phase::AwaitingPartner];
const FETCHING: &[Phase] = &[Phase::Matched, Phase::AwaitingPartner, Phase::PartiallyResolved];
const HAVING: &[Phase] = &[Phase::Matched, Phase::PartiallyResolved];
const ANY: &[StepName] = &[];

/// Every allowed move.
pub const MOVES: &[Move] = {
    use ExchangeEvent as E;
    use LeadsTo::{Phase as To, Same as Stays};
    use NextMover::{Operator, Partner, Us};
    use NextStep::{None as End, Same as Again, Step};
    use Phase::{
        AwaitingPartner, Cancelled, Completed, Failed, ManualReview, Matched, PartiallyResolved, Refused, Requested,
        Superseded,
    };
    use StepName as S;
    use TransportState::{BackingOff, CircuitOpen, Sending, Waiting};
    &[
        Move::new(&[], ANY, E::Started, To(Requested), Step(S::MemberMatch), Us),
        Move::new(WORKING, ANY, E::Sending, Stays, Again, Partner)
            .transport(Sending)
            .consent(ConsentState::Permitted),
        // The member
        Move::new(
            ASKING,
            &[S::MemberMatch],
            E::MemberMatched,
            To(Matched),
            Step(S::Retrieve),
            Us,
        )
        .identity(IdentityState::Matched),
        Move::new(ASKING, &[S::MemberMatch], E::NoMatch, To(AwaitingPartner), Again, Us)
            .identity(IdentityState::NoMatch)
            .transport(Waiting)
            .owned(AFTER_PARTNER, "no-match"),
        Move::new(ASKING, &[S::MemberMatch], E::Unmatched, To(Refused), End, Us)
            .identity(IdentityState::NoMatch)
            .owned(OVER_BY_PARTNER, "no-match"),
        Move::new(
            ASKING,
            &[S::MemberMatch],
            E::Ambiguous,
            To(ManualReview),
            Again,
            Operator,
        )
        .identity(IdentityState::Ambiguous)
        .owned(BY_OPERATOR, "review"),
        // The record
        Move::new(FETCHING, &[S::Retrieve], E::Retrieved, To(Matched), Step(S::Check), Us)
            .delivery(DeliveryState::Received),
        Move::new(
            FETCHING,
            &[S::Retrieve],
            E::PartlyRetrieved,
            To(PartiallyResolved),
            Step(S::Check),
            Us,
        )
        .delivery(DeliveryState::Partial)
        .owned(AFTER_PARTNER, "partial"),
        Move::new(
            &[PartiallyResolved],
            &[S::Retrieve, S::Acknowledge],
            E::NotYet,
            Stays,
            Again,
            Partner,
        )
        .transport(Waiting)
        .owned(AFTER_PARTNER, "not-yet"),
        Move::new(
            &[Requested, Matched, AwaitingPartner],
            &[S::MemberMatch, S::Retrieve, S::Acknowledge],
            E::NotYet,
            To(AwaitingPartner),
            Again,
            Partner,
        )
        .transport(Waiting)
        .owned(AFTER_PARTNER, "not-yet"),
        Move::new(&[Matched], &[S::Check], E::Checked, Stays, Step(S::Store), Us).delivery(DeliveryState::Validated),
        Move::new(&[PartiallyResolved], &[S::Check], E::Checked, Stays, Step(S::Store), Us),
        Move::new(
            HAVING,
            &[S::Check],
            E::PartlyChecked,
            To(PartiallyResolved),
            Step(S::Store),
            Us,
        )
        .delivery(DeliveryState::Partial)
        .owned(BY_US, "quarantine"),
        Move::new(HAVING, &[S::Store], E::Stored, To(Matched), Step(S::Acknowledge), Us)
            .delivery(DeliveryState::Stored),
        Move::new(
            HAVING,
            &[S::Store],
            E::PartlyStored,
            To(PartiallyResolved),
            Step(S::Acknowledge),
            Us,
        )
        .delivery(DeliveryState::Partial)
        .owned(BY_OPERATOR, "quarantine"),
        Move::new(
            HAVING,
            &[S::Store],
            E::RestAwaited,
            To(PartiallyResolved),
            Step(S::Retrieve),
            Partner,
        )
        .delivery(DeliveryState::Partial)
        .transport(Waiting)
        .owned(AFTER_PARTNER, "partial"),
        Move::new(
            &[Matched, AwaitingPartner, PartiallyResolved],
            &[S::Acknowledge],
            E::Acknowledged,
            To(Completed),
            End,
            Us,
        )
        .delivery(DeliveryState::Acknowledged)
        .owned(OVER, "completed"),
        Move::new(
            &[PartiallyResolved],
            &[S::Acknowledge],
            E::PartlyAcknowledged,
            Stays,
            Step(S::Store),
            Operator,
        )
        .owned(BY_OPERATOR, "quarantine"),
        // Trouble
        Move::new(
            WORKING,
            &[S::Check, S::Store],
            E::WentBack,
            Stays,
            Step(S::Retrieve),
            Us,
        )
        .transport(BackingOff),
        Move::new(
            FETCHING,
            &[S::Retrieve, S::Check, S::Store],
            E::WentOn,
            Stays,
            Again,
            Us,
        ),
        Move::new(WORKING, ANY, E::AttemptFailed, Stays, Again, Us)
            .transport(BackingOff)
            .owned(BY_US, "transport"),
        Move::new(WORKING, ANY, E::HeldBack, Stays, Again, Us)
            .transport(CircuitOpen)
            .owned(BY_US, "transport"),
        Move::new(WORKING, ANY, E::PartnerRefused, To(Refused), End, Us).owned(OVER_BY_PARTNER, "refused"),
        Move::new(WORKING, &[S::Check], E::PersonNeeded, To(ManualReview), Again, Operator)
            .identity(IdentityState::Disputed)
            .owned(BY_OPERATOR, "review"),
        Move::new(WORKING, ANY, E::PersonNeeded, To(ManualReview), Again, Operator).owned(BY_OPERATOR, "review"),
        Move::new(WORKING, ANY, E::Parked, Stays, Again, Operator).owned(BY_OPERATOR, "parked"),
        // Consent
        Move::new(LIVE, ANY, E::ConsentRefused, To(Refused), End, Us)
            .consent(ConsentState::Refused)
            .owned(OVER, "consent"),
        Move::new(LIVE, ANY, E::ConsentExpired, To(Refused), End, Us)
            .consent(ConsentState::Expired)
            .owned(OVER, "consent"),
        Move::new(LIVE, ANY, E::ConsentRevoked, To(Refused), End, Us)
            .consent(ConsentState::Revoked)
            .owned(OVER, "consent"),
        // Operators
        Move::new(LIVE, ANY, E::Paused, Stays, Again, Operator).owned(BY_OPERATOR, "paused"),
        Move::new(WORKING, ANY, E::Replayed, Stays, Again, Us).owned(BY_US, "parked"),
        Move::new(
            &[ManualReview],
            &[S::MemberMatch],
            E::Reopened,
            To(Requested),
            Again,
            Us,
        )
        .identity(IdentityState::Unresolved)
        .owned(BY_US, "review"),
        Move::new(&[ManualReview], AFTER_MATCH, E::Reopened, To(Matched), Again, Us)
            .identity(IdentityState::Matched)
            .owned(BY_US, "review"),
        Move::new(LIVE, ANY, E::Cancelled, To(Cancelled), End, Us).owned(OVER_BY_OPERATOR, "cancel"),
        Move::new(LIVE, ANY, E::Superseded, To(Superseded), End, Us).owned(OVER_BY_OPERATOR, "supersede"),
        Move::new(LIVE, ANY, E::Closed, To(Failed), End, Us).owned(OVER_BY_OPERATOR, "close"),
    ]
};

/// The lasting steps after the match.
const AFTER_MATCH: &[StepName] = &[
    StepName::Retrieve,
    StepName::Check,
    StepName::Store,
    StepName::Acknowledge,
];

/// The move by which `event` takes an exchange on from here; `None` when that is not allowed.
pub fn allowed(phase: Phase, step: StepName, event: ExchangeEvent) -> Option<&'static Move> {
    MOVES
        .iter()
        .find(|one| one.event == event && one.from.contains(&phase) && (one.at.is_empty() || one.at.contains(&step)))
}

/// The move that begins an exchange.
pub fn first() -> &'static Move {
    &MOVES[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_phase_that_has_ended_has_no_move_and_every_other_one_has() {
        for phase in Phase::ALL {
            let exits = MOVES.iter().filter(|one| one.from.contains(phase)).count();
            assert_eq!(exits == 0, phase.is_terminal(), "{phase:?}");
            let entries = MOVES.iter().any(|one| one.to == LeadsTo::Phase(*phase));
            assert!(entries, "{phase:?} is not reached");
        }
    }

    #[test]
    fn every_event_has_a_move_and_only_the_first_one_begins() {
        for event in ExchangeEvent::ALL {
            assert!(MOVES.iter().any(|one| one.event == *event), "{event:?}");
        }
        let begins: Vec<_> = MOVES.iter().filter(|one| one.from.is_empty()).collect();
        assert!(begins.len() == 1 && begins[0].event == ExchangeEvent::Started);
        assert_eq!(first().event, ExchangeEvent::Started);
    }

    #[test]
    fn what_is_not_in_the_table_is_refused() {
        let mut allowed_ones = 0;
        for phase in Phase::ALL {
            for step in StepName::ALL {
                for event in ExchangeEvent::ALL {
                    let found = allowed(*phase, *step, *event);
                    allowed_ones += usize::from(found.is_some());
                    if phase.is_terminal() || *event == ExchangeEvent::Started {
                        assert!(found.is_none(), "{phase:?} {step:?} {event:?}");
                    }
                }
            }
        }
        assert!(allowed_ones > 200);
        assert!(allowed(Phase::Requested, StepName::MemberMatch, ExchangeEvent::Stored).is_none());
        assert!(allowed(Phase::ManualReview, StepName::Retrieve, ExchangeEvent::Replayed).is_none());
    }

    #[test]
    fn a_terminal_phase_has_no_next_step_and_any_other_one_has() {
        for one in MOVES {
            let ends = matches!(one.to, LeadsTo::Phase(phase) if phase.is_terminal());
            assert_eq!(one.next == NextStep::None, ends, "{one:?}");
            assert_eq!(one.audit() == AuditState::Complete, ends, "{one:?}");
            if let NextStep::Step(step) = one.next {
                assert!(step.is_lasting(), "{one:?}");
            }
        }
    }

    #[test]
    fn each_phase_can_be_reached_and_can_end() {
        let mut reached: BTreeSet<Phase> = BTreeSet::from([Phase::Requested]);
        while let Some(new) = MOVES.iter().find_map(|one| match one.to {
            LeadsTo::Phase(to) if !reached.contains(&to) && one.from.iter().any(|from| reached.contains(from)) => {
                Some(to)
            }
            _ => None,
        }) {
            reached.insert(new);
        }
        assert_eq!(reached.len(), Phase::ALL.len());
        for phase in Phase::ALL.iter().filter(|phase| !phase.is_terminal()) {
            assert!(
                allowed(*phase, StepName::Retrieve, ExchangeEvent::Closed).is_some(),
                "{phase:?}"
            );
        }
    }
}
