//! The spans of an exchange, of its steps and of their attempts. All exchanges with one correlation id are one trace, whose id is made of that
//! id, in whichever process they go on. Spans may be lost, or told twice when a process ends at the wrong moment: the ledger is the record.

use super::conclude::{Conclusion, OK, Position, Then};
use super::event::ExchangeEvent;
use super::loaded::LoadedExchange;
use super::phase::Phase;
use super::steps::StepName;
use crate::context::Context;
use crate::error::Fault;
use crate::jobs::HeldJob;
use crate::store::exchanges::{self, ExchangeRow};
use crate::telemetry::spans::{self, SpanContext, SpanKey, SpanName, SpanNote, SpanRecord, SpanValue};
use tracing::Span;

/// The ids of the span of an exchange; `None` when nothing is traced. Whether it is kept is the same for all that belongs to it.
fn top_of(row: &ExchangeRow) -> Option<SpanContext> {
    let share = spans::share()?;
    Some(SpanContext {
        trace: spans::trace_of(&row.correlation_id),
        span: spans::span_of(&["exchange", row.id.as_str()]),
        is_kept: share.keeps(spans::span_of(&["kept", row.id.as_str()])),
    })
}

/// Tells the span of an exchange that has ended.
pub(super) fn ended(ctx: &Context, exchange: &LoadedExchange) {
    let row = &exchange.row;
    let Some(top) = top_of(row) else { return };
    let started_us = row.created_ms.saturating_mul(1_000);
    let mut record = SpanRecord::new(SpanName::Exchange, top, None, started_us);
    record.ended_us = ctx.clock.now_us().max(started_us);
    record.put(SpanKey::Exchange, SpanValue::id(&row.id));
    record.put(SpanKey::Partner, SpanValue::id(&row.partner_id));
    if let Ok(phase) = exchange.phase() {
        record.put(SpanKey::Outcome, SpanValue::Word(phase.code()));
        record.is_failed = phase == Phase::Failed;
    }
    if let Some(reason) = &row.reason {
        record.put(SpanKey::Fault, SpanValue::id(reason));
    }
    spans::tell(&record);
}

/// An attempt of a step, and what is known of the span of the step.
pub(super) struct TracedAttempt {
    span: Span,
    /// The span of the step; `None` when nothing is traced.
    of_step: Option<SpanRecord>,
    /// The step, when further attempts may belong to it: the exchange is at this step.
    lasting: Option<StepName>,
}

impl TracedAttempt {
    /// Begins the attempt of this number. `is_lasting` is whether the exchange is at this step; others are run anew by each process.
    pub(super) fn begin(held: &HeldJob, row: &ExchangeRow, step: StepName, number: i64, is_lasting: bool) -> Self {
        let span = spans::open(SpanName::Attempt);
        let lasting = is_lasting.then_some(step);
        let Some(top) = top_of(row) else {
            return TracedAttempt {
                span,
                of_step: None,
                lasting,
            };
        };
        let which = match is_lasting {
            true => format!("round {}", row.round),
            false => format!("attempt {number}"),
        };
        let own = SpanContext {
            span: spans::span_of(&["step", row.id.as_str(), step.code(), which.as_str()]),
            ..top
        };
        spans::move_below(&span, own);
        let mut of_step = SpanRecord::new(SpanName::Step, own, Some(top.span), held.ctx().clock.now_us());
        let said = [
            (SpanKey::Exchange, SpanValue::id(&row.id)),
            (SpanKey::Partner, SpanValue::id(&row.partner_id)),
            (SpanKey::Step, SpanValue::Word(step.code())),
            (SpanKey::Round, SpanValue::Count(row.round)),
        ];
        for (key, value) in said {
            spans::put(&span, key, value.clone());
            of_step.put(key, value);
        }
        spans::put(&span, SpanKey::Attempt, SpanValue::Count(number));
        TracedAttempt {
            span,
            of_step: Some(of_step),
            lasting,
        }
    }

    /// The span of the attempt.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// The step that this attempt was for is done, and another one follows at once.
    pub(super) fn done(self, held: &HeldJob) {
        spans::put(&self.span, SpanKey::Class, OK);
        self.tell(held, OK, None, None);
    }

    /// The attempt ended, and this follows; `here` is where the exchange was.
    pub(super) async fn concluded(self, held: &HeldJob, exchange_id: &str, here: &Position, conclusion: &Conclusion) {
        if self.of_step.is_none() {
            return;
        }
        spans::put(&self.span, SpanKey::Class, conclusion.class);
        if let Some(fault) = conclusion.fault {
            spans::put(&self.span, SpanKey::Fault, fault.code());
            spans::fail(&self.span);
        }
        self.note(held, conclusion);
        if self.lasting.is_some() && is_tried_again(here, conclusion) {
            return;
        }
        let began_ms = match self.lasting {
            Some(step) if self.is_kept() => {
                let (id, round) = (exchange_id.to_owned(), i64::from(here.round));
                let first = held
                    .ctx()
                    .store
                    .read(move |db| exchanges::step_began(db, &id, step.code(), round));
                first.await.ok().flatten()
            }
            _ => None,
        };
        self.tell(held, conclusion.class, conclusion.fault, began_ms);
    }

    fn is_kept(&self) -> bool {
        self.of_step.as_ref().is_some_and(|record| record.context.is_kept)
    }

    /// Notes in the span of the attempt how the exchange goes on after it.
    fn note(&self, held: &HeldJob, conclusion: &Conclusion) {
        let mut attributes = vec![(SpanKey::Class, SpanValue::Word(conclusion.class))];
        match conclusion.then {
            Then::Wait(wake_ms) => {
                let wait_ms = (wake_ms - held.ctx().clock.now_ms()).max(0);
                attributes.push((SpanKey::WaitMs, SpanValue::Count(wait_ms)));
                spans::note_in(&self.span, SpanNote::Retry, attributes);
            }
            Then::Park(fault) => {
                attributes.push((SpanKey::Fault, SpanValue::Word(fault.code())));
                spans::note_in(&self.span, SpanNote::Parked, attributes);
            }
            Then::GoOn | Then::Review | Then::End => {}
        }
    }

    /// Tells the span of the step, which has ended with this class. `began_ms`: when its first attempt began, UTC milliseconds.
    fn tell(self, held: &HeldJob, class: &'static str, fault: Option<Fault>, began_ms: Option<i64>) {
        let Some(mut record) = self.of_step else { return };
        let now_us = held.ctx().clock.now_us();
        if let Some(began_ms) = began_ms {
            record.started_us = record.started_us.min(began_ms.saturating_mul(1_000));
        }
        record.ended_us = now_us.max(record.started_us);
        record.put(SpanKey::Class, SpanValue::Word(class));
        if let Some(fault) = fault {
            record.put(SpanKey::Fault, SpanValue::Word(fault.code()));
            record.is_failed = true;
        }
        spans::tell(&record);
    }
}

/// Whether more attempts of the step that the exchange is at belong to the round that `here` is in.
fn is_tried_again(here: &Position, conclusion: &Conclusion) -> bool {
    let waits = matches!(conclusion.then, Then::Wait(_)) && conclusion.round == here.round;
    waits || conclusion.event == ExchangeEvent::WentOn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_ends_when_its_round_does() {
        let here = Position {
            phase: Phase::Requested,
            at: StepName::MemberMatch,
            round: 2,
            failed: 1,
            deadline_ms: 1_000,
            lacks: false,
            has_quarantine: false,
            was_unauthorized: false,
        };
        let parked = here.parked("failed", Fault::PartnerUnreachable);
        let waits = Conclusion {
            event: ExchangeEvent::AttemptFailed,
            then: Then::Wait(7),
            ..parked
        };
        let later = Conclusion { round: 3, ..waits };
        let more = Conclusion {
            event: ExchangeEvent::WentOn,
            then: Then::GoOn,
            ..parked
        };
        for (conclusion, again) in [(waits, true), (more, true), (later, false), (parked, false)] {
            assert_eq!(is_tried_again(&here, &conclusion), again, "{conclusion:?}");
        }
    }
}
