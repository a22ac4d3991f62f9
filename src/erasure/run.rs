//! Begins an erasure and brings it to its end. Whoever gives the command again, after a crash or while it runs, brings the same erasure to
//! its end.

use super::kind::ERASE;
use super::leave::{ErasureLeave, may_be_erased};
use super::report::{ErasureReport, counts_of, kept_backups, plan};
use super::steps;
use super::words::{ErasureReason, LegalBasis};
use crate::bulk::files::BulkFiles;
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::jobs::{self, NewJob};
use crate::keeping::Periods;
use crate::retention::{hold, in_force};
use crate::store::erasures::{self, ErasureRow};
use crate::store::{Db, entries, erased_entries, erased_record};
use std::sync::Arc;

/// When the job looks after an erasure that a command began, milliseconds: a command takes longer only with a very large store.
const LATER_MS: i64 = 5 * 60_000;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ErasureWish {
    /// Id of the Patient.
    pub patient_id: String,
    /// Why.
    pub reason: ErasureReason,
    /// Under which law, inside the time for which records must be kept.
    pub legal_basis: Option<LegalBasis>,
    /// Whether the record goes too.
    pub with_record: bool,
    /// Who asks for it.
    pub operator: String,
}

/// Erases a member, and waits until it is done. With `dry_run` it only tells what there is, with the same refusals. Blocks this thread.
///
/// # Errors
/// [`Fault::MemberUnknown`]; [`Fault::ErasureKept`], [`Fault::ErasureHeld`], [`Fault::ErasureWaits`]; [`Fault::SealKeys`] when the file of
/// members' keys is missing, or lacks a key of the member; [`Fault::StoreBusy`] or [`Fault::NoRoom`] when the files of the database could
/// not be cleaned yet: then the command is given again; those of the store.
pub fn erase(ctx: &Context, files: &BulkFiles, wish: &ErasureWish, dry_run: bool) -> Result<ErasureReport, Failure> {
    let patient = wish.patient_id.as_str();
    let now_ms = ctx.clock.now_ms();
    steps::demand_keys(ctx, patient)?;
    if dry_run {
        return ctx.store.read_blocking(|db| {
            let leave = demand(db, wish, &ctx.keeping, now_ms)?;
            Ok(ErasureReport {
                id: None,
                ledger_entry: None,
                dry_run: true,
                with_record: wish.with_record,
                reason: wish.reason.code().to_owned(),
                legal_basis: wish.legal_basis.map(|basis| basis.code().to_owned()),
                kept_until: until(leave),
                counts: plan(db, patient, wish.with_record)?,
                backups: kept_backups(db, now_ms)?,
            })
        });
    }
    for id in ctx.store.read_blocking(erasures::unclean)? {
        end(ctx, files, &id)?;
    }
    if let Some(before) = ctx.store.read_blocking(|db| erasures::of_member(db, patient))? {
        end(ctx, files, &before.id)?;
        if before.with_record == 1 || !wish.with_record {
            return report(ctx, &before.id, None);
        }
    }
    let (id, leave) = begin(ctx, wish)?;
    end(ctx, files, &id)?;
    report(ctx, &id, until(leave))
}

fn until(leave: ErasureLeave) -> Option<String> {
    match leave {
        ErasureLeave::Kept { until_ms } => Some(rfc3339_ms(until_ms)),
        ErasureLeave::Free | ErasureLeave::Held => None,
    }
}

/// Refuses what must not be erased.
fn demand(db: &mut Db, wish: &ErasureWish, configured: &Periods, now_ms: i64) -> Result<ErasureLeave, Failure> {
    let patient = wish.patient_id.as_str();
    if !entries::is_member(db, patient)? && !erased_entries::is_known(db, patient)? {
        return Err(Fault::MemberUnknown.into());
    }
    let periods = in_force(db, configured, now_ms)?;
    let leave = may_be_erased(db, patient, &periods, wish.with_record, now_ms)?;
    match leave {
        ErasureLeave::Held => return Err(Fault::ErasureHeld.into()),
        ErasureLeave::Kept { until_ms } if wish.legal_basis.is_none() => {
            let codes: Vec<&str> = LegalBasis::ALL.iter().map(|basis| basis.code()).collect();
            let remedy = format!(
                "Wait until {}, or name the law that demands it: --legal-basis with one of {}.",
                rfc3339_ms(until_ms),
                codes.join(", ")
            );
            return Err(Failure::new(Fault::ErasureKept).remedy(remedy));
        }
        ErasureLeave::Kept { .. } | ErasureLeave::Free => {}
    }
    if wish.with_record {
        let exchanges = erased_record::exchanges(db, patient)?;
        if erased_record::are_in_runs(db, &exchanges)? {
            return Err(Fault::ErasureWaits.into());
        }
    }
    Ok(leave)
}

/// Begins an erasure: from here on it comes to its end, whatever happens to this process. Nobody gets the record of the member any more, if that
/// goes too.
fn begin(ctx: &Context, wish: &ErasureWish) -> Result<(String, ErasureLeave), Failure> {
    let now_ms = ctx.clock.now_ms();
    let [id, entry_id, job_id] = [(); 3].map(|()| ctx.ids.new_id(now_ms));
    let (own, wish, periods) = (id.clone(), wish.clone(), Arc::clone(&ctx.keeping));
    let leave = ctx.store.write_blocking(move |db| {
        // No erasure that looked before a hold was there begins after it.
        hold::lock(db)?;
        let leave = demand(db, &wish, &periods, now_ms)?;
        let counts = plan(db, &wish.patient_id, wish.with_record)?;
        let row = ErasureRow {
            id: own.clone(),
            patient_id: Some(wish.patient_id.clone()),
            with_record: i64::from(wish.with_record),
            reason: wish.reason.code().to_owned(),
            legal_basis: wish.legal_basis.map(|basis| basis.code().to_owned()),
            operator: wish.operator.clone(),
            state: erasures::RUNNING.to_owned(),
            entry_id: entry_id.clone(),
            counts: serde_json::to_string(&counts).map_err(|error| Failure::new(Fault::Internal).because(error))?,
            begun_ms: now_ms,
            ended_ms: None,
        };
        erasures::put(db, &row)?;
        if wish.with_record {
            erased_record::shut(db, &wish.patient_id, now_ms)?;
        }
        let job = NewJob {
            kind: &ERASE,
            partner: None,
            key: &own,
            payload: "",
            due_ms: now_ms + LATER_MS,
        };
        jobs::enqueue(db, &job_id, &job, now_ms)?;
        Ok(leave)
    })?;
    Ok((id, leave))
}

/// [`finish`], after which there is no job for it any more.
fn end(ctx: &Context, files: &BulkFiles, id: &str) -> Result<(), Failure> {
    finish(ctx, files, id)?;
    let own = id.to_owned();
    ctx.store
        .write_blocking(move |db| jobs::take_back(db, &ERASE, &own).map(drop))
}

/// Brings an erasure to its end, from wherever it stands. Blocks this thread.
///
/// # Errors
/// As [`erase`].
pub fn finish(ctx: &Context, files: &BulkFiles, id: &str) -> Result<(), Failure> {
    loop {
        let Some(row) = ctx.store.read_blocking(|db| erasures::find(db, id))? else {
            return Ok(());
        };
        match (row.state.as_str(), row.patient_id.clone()) {
            (erasures::RUNNING, Some(patient)) => steps::erase(ctx, files, &row, &patient)?,
            (erasures::ERASED, _) => {
                ctx.store.clean()?;
                let (own, now_ms) = (id.to_owned(), ctx.clock.now_ms());
                return ctx.store.write_blocking(move |db| erasures::set_done(db, &own, now_ms));
            }
            _ => return Ok(()),
        }
    }
}

/// What an erasure that is done has to tell.
fn report(ctx: &Context, id: &str, kept_until: Option<String>) -> Result<ErasureReport, Failure> {
    let now_ms = ctx.clock.now_ms();
    ctx.store.read_blocking(|db| {
        let row = erasures::find(db, id)?.ok_or(Fault::StoreDamaged)?;
        Ok(ErasureReport {
            counts: counts_of(&row)?,
            id: Some(row.id),
            ledger_entry: Some(row.entry_id),
            dry_run: false,
            with_record: row.with_record == 1,
            reason: row.reason,
            legal_basis: row.legal_basis,
            kept_until,
            backups: kept_backups(db, now_ms)?,
        })
    })
}
