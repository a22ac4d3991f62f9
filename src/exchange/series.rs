//! Asking a partner again after an exchange: each quarter while cover is concurrent, and a former payer for claims that reached it late. A
//! series is one job at a time, named by what is asked and of whom, so that an exchange that is run again makes no second one.
//!
//! It decides when to ask and whether a series goes on. What an exchange then does is not decided here.

use super::clocks::{quarter_due_ms, run_off_due_ms};
use super::event::ExchangeEvent;
use super::failpoints::BEFORE_COMMIT;
use super::intake;
use super::kind::ASKS_AGAIN;
use super::loaded::LoadedExchange;
use super::phase::{AskedFor, CoverKind, Phase};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, NewJob, Priority, WorkKind, enqueue_or_point};
use crate::records::ingest::is_withdrawn;
use crate::store::{Db, bulk_runs, exchanges};
use std::sync::Arc;
use std::time::Duration;

/// Asks a partner again. Its key names what is asked; its payload is why, and the exchange after which it is asked.
pub static ASK_AGAIN: WorkKind = WorkKind {
    name: ASKS_AGAIN,
    priority: Priority::Last,
    every: None,
    timeout: Duration::from_secs(45),
    renews: false,
    safe_because: "the same question has one live exchange",
};

/// Time until a further exchange that could not be started is tried again, milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;
/// Most exchanges that are followed back to the one that began a series.
const LONGEST: usize = 1_000;

/// Whether a series goes on after one of its exchanges has ended by this event: a partner that refuses once is asked again at the next
/// time. It ends with the opt-in, and when somebody withdraws it; the exchange that takes the place of another one carries it on.
const fn goes_on_after(event: ExchangeEvent) -> bool {
    !matches!(
        event,
        ExchangeEvent::ConsentRefused
            | ExchangeEvent::ConsentExpired
            | ExchangeEvent::ConsentRevoked
            | ExchangeEvent::Cancelled
            | ExchangeEvent::Superseded
    )
}

/// Enqueues the next exchange of the series that an exchange belongs to, or begins one, now that it has ended by `event`. A series begins
/// with an exchange that is complete.
///
/// # Errors
/// Those of the database.
pub(super) fn after_end(
    db: &mut Db,
    ctx: &Context,
    exchange: &LoadedExchange,
    event: ExchangeEvent,
) -> Result<(), Failure> {
    let asked_for = AskedFor::parse(&exchange.ask.asked_for);
    let is_of_series = matches!(asked_for, Some(AskedFor::Quarter | AskedFor::RunOff));
    if event != ExchangeEvent::Acknowledged && !(is_of_series && goes_on_after(event)) {
        return Ok(());
    }
    let zone = ctx.payer.time_zone;
    let next = match CoverKind::parse(&exchange.ask.cover) {
        Some(CoverKind::Concurrent) => Some((AskedFor::Quarter, quarter_due_ms(exchange.row.created_ms, zone))),
        _ => run_off(db, ctx, exchange)?.map(|due_ms| (AskedFor::RunOff, due_ms)),
    };
    let Some((next, due_ms)) = next else { return Ok(()) };
    enqueue_next(db, ctx, exchange, next, due_ms.max(ctx.clock.now_ms()))
}

fn enqueue_next(
    db: &mut Db,
    ctx: &Context,
    exchange: &LoadedExchange,
    next: AskedFor,
    due_ms: i64,
) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let job = NewJob {
        kind: &ASK_AGAIN,
        partner: Some(&exchange.row.partner_id),
        key: &intake::live_key(&intake::again(exchange, next)),
        payload: &format!("{} {}", next.code(), exchange.row.id),
        due_ms,
    };
    enqueue_or_point(db, &ctx.ids.new_id(now_ms), &job, now_ms)
}

/// What is asked next, and after which exchange. A job of an earlier version has the exchange as its key.
fn next_of(key: &str, payload: &str) -> (AskedFor, String) {
    let (code, id) = payload.split_once(' ').unwrap_or((payload, key));
    let next = match code {
        "run-off" => AskedFor::RunOff,
        code => AskedFor::parse(code).unwrap_or(AskedFor::Quarter),
    };
    (next, id.to_owned())
}

/// When the former payer is asked for late claims after this exchange; `None` when the series is over, or when it does not belong to one: a
/// series begins with an enrollment. The days count from the first exchange, however often one of them was run again.
fn run_off(db: &mut Db, ctx: &Context, exchange: &LoadedExchange) -> Result<Option<i64>, Failure> {
    let (mut first, mut ask) = (exchange.row.clone(), exchange.ask.clone());
    for _ in 0..LONGEST {
        let Some(before) = first.run_of.clone() else { break };
        let (Some(earlier), Some(asked)) = (exchanges::find(db, &before)?, exchanges::ask_of(db, &before)?) else {
            return Ok(None);
        };
        (first, ask) = (earlier, asked);
    }
    if ask.asked_for != AskedFor::Enrolment.code() {
        return Ok(None);
    }
    let due_ms = |done| run_off_due_ms(first.created_ms, ask.ends.as_deref(), done, ctx.payer.time_zone);
    // What was due when this one began is done with it.
    Ok((0..).map_while(due_ms).find(|due_ms| *due_ms > exchange.row.created_ms))
}

/// From when on changes are asked for after this exchange, UTC milliseconds: the time of the last record of the series that is stored. `None`
/// for everything.
fn since_ms(db: &mut Db, before: &LoadedExchange) -> Result<Option<i64>, Failure> {
    let (mut last, mut as_of_ms) = (before.clone(), None);
    for _ in 0..LONGEST {
        if last.phase()? == Phase::Completed {
            // What was taken out again leaves nothing of which only the changes could be asked for; nor do changes of it that came since.
            if is_withdrawn(db, &last.row.id)? {
                return Ok(None);
            }
            as_of_ms = as_of_ms.or(last.result.as_of_ms);
            if last.ask.since_ms.is_none() {
                // It brought everything: nothing rests on what was before.
                break;
            }
        }
        let Some(earlier) = last.row.run_of.clone() else { break };
        let Some(earlier) = LoadedExchange::read(db, &earlier)? else {
            break;
        };
        last = earlier;
    }
    Ok(as_of_ms)
}

/// Leaves an exchange with a partner, which was accepted in this transaction, to a bulk run with others of the same name.
pub type Gather = fn(&mut Db, &Context, (&str, &str), &str) -> Result<(), Failure>;

/// The step of [`ASK_AGAIN`].
pub struct AskAgain(pub Gather);

impl JobStep for AskAgain {
    fn kind(&self) -> &'static WorkKind {
        &ASK_AGAIN
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move {
            let ctx = held.ctx().clone();
            let (next, id) = next_of(&held.job().key, &held.job().payload);
            let gather = self.0;
            // With the end of this job, so that the end of the exchange that it starts finds no job of the series.
            Ok(AttemptEnding::done().with(Arc::new(move |db| {
                ask_again(db, &ctx, (&id, next), gather)?;
                failpoint::pass(ASKS_AGAIN, BEFORE_COMMIT);
                Ok(())
            })))
        })
    }
}

/// Starts the next exchange of a series; when that does not work now, it is tried again a day later.
fn ask_again(db: &mut Db, ctx: &Context, (id, next): (&str, AskedFor), gather: Gather) -> Result<(), Failure> {
    let Some(before) = LoadedExchange::read(db, id)? else {
        return Ok(());
    };
    let mut asked = intake::again(&before, next);
    asked.since_ms = since_ms(db, &before)?;
    let failure = match intake::start_in(db, ctx, &asked) {
        // Members who were asked for together are asked for together again.
        Ok(accepted) if accepted.is_new => {
            return match bulk_runs::run_of(db, id)? {
                Some(run) => gather(
                    db,
                    ctx,
                    (&before.row.partner_id, &accepted.exchange_id),
                    &format!("after {run}"),
                ),
                None => Ok(()),
            };
        }
        Ok(_) => return Ok(()),
        Err(failure) => failure,
    };
    match failure.fault() {
        // Neither lasts: the series goes on when it is over.
        Fault::QueueFull | Fault::PartnerStopped | Fault::PartnerHasNoEndpoint => {
            enqueue_next(db, ctx, &before, next, ctx.clock.now_ms() + DAY_MS)
        }
        // An opt-in that is over, or a member or partner that is gone, ends the series.
        fault @ (Fault::OptInOver
        | Fault::OptInRevoked
        | Fault::OptInUnknown
        | Fault::EnrolmentInvalid
        | Fault::MemberUnknown
        | Fault::PartnerUnknown) => {
            tracing::info!(exchange = id, fault = fault.code(), "a further exchange is not started");
            Ok(())
        }
        _ => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_an_earlier_version_are_understood() {
        for (key, payload, wanted) in [
            ("x1", "", (AskedFor::Quarter, "x1")),
            ("x1", "run-off", (AskedFor::RunOff, "x1")),
            ("hash", "quarter x2", (AskedFor::Quarter, "x2")),
            ("hash", "run_off x2", (AskedFor::RunOff, "x2")),
        ] {
            let (next, id) = next_of(key, payload);
            assert_eq!((next, id.as_str()), wanted, "{payload:?}");
        }
    }
}
