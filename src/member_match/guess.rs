//! Writes a match after the guessing guard (HRex mm-7) has weighed it.
//!
//! The guard's counts depend only on the request and on this partner's earlier answers, with one exception: the count of the record that a
//! guess came near. That count can only turn an answer into "no unique member".

use super::arrival::Arrival;
use super::rows;
use crate::audit::{Action, EntryOutcome, LedgerEvent, Object, ledger};
use crate::context::Payer;
use crate::error::{Failure, Fault};
use crate::ids::Ids;
pub(super) use crate::store::guesses::Gate;
use crate::store::guesses::{self, Alarm, Guess, GuessLimits, GuessVerdict};
use crate::store::matching::{self, MatchRecord};
use crate::store::{Db, sqlstate};
use std::sync::Arc;

/// A match that is ready to be written. Several of them may share a transaction.
struct Write {
    guess: Guess,
    record: MatchRecord,
    /// The entry for the case that the guard refuses the request, without an outcome.
    refused: LedgerEvent,
    limits: GuessLimits,
    ids: Ids,
    payer: Arc<Payer>,
}

impl Write {
    /// Weighs the guess and writes either the match or the refusal that replaces it, in the caller's transaction.
    fn run(&self, db: &mut Db) -> Result<GuessVerdict, Failure> {
        let now_ms = self.guess.now_ms;
        let append =
            |db: &mut Db, entry: &LedgerEvent| ledger::append(db, entry, &self.ids.new_id(now_ms), now_ms * 1000);
        let verdict = guesses::weigh(db, &self.guess, &self.limits)?;
        match verdict.gate {
            Gate::Open => matching::record(db, &self.record)?,
            Gate::Silent => {
                let silent = rows::silenced(&self.record, self.refused.clone(), &self.payer.base_url)?;
                matching::record(db, &silent)?;
            }
            Gate::Shut(_) => append(db, &turned_away(&self.refused))?,
        }
        for alarm in &verdict.alarms {
            append(db, &raised(&self.refused, *alarm))?;
        }
        Ok(verdict)
    }
}

/// Weighs the guess and writes either the match or the refusal that replaces it, in one transaction.
///
/// # Errors
/// As [`matching::record`].
pub(super) async fn write(arrival: &Arrival<'_>, guess: Guess, record: MatchRecord) -> Result<Gate, Failure> {
    let ctx = arrival.ctx;
    let write = Arc::new(Write {
        guess,
        record,
        refused: arrival.entry(Action::MatchRefused),
        limits: ctx.guard.limits,
        ids: ctx.ids.clone(),
        payer: Arc::clone(&ctx.payer),
    });
    if ctx.store.takes_single_statements() && matching::is_plain(&write.guess, &write.record) {
        let own = Arc::clone(&write);
        let work = move |db: &mut Db| matching::grant_at_once(db, &own.guess, &own.limits, &own.record);
        match ctx.store.write_single(work).await {
            Ok(true) => return Ok(Gate::Open),
            // This match needs a transaction of its own, or the database rolled the shared one back because of another match in it.
            Ok(false) => {}
            Err(failure) if sqlstate::is_repeated(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    let verdict = ctx.store.write(move |db| write.run(db)).await?;
    let caller = arrival.caller;
    for alarm in verdict.alarms {
        metrics::counter!("causeway_guess_alarms_total", "kind" => alarm.code()).increment(1);
        tracing::warn!(
            alarm = alarm.code(),
            partner.id = caller.partner.id,
            correlation.id = caller.correlation.correlation_id,
            "a partner's member matches look like guessing"
        );
    }
    if matches!(verdict.gate, Gate::Shut(_)) {
        metrics::counter!("causeway_guesses_turned_away_total").increment(1);
    }
    Ok(verdict.gate)
}

/// 429 with the seconds until `until_ms` (UTC milliseconds) as Retry-After. The answer depends on no member.
pub(super) fn must_wait(until_ms: i64, now_ms: i64) -> Failure {
    let seconds = (until_ms - now_ms).max(0) / 1000 + 1;
    Failure::new(Fault::MatchLocked)
        .retry_after_s(u32::try_from(seconds).unwrap_or(u32::MAX))
        .noted()
}

fn turned_away(entry: &LedgerEvent) -> LedgerEvent {
    let row = Fault::MatchLocked.row();
    LedgerEvent {
        outcome: EntryOutcome {
            class: "refused",
            http: Some(row.http),
            reason: Some(row.code),
        },
        ..entry.clone()
    }
}

fn raised(entry: &LedgerEvent, alarm: Alarm) -> LedgerEvent {
    let action = if alarm == Alarm::Locked {
        Action::PartnerLocked
    } else {
        Action::GuessAlarmed
    };
    LedgerEvent {
        action,
        object: Some(Object {
            kind: "alarm",
            id: alarm.code().to_owned(),
        }),
        outcome: EntryOutcome {
            class: "refused",
            http: None,
            reason: Some(Fault::MatchLocked.code()),
        },
        ..entry.clone()
    }
}

#[cfg(test)]
#[path = "guess_tests.rs"]
mod tests;
