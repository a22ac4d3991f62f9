//! The engine: one job for each live exchange. It begins a step, lets the session do it, and records what follows, until the exchange
//! waits, is parked or has ended.
//!
//! The result of a step and the begin of the next one are one transaction. A crash between them leaves an attempt without an end; the step
//! is then run again with the same key.

use super::begin::{BeginStep, BegunStep, ReadySteps, begin};
use super::change::ExchangeChange;
use super::conclude::{Conclusion, OK, OWN_TROUBLE, Position, Then};
use super::failpoints::{AFTER_EFFECT, BEFORE_BEGIN, BEFORE_EFFECT, BEGUN};
use super::kind::EXCHANGE;
use super::loaded::{Circumstances, LoadedExchange};
use super::moves::allowed;
use super::permit::{self, CallTerms, PermitTerms};
use super::phase::Phase;
use super::retry;
use super::steps::{CallNotes, PartnerSession, PartnerSessions, StepEnd, StepName, StepReport};
use super::traced::TracedAttempt;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::jobs::{AttemptEnding, Chance, Doing, HeldJob, JobStep, WorkKind};
use crate::store::exchanges::{self, AttemptEnd};
use crate::telemetry::metrics as families;
use crate::telemetry::spans::{self, SpanNote};
use std::sync::Arc;
use std::time::Duration;
use tracing::{Instrument as _, Span};

/// Runs exchanges.
pub struct ExchangeWork {
    sessions: Arc<dyn PartnerSessions>,
    chance: Chance,
    longest: Duration,
}

impl ExchangeWork {
    /// The step of the runner, with these sessions.
    pub fn step(sessions: Arc<dyn PartnerSessions>, chance: Chance) -> Arc<dyn JobStep> {
        ExchangeWork::step_within(sessions, chance, Duration::MAX)
    }

    /// The same where no step may take longer than this, whatever the table of steps allows it.
    pub fn step_within(sessions: Arc<dyn PartnerSessions>, chance: Chance, longest: Duration) -> Arc<dyn JobStep> {
        Arc::new(ExchangeWork {
            sessions,
            chance,
            longest,
        })
    }
}

impl JobStep for ExchangeWork {
    fn kind(&self) -> &'static WorkKind {
        &EXCHANGE
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move { self.work(&held).await })
    }
}

/// What a session has done already.
#[derive(Default)]
struct Opened {
    session: Option<Box<dyn PartnerSession>>,
    ready: ReadySteps,
}

impl ExchangeWork {
    async fn work(&self, held: &HeldJob) -> Result<AttemptEnding, Failure> {
        let ctx = held.ctx();
        let id = held.job().key.clone();
        let Some(mut exchange) = ctx.store.read(move |db| LoadedExchange::read(db, &id)).await? else {
            return Ok(AttemptEnding::done());
        };
        if !is_awake(&exchange)? {
            return Ok(AttemptEnding::done());
        }
        let mut opened = Opened::default();
        let mut change: Option<ExchangeChange> = None;
        loop {
            let begun = self.begin(held, exchange, change.take(), &opened.ready).await?;
            let begun = match begun {
                BeginStep::Begun(begun) => begun,
                BeginStep::Refused(exchange, conclusion) => {
                    let refused = ExchangeChange {
                        unit: self.chance.unit(),
                        ..ExchangeChange::of(conclusion)
                    };
                    return Ok(ending(ctx, *exchange, refused));
                }
            };
            let made = self.run_steps(held, &mut opened, &begun).await?;
            exchange = begun.exchange;
            if made.conclusion.then != Then::GoOn {
                return Ok(ending(ctx, exchange, made));
            }
            change = Some(made);
        }
    }

    /// Records what the last step brought, and begins the next one, in one transaction.
    async fn begin(
        &self,
        held: &HeldJob,
        exchange: LoadedExchange,
        change: Option<ExchangeChange>,
        ready: &ReadySteps,
    ) -> Result<BeginStep, Failure> {
        let (ctx, ready, unit, own) = (held.ctx().clone(), ready.clone(), self.chance.unit(), held.clone());
        let begun = held
            .write(move |db| {
                let now = match &change {
                    Some(change) => change.apply(db, &ctx, &exchange)?,
                    None => exchange.clone(),
                };
                let begun = begin(db, &ctx, &now, &ready, unit)?;
                if change.is_some() {
                    own.got_on(db)?;
                }
                failpoint::pass(begun.step(), BEFORE_BEGIN);
                Ok(begun)
            })
            .await?;
        failpoint::pass(begun.step(), BEGUN);
        Ok(begun)
    }

    /// Runs the steps that have begun, up to the first that is not done.
    async fn run_steps(
        &self,
        held: &HeldJob,
        opened: &mut Opened,
        begun: &BegunStep,
    ) -> Result<ExchangeChange, Failure> {
        let (exchange, around) = (&begun.exchange, &begun.around);
        if opened.ready.version != around.partner.version {
            // The registration was changed: addresses, keys and tokens are those of the new one.
            *opened = Opened::default();
            opened.ready.version = around.partner.version;
        }
        let here = exchange.position()?;
        let unit = self.chance.unit();
        let mut ended: Vec<(i64, AttemptEnd)> = Vec::new();
        let mut heard = false;
        for (step, number) in &begun.steps {
            let started_ms = held.ctx().clock.now_ms();
            let traced = TracedAttempt::begin(held, &exchange.row, *step, *number, *step == here.at);
            let is_first = begun.steps.first().is_some_and(|(_, first)| first == number);
            let refused = match step.moves_data() && !is_first {
                true => still_permitted(held, exchange, around).await?,
                false => None,
            };
            let report = match refused {
                // The next attempt begins with the registration as it is then.
                Some(fault @ Fault::PartnerMoved) => Some(StepReport::of(StepEnd::OwnTrouble { fault })),
                Some(fault) => Some(StepReport::of(StepEnd::NotPermitted { fault })),
                None => self.run_step(held, opened, begun, *step, traced.span()).await?,
            };
            let now_ms = held.ctx().clock.now_ms();
            let is_needed_only = *step != here.at;
            if is_needed_only
                && matches!(
                    report,
                    Some(StepReport {
                        end: StepEnd::Done(_),
                        ..
                    })
                )
            {
                opened.ready.steps.push(*step);
                let call = report.as_ref().map(|report| &report.call);
                heard |= call.is_some_and(|call| call.http_status.is_some());
                traced.done(held);
                ended.push((*number, attempt_end(started_ms, now_ms, OK, None, call)));
                continue;
            }
            let attempt = here.failed + 1;
            // A token with which something came was a good one, and attempts that bring something are none in vain.
            let has_progress = report.as_ref().is_some_and(|report| report.has_progress);
            let here = Position {
                was_unauthorized: here.was_unauthorized && !has_progress,
                failed: if has_progress { 0 } else { here.failed },
                ..here
            };
            let mut conclusion = match &report {
                Some(report) => here.under(&exchange.tables).conclude(*step, &report.end, now_ms, unit),
                None => here.under(&exchange.tables).timed_out(*step, now_ms, unit),
            };
            if allowed(here.phase, here.at, conclusion.event).is_none() {
                // The step said something that has no meaning where the exchange is, which is no fault of the partner.
                conclusion = here.parked(OWN_TROUBLE, Fault::Internal);
            }
            traced.concluded(held, &exchange.row.id, &here, &conclusion).await;
            let call = report.as_ref().map(|report| &report.call);
            ended.push((
                *number,
                attempt_end(started_ms, now_ms, conclusion.class, conclusion.fault, call),
            ));
            let later = begun.steps.iter().filter(|(_, other)| other > number);
            ended.extend(later.map(|(_, other)| (*other, attempt_end(now_ms, now_ms, NOT_REACHED, None, None))));
            let mut made = change(*step, attempt, conclusion, report, ended, heard);
            made.unit = unit;
            return Ok(made);
        }
        // The last step is the one that the exchange is at, so the loop has returned.
        Err(Failure::new(Fault::Internal).because("an exchange without a step"))
    }

    /// One step within its time; `None` when the time is over.
    async fn run_step(
        &self,
        held: &HeldJob,
        opened: &mut Opened,
        begun: &BegunStep,
        step: StepName,
        span: &Span,
    ) -> Result<Option<StepReport>, Failure> {
        let (exchange, around) = (&begun.exchange, &begun.around);
        let facts = exchange.facts(step, around)?;
        let session = opened.session.get_or_insert_with(|| self.sessions.open(&facts));
        let time = Duration::from_millis(exchange.tables.rule(step).timeout_ms).min(self.longest);
        failpoint::pass(step.code(), BEFORE_EFFECT);
        let work = session.run(step, &facts, held).instrument(span.clone());
        let went = tokio::time::timeout(time, work).await;
        if went.is_err() {
            spans::note_in(span, SpanNote::Timeout, Vec::new());
        }
        let report = match went {
            Ok(report) => Some(report),
            // What came before the time was over is kept: the next attempt goes on from there, and nobody is blamed.
            Err(_) if session.has_progress() => Some(StepReport {
                has_progress: true,
                ..StepReport::of(StepEnd::More)
            }),
            Err(_) => None,
        };
        failpoint::pass(step.code(), AFTER_EFFECT);
        Ok(report)
    }
}

/// Judges again what permits the exchange, right before data moves: the steps before this one took their time. Returns why it is not permitted
/// any more.
async fn still_permitted(
    held: &HeldJob,
    exchange: &LoadedExchange,
    around: &Circumstances,
) -> Result<Option<Fault>, Failure> {
    let ctx = held.ctx();
    let (id, version, now_ms) = (exchange.row.id.clone(), exchange.row.version, ctx.clock.now_ms());
    let call = CallTerms {
        terms: PermitTerms {
            opt_in_id: around.opt_in.id.clone(),
            member_id: exchange.row.member_id.clone().unwrap_or_default(),
            partner_id: exchange.row.partner_id.clone(),
        },
        asked_at: around.address(),
    };
    let judged = ctx.store.read(move |db| {
        let is_same = exchanges::find(db, &id)?.is_some_and(|row| row.version == version);
        if !is_same {
            return Err(Fault::LeaseLost.into());
        }
        permit::demand_at(db, &call, now_ms)
    });
    match judged.await {
        Ok(()) => Ok(None),
        Err(failure) => match failure.fault() {
            fault @ (Fault::OptInRevoked | Fault::OptInOver | Fault::PartnerStopped | Fault::PartnerMoved) => {
                Ok(Some(fault))
            }
            _ => Err(failure),
        },
    }
}

/// The class of an attempt that had begun only because a step before it was expected to succeed.
const NOT_REACHED: &str = "not-reached";

/// Whether the program has to work on the exchange.
pub(super) fn is_awake(exchange: &LoadedExchange) -> Result<bool, Failure> {
    let phase = exchange.phase()?;
    Ok(!phase.is_terminal() && phase != Phase::ManualReview && exchange.row.parked_at_ms.is_none())
}

fn change(
    step: StepName,
    attempt: u32,
    conclusion: Conclusion,
    report: Option<StepReport>,
    attempts: Vec<(i64, AttemptEnd)>,
    heard: bool,
) -> ExchangeChange {
    let status = report.as_ref().and_then(|report| report.call.http_status);
    let heard = heard || status.is_some();
    let server_answered = server_answered(step, conclusion.class, heard);
    let mut made = ExchangeChange {
        attempts,
        step: Some((step.code(), attempt)),
        server_answered,
        asked_nothing: step.calls() && !heard && server_answered.is_none(),
        ..ExchangeChange::of(conclusion)
    };
    let Some(report) = report else { return made };
    if matches!(report.end, StepEnd::NotPermitted { .. }) {
        // It says nothing of the partner's server.
        made.server_answered = None;
    }
    if report.has_progress {
        made.server_answered = Some(true);
    }
    made.http_status = report.call.http_status;
    made.partner_checkpoint = report.call.checkpoint;
    made.with = report.with;
    match report.end {
        StepEnd::Done(gain) => {
            if step == StepName::Retrieve {
                made.missing = Some(Vec::new());
            }
            made.gain = Some(gain);
        }
        StepEnd::Partial { gain, missing } => {
            made.missing = Some(missing);
            made.gain = Some(gain);
        }
        StepEnd::Transport { resume, .. } => made.resume = resume,
        _ => {}
    }
    made
}

/// What the end of a step says of the partner's server, from which an answer was heard or not; `None` without an answer and without blame: the
/// step did not call, or did not come so far.
fn server_answered(step: StepName, class: &str, heard: bool) -> Option<bool> {
    if !step.calls() || class == OWN_TROUBLE {
        return None;
    }
    match retry::class(class).is_some_and(|class| class.blames_server) {
        true => Some(false),
        false => heard.then_some(true),
    }
}

pub(super) fn attempt_end(
    started_ms: i64,
    ended_ms: i64,
    class: &'static str,
    fault: Option<Fault>,
    call: Option<&CallNotes>,
) -> AttemptEnd {
    if class != NOT_REACHED {
        metrics::counter!(families::EXCHANGE_STEPS, "class" => class).increment(1);
    }
    AttemptEnd {
        started_ms,
        ended_ms: Some(ended_ms),
        class: Some(class.to_owned()),
        fault: fault.map(|fault| fault.code().to_owned()),
        http_status: call.and_then(|call| call.http_status).map(i64::from),
        partner_request_id: call.and_then(|call| call.partner_request_id.clone()),
        request_digest: call.and_then(|call| call.request_digest).map(|digest| digest.to_vec()),
        response_digest: call.and_then(|call| call.response_digest).map(|digest| digest.to_vec()),
        bytes: call.map_or(0, |call| i64::try_from(call.bytes).unwrap_or(i64::MAX)),
    }
}

/// How the job ends: with the change of the exchange in the same transaction.
fn ending(ctx: &Context, exchange: LoadedExchange, change: ExchangeChange) -> AttemptEnding {
    let then = change.conclusion.then;
    let ctx = ctx.clone();
    let write: crate::jobs::Write = Arc::new(move |db| change.apply(db, &ctx, &exchange).map(drop));
    match then {
        Then::Wait(wake_ms) => AttemptEnding::again(wake_ms).with(write),
        Then::GoOn | Then::Park(_) | Then::Review | Then::End => AttemptEnding::done().with(write),
    }
}

#[cfg(test)]
mod tests {
    use super::super::steps::StepGain;
    use super::*;

    #[test]
    fn only_an_answer_of_the_partner_says_that_its_server_answers() {
        let said = server_answered;
        assert_eq!(said(StepName::Acknowledge, OK, false), None, "it made no call");
        assert_eq!(said(StepName::Retrieve, OK, false), None, "all of it had come before");
        assert_eq!(said(StepName::Acknowledge, OK, true), Some(true));
        assert_eq!(said(StepName::MemberMatch, "refused", true), Some(true));
        assert_eq!(
            said(StepName::MemberMatch, "person", false),
            None,
            "no handshake, no answer"
        );
        assert_eq!(said(StepName::Retrieve, "not-sent", false), Some(false));
        assert_eq!(said(StepName::Retrieve, "server-fault", true), Some(false));
        assert_eq!(said(StepName::Retrieve, OWN_TROUBLE, true), None);
        assert_eq!(said(StepName::Store, OK, true), None);
    }

    #[test]
    fn an_acknowledgement_without_a_call_leaves_the_breaker_as_it_is() {
        let here = Position {
            phase: Phase::Matched,
            at: StepName::Acknowledge,
            round: 1,
            failed: 0,
            deadline_ms: i64::MAX,
            lacks: false,
            has_quarantine: false,
            was_unauthorized: false,
        };
        let end = StepEnd::Done(StepGain::Ready);
        let concluded = here
            .under(super::super::tables::BUILT_IN)
            .conclude(StepName::Acknowledge, &end, 0, 0.5);
        let made = |heard| {
            let report = Some(StepReport::of(end.clone()));
            change(StepName::Acknowledge, 1, concluded, report, Vec::new(), heard)
        };
        let (silent, after_token) = (made(false), made(true));
        assert_eq!((silent.server_answered, silent.asked_nothing), (None, true));
        assert_eq!(
            (after_token.server_answered, after_token.asked_nothing),
            (Some(true), false)
        );
    }
}
