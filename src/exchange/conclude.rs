//! What follows from the end of a step: which event it is, and whether the exchange goes on, waits, is parked or ends. Pure.

use super::event::ExchangeEvent;
use super::phase::Phase;
use super::retry::{self, FailureRule, Follows};
use super::steps::{StepEnd, StepGain, StepName};
use super::tables::ExchangeTables;
use crate::error::Fault;
use std::ops::Deref;

/// Where an exchange stands when a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its phase.
    pub phase: Phase,
    /// The lasting step that it is at.
    pub at: StepName,
    /// The round of that step, from 1. The steps after the match share their rounds, so that no question has the number of another one.
    pub round: u32,
    /// Attempts of this round that have failed.
    pub failed: u32,
    /// The end of the time for this round, UTC milliseconds.
    pub deadline_ms: i64,
    /// Whether something is missing.
    pub lacks: bool,
    /// Whether something is in quarantine.
    pub has_quarantine: bool,
    /// Whether the attempt before this one failed because its token was refused, and nothing came since.
    pub was_unauthorized: bool,
}

/// How an exchange goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// At once, with the next step.
    GoOn,
    /// By itself, at this time (UTC milliseconds).
    Wait(i64),
    /// When an operator lets it.
    Park(Fault),
    /// When a person has decided.
    Review,
    /// Not at all: it has ended.
    End,
}

/// What follows from the end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// What happened.
    pub event: ExchangeEvent,
    /// How the attempt ended: `ok`, or the code of a class of failures.
    pub class: &'static str,
    /// Why, if it did not go well.
    pub fault: Option<Fault>,
    /// How the exchange goes on.
    pub then: Then,
    /// The round from now on.
    pub round: u32,
    /// Attempts of that round that have failed.
    pub failed: u32,
    /// The end of the time for that round, UTC milliseconds.
    pub deadline_ms: i64,
}

/// The class of an attempt that went well.
pub const OK: &str = "ok";
/// The class of an attempt that failed because of this server.
pub const OWN_TROUBLE: &str = "own-trouble";

/// Whose failure an attempt ended by.
#[derive(Clone, Copy)]
enum WhoseFailure {
    /// The partner's, or of the way to it.
    Theirs { retry_after_ms: Option<u64> },
    /// This server's own.
    Ours(Fault),
}

const fn theirs(retry_after_ms: Option<u64>) -> WhoseFailure {
    WhoseFailure::Theirs { retry_after_ms }
}

impl Position {
    /// This position under the tables by which the exchange works.
    pub const fn under(self, tables: &ExchangeTables) -> PositionUnder<'_> {
        PositionUnder { here: self, tables }
    }

    /// What follows when the opt-in or the partner, which permitted the step when it began, does not permit it any more.
    pub fn not_permitted(&self, fault: Fault) -> Conclusion {
        match fault {
            Fault::OptInRevoked => self.over(ExchangeEvent::ConsentRevoked, "refused", fault),
            Fault::OptInOver => self.over(ExchangeEvent::ConsentExpired, "refused", fault),
            _ => self.parked("refused", fault),
        }
    }

    /// The exchange is parked for this reason.
    pub fn parked(&self, class: &'static str, fault: Fault) -> Conclusion {
        Conclusion {
            then: Then::Park(fault),
            ..self.over(ExchangeEvent::Parked, class, fault)
        }
    }

    /// It ends with this event.
    pub fn over(&self, event: ExchangeEvent, class: &'static str, fault: Fault) -> Conclusion {
        Conclusion {
            event,
            class,
            fault: Some(fault),
            then: Then::End,
            round: self.round,
            failed: self.failed,
            deadline_ms: self.deadline_ms,
        }
    }

    /// It waits, because the partner is in trouble, until `wake_ms`; no attempt is counted.
    pub fn held_back(&self, wake_ms: i64) -> Conclusion {
        if wake_ms > self.deadline_ms {
            return self.parked("not-sent", Fault::DeadlineOver);
        }
        Conclusion {
            then: Then::Wait(wake_ms),
            ..self.over(ExchangeEvent::HeldBack, "not-sent", Fault::PartnerUnreachable)
        }
    }

    fn person(&self, fault: Fault) -> Conclusion {
        Conclusion {
            then: Then::Review,
            ..self.over(ExchangeEvent::PersonNeeded, "person", fault)
        }
    }

    /// What is lacking when the partner has nothing for us, by the step.
    fn lacking(&self) -> Fault {
        match self.at {
            // The question is another one than was asked under its key: only a new round has a new key.
            StepName::MemberMatch => Fault::IdempotencyKeyReused,
            StepName::Acknowledge => Fault::NotAcknowledged,
            _ => Fault::RestNotGiven,
        }
    }

    /// Why an exchange whose receipt was taken is not complete.
    fn unfinished(&self) -> Fault {
        if self.has_quarantine {
            Fault::InQuarantine
        } else {
            Fault::RestNotGiven
        }
    }

    fn goes_on(&self, event: ExchangeEvent, round: u32) -> Conclusion {
        Conclusion {
            event,
            class: OK,
            fault: None,
            then: Then::GoOn,
            round,
            failed: 0,
            deadline_ms: self.deadline_ms,
        }
    }
}

/// A position with the tables by which its exchange works.
#[derive(Clone, Copy, Debug)]
pub struct PositionUnder<'t> {
    here: Position,
    tables: &'t ExchangeTables,
}

impl Deref for PositionUnder<'_> {
    type Target = Position;

    fn deref(&self) -> &Position {
        &self.here
    }
}

impl PositionUnder<'_> {
    /// What follows from the end of `step` at `now_ms` (UTC milliseconds). `step` is the step that the exchange is at, or one that a
    /// session needs for it. `unit` is a random number in `0.0..1.0`.
    pub fn conclude(&self, step: StepName, end: &StepEnd, now_ms: i64, unit: f64) -> Conclusion {
        match end {
            StepEnd::Done(gain) => self.done(gain, false, now_ms),
            StepEnd::Partial { gain, missing } => self.done(gain, !missing.is_empty(), now_ms),
            // Others have their turn; what was kept makes up for the attempts that failed before.
            StepEnd::More => Conclusion {
                then: Then::Wait(now_ms),
                ..self.goes_on(ExchangeEvent::WentOn, self.round)
            },
            StepEnd::Transport {
                failure,
                retry_after_ms,
                ..
            } => self.failed(
                step,
                self.tables.class_of(*failure),
                theirs(*retry_after_ms),
                now_ms,
                unit,
            ),
            StepEnd::Refused { fault } => self.over(ExchangeEvent::PartnerRefused, "refused", *fault),
            StepEnd::OurFault { fault } => self.parked("our-fault", *fault),
            StepEnd::OwnTrouble { fault } => self.own_trouble(step, *fault, now_ms, unit),
            StepEnd::NoMatch { several: true } => Conclusion {
                then: Then::Review,
                ..self.over(ExchangeEvent::Ambiguous, "no-match", Fault::SeveralThere)
            },
            StepEnd::NoMatch { several: false } => {
                match retry::next_round_ms(self.tables.rule(self.at), self.round, None) {
                    Some(wait_ms) => self.next_round(
                        ExchangeEvent::NoMatch,
                        "no-match",
                        Fault::NoMatchThere,
                        now_ms + wait_ms,
                    ),
                    None => self.over(ExchangeEvent::Unmatched, "no-match", Fault::NoMatchThere),
                }
            }
            StepEnd::NotYet { retry_after_ms } => {
                match retry::next_round_ms(self.tables.rule(self.at), self.round, *retry_after_ms) {
                    Some(wait_ms) => {
                        let event = ExchangeEvent::NotYet;
                        self.next_round(event, "not-yet", self.lacking(), now_ms + wait_ms)
                    }
                    None => self.parked("not-yet", self.lacking()),
                }
            }
            StepEnd::Back { fault, .. } => self.back(*fault, now_ms),
            StepEnd::NotPermitted { fault } => self.not_permitted(*fault),
            StepEnd::NeedsPerson { fault } => self.person(*fault),
        }
    }

    /// What follows when a step did not end within its time.
    pub fn timed_out(&self, step: StepName, now_ms: i64, unit: f64) -> Conclusion {
        match self.tables.class("timeout") {
            Some(class) if step.calls() => self.failed(step, class, theirs(None), now_ms, unit),
            _ => self.own_trouble(step, Fault::StoreSlow, now_ms, unit),
        }
    }

    /// This server failed, and not the partner: the attempt is counted, and its fault is what an operator is told.
    fn own_trouble(&self, step: StepName, fault: Fault, now_ms: i64, unit: f64) -> Conclusion {
        match self.tables.class(OWN_TROUBLE) {
            Some(class) => self.failed(step, class, WhoseFailure::Ours(fault), now_ms, unit),
            None => self.parked(OWN_TROUBLE, fault),
        }
    }

    /// What an earlier step left behind is gone or damaged: it is fetched again, in a new round, by itself or after somebody has looked. Nothing
    /// goes on without it. Where that is what fetches, somebody always looks first.
    fn back(&self, fault: Fault, now_ms: i64) -> Conclusion {
        let event = match self.at {
            StepName::Check | StepName::Store => ExchangeEvent::WentBack,
            _ => ExchangeEvent::Parked,
        };
        let again = self.next_round(event, "spool-lost", fault, now_ms + BACK_MS);
        match event == ExchangeEvent::WentBack && self.round < self.tables.rule(StepName::Retrieve).rounds {
            true => again,
            false => Conclusion {
                then: Then::Park(fault),
                ..again
            },
        }
    }

    fn next_round(&self, event: ExchangeEvent, class: &'static str, fault: Fault, wake_ms: i64) -> Conclusion {
        Conclusion {
            event,
            class,
            fault: Some(fault),
            then: Then::Wait(wake_ms),
            round: self.round + 1,
            failed: 0,
            deadline_ms: wake_ms + self.tables.escalation.automatic_ms,
        }
    }

    fn failed(&self, step: StepName, class: &FailureRule, whose: WhoseFailure, now_ms: i64, unit: f64) -> Conclusion {
        let failed = self.failed + 1;
        let (fault, over, retry_after_ms) = match whose {
            WhoseFailure::Theirs { retry_after_ms } => (Fault::PartnerUnreachable, Fault::AttemptsOver, retry_after_ms),
            WhoseFailure::Ours(fault) => (fault, fault, None),
        };
        if class.follows == Follows::FreshToken && self.was_unauthorized {
            return self.parked(class.code, Fault::PartnerTokenRefused);
        }
        // A refused token is counted by the rule above alone.
        let of_class = FailureRule {
            attempts: if class.follows == Follows::FreshToken {
                u32::MAX
            } else {
                class.attempts
            },
            ..*class
        };
        match retry::next_attempt_ms(self.tables.rule(step), &of_class, failed, retry_after_ms, unit) {
            None if retry_after_ms.is_some_and(|asked| asked > retry::RETRY_AFTER_MOST_MS) => {
                self.parked(class.code, Fault::WaitTooLong)
            }
            None => self.parked(class.code, over),
            Some(wait_ms) if now_ms + wait_ms > self.deadline_ms => self.parked(class.code, Fault::DeadlineOver),
            Some(wait_ms) => Conclusion {
                then: Then::Wait(now_ms + wait_ms),
                failed,
                ..self.over(ExchangeEvent::AttemptFailed, class.code, fault)
            },
        }
    }

    fn done(&self, gain: &StepGain, lacks_now: bool, now_ms: i64) -> Conclusion {
        use ExchangeEvent as E;
        let same = |event| self.goes_on(event, self.round);
        let spoiled = |quarantined: &[super::steps::Quarantined]| quarantined.iter().any(|one| one.count > 0);
        match (self.at, gain) {
            (StepName::MemberMatch, StepGain::Matched(_)) => self.goes_on(E::MemberMatched, 1),
            (StepName::Retrieve, StepGain::Retrieved { .. }) if lacks_now => same(E::PartlyRetrieved),
            (StepName::Retrieve, StepGain::Retrieved { .. }) => same(E::Retrieved),
            (StepName::Check, StepGain::Checked { quarantined, .. }) if spoiled(quarantined) => same(E::PartlyChecked),
            (StepName::Check, StepGain::Checked { .. }) => same(E::Checked),
            (StepName::Store, StepGain::Stored { .. }) if self.lacks => self.rest(now_ms),
            (StepName::Store, StepGain::Stored { quarantined, .. }) if spoiled(quarantined) => same(E::PartlyStored),
            (StepName::Store, StepGain::Stored { .. }) => same(E::Stored),
            (StepName::Acknowledge, StepGain::Ready) if self.has_quarantine || self.lacks => Conclusion {
                then: Then::Park(self.unfinished()),
                fault: Some(self.unfinished()),
                // What is judged again is another question than what was judged.
                ..self.goes_on(E::PartlyAcknowledged, self.round + 1)
            },
            (StepName::Acknowledge, StepGain::Ready) => Conclusion {
                then: Then::End,
                ..same(E::Acknowledged)
            },
            // A step that says it has done another one's work.
            _ => self.person(Fault::Internal),
        }
    }

    /// What came is stored; the rest is asked for later, or an operator looks.
    fn rest(&self, now_ms: i64) -> Conclusion {
        let retrieve = self.tables.rule(StepName::Retrieve);
        let fault = Fault::RestNotGiven;
        match retry::next_round_ms(retrieve, self.round, None) {
            Some(wait_ms) => Conclusion {
                class: OK,
                ..self.next_round(ExchangeEvent::RestAwaited, OK, fault, now_ms + wait_ms)
            },
            None => Conclusion {
                then: Then::Park(fault),
                ..self.over(ExchangeEvent::RestAwaited, OK, fault)
            },
        }
    }
}

/// Time before a step is run again whose result was lost, milliseconds.
const BACK_MS: i64 = 60_000;

#[cfg(test)]
mod tests;
