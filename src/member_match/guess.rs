//! Writes a match after the guessing guard (HRex mm-7) has weighed it.
//!
//! The guard's counts depend only on the request and on this partner's earlier answers, with one exception: the count of the record that a
//! guess came near. That count can only turn an answer into "no unique member".

use super::arrival::{Arrival, cited_texts, ledger_row, refuse};
use crate::audit::{Action, EntryOutcome, LedgerEvent, Object, ledger};
use crate::context::Payer;
use crate::error::{Failure, Fault};
use crate::fhir::outcome;
use crate::ids::Ids;
use crate::security::Caller;
use crate::store::guesses::{self, Alarm, Gate, Guess, GuessLimits, GuessVerdict};
use crate::store::idempotency::StoredReply;
use crate::store::matching::{self, DecisionRow, MatchRecord};
use crate::store::{Db, sqlstate};
use crate::telemetry::spans::{self, SpanNote};
use std::sync::Arc;

/// The outcome code of a decision that the guessing guard hides from the partner.
const GUARDED: &str = "guarded";

/// A match that is ready to be written. Several of them may share a transaction.
pub(super) struct WeighedMatch {
    guess: Guess,
    record: MatchRecord,
    /// The entry for the case that the guard refuses the request, without an outcome.
    refused: LedgerEvent,
    limits: GuessLimits,
    ids: Ids,
    payer: Arc<Payer>,
    /// What the partner is told besides the remedies of faults.
    texts: Option<Arc<str>>,
}

impl WeighedMatch {
    pub(super) fn new(arrival: &Arrival<'_>, guess: Guess, record: MatchRecord) -> WeighedMatch {
        let ctx = arrival.ctx;
        WeighedMatch {
            guess,
            record,
            refused: arrival.entry(Action::MatchRefused),
            limits: ctx.guard.limits,
            ids: ctx.ids.clone(),
            payer: Arc::clone(&ctx.payer),
            texts: arrival.caller.partner.error_texts.clone(),
        }
    }

    /// Does [`WeighedMatch::run`] for one of the `members` of a bulk match. The guard turns nobody away there: it hides the answer.
    pub(super) fn run_in_bulk(&self, db: &mut Db, members: i64) -> Result<GuessVerdict, Failure> {
        let verdict = guesses::weigh_in_bulk(db, &self.guess, &self.limits, members)?;
        if verdict.gate == Gate::Open {
            matching::record(db, &self.record)?;
        } else {
            let hidden = silenced(
                &self.record,
                self.refused.clone(),
                (&self.payer.base_url, self.texts.as_deref()),
            )?;
            matching::record(db, &hidden)?;
        }
        for alarm in &verdict.alarms {
            let (now_ms, entry) = (self.guess.now_ms, raised(&self.refused, *alarm));
            ledger::append(db, &entry, &self.ids.new_id(now_ms), now_ms * 1000)?;
        }
        Ok(verdict)
    }

    /// Weighs the guess and writes either the match or the refusal that replaces it, in the caller's transaction.
    fn run(&self, db: &mut Db) -> Result<GuessVerdict, Failure> {
        let now_ms = self.guess.now_ms;
        let append =
            |db: &mut Db, entry: &LedgerEvent| ledger::append(db, entry, &self.ids.new_id(now_ms), now_ms * 1000);
        let verdict = guesses::weigh(db, &self.guess, &self.limits)?;
        match verdict.gate {
            Gate::Open => matching::record(db, &self.record)?,
            Gate::Silent => {
                let silent = silenced(
                    &self.record,
                    self.refused.clone(),
                    (&self.payer.base_url, self.texts.as_deref()),
                )?;
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
/// [`Fault::NoUniqueMember`] when the guard hides the answer; [`Fault::MatchLocked`] when it turns the partner away; those of
/// [`matching::record`].
pub(super) async fn write(arrival: &Arrival<'_>, guess: Guess, record: MatchRecord) -> Result<(), Failure> {
    let ctx = arrival.ctx;
    let write = Arc::new(WeighedMatch::new(arrival, guess, record));
    if ctx.store.takes_single_statements() && matching::is_plain(&write.guess, &write.record) {
        let own = Arc::clone(&write);
        let work = move |db: &mut Db| matching::grant_at_once(db, &own.guess, &own.limits, &own.record);
        match ctx.store.write_single(work).await {
            Ok(true) => return Ok(()),
            // This match needs a transaction of its own, or the database rolled the shared one back because of another match in it.
            Ok(false) => {}
            Err(failure) if sqlstate::is_repeated(&failure) => {}
            Err(failure) => return Err(failure),
        }
        spans::note(SpanNote::Fallback, Vec::new());
    }
    let verdict = ctx.store.write(move |db| write.run(db)).await?;
    tell(arrival.caller, &verdict.alarms);
    match verdict.gate {
        Gate::Open => Ok(()),
        Gate::Silent => Err(Failure::new(Fault::NoUniqueMember).noted()),
        Gate::Shut(until_ms) => {
            metrics::counter!("causeway_guesses_turned_away_total").increment(1);
            Err(must_wait(until_ms, arrival.now_ms()))
        }
    }
}

/// Tells operators about alarms that were raised.
pub(super) fn tell(caller: &Caller, alarms: &[Alarm]) {
    for alarm in alarms {
        metrics::counter!("causeway_guess_alarms_total", "kind" => alarm.code()).increment(1);
        tracing::warn!(
            alarm = alarm.code(),
            partner.id = caller.partner.id,
            correlation.id = caller.correlation.correlation_id,
            "a partner's member matches look like guessing"
        );
    }
}

/// 429 with the seconds until `until_ms` (UTC milliseconds) as Retry-After. The answer depends on no member.
fn must_wait(until_ms: i64, now_ms: i64) -> Failure {
    let seconds = (until_ms - now_ms).max(0) / 1000 + 1;
    Failure::new(Fault::MatchLocked)
        .retry_after_s(u32::try_from(seconds).unwrap_or(u32::MAX))
        .noted()
}

/// The rows of the refusal that replaces an answer which the guessing guard hides. The partner gets the same answer as for no member.
/// `entry` is the entry of this refusal, without an outcome.
///
/// # Errors
/// [`Fault::Internal`] when `hidden` lacks its decision or its two ledger entries.
fn silenced(
    hidden: &MatchRecord,
    mut entry: LedgerEvent,
    (base_url, texts): (&str, Option<&str>),
) -> Result<MatchRecord, Failure> {
    let (Some(decision), [begun, decided]) = (&hidden.decision, hidden.ledger.as_slice()) else {
        return Err(Failure::new(Fault::Internal).because("what the guard hides has no decision"));
    };
    let fault = Fault::NoUniqueMember;
    let body = outcome::bytes_with(&Failure::new(fault), base_url, texts);
    refuse(&mut entry, fault, &body);
    entry.tables.extend(cited_texts(texts, fault));
    entry.policy_version = Some(decision.policy_version.clone());
    entry.decided = Some(decision.detail.clone());
    let reply = hidden.reply.clone().map(|reply| StoredReply {
        status: fault.row().http,
        body,
        ..reply
    });
    Ok(MatchRecord {
        decision: Some(DecisionRow {
            outcome: GUARDED,
            reason: Some(fault.row().code),
            patient_id: None,
            consent_id: None,
            grant_id: None,
            ..decision.clone()
        }),
        ledger: vec![begun.clone(), ledger_row(&entry, decided.id.clone(), decided.at_us)],
        reply,
        ..MatchRecord::default()
    })
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

pub(super) fn raised(entry: &LedgerEvent, alarm: Alarm) -> LedgerEvent {
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
