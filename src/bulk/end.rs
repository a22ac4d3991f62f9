//! The end of a run: late ones fail at their deadline, and so do those whose work is parked; of all others the files are removed when they
//! have been kept long enough, and with them what the partner sent about people who were not matched.
//!
//! It changes a run by its row and before its own job is settled ([`super::job`] says why), and each part of it may be done again.

use super::files::BulkFiles;
use super::hands;
use super::job::{self, LOOKED_MS};
use super::kinds::{END, GROUPS};
use crate::audit::deletion::deletion;
use crate::audit::ledger;
use crate::error::{Failure, Fault};
use crate::jobs::sweeps::Sweep;
use crate::jobs::{AttemptEnding, Doing, HeldJob, JobStep, WorkKind};
use crate::keeping::{DataKind, Periods};
use crate::store::Db;
use crate::store::bulk::{self as rows, BulkJobRow};
use crate::store::bulk_receipts;
use crate::store::group_ends;
use std::sync::Arc;

/// Does the work of `bulk-end`.
pub struct BulkEnd {
    /// Where the files are.
    pub files: BulkFiles,
    /// How long they are kept, milliseconds.
    pub keep_ms: i64,
}

impl JobStep for BulkEnd {
    fn kind(&self) -> &'static WorkKind {
        &END
    }

    fn run(&self, held: HeldJob) -> Doing<'_> {
        Box::pin(async move { self.end(&held).await })
    }
}

impl BulkEnd {
    async fn end(&self, held: &HeldJob) -> Result<AttemptEnding, Failure> {
        let (id, now_ms) = (held.job().key.clone(), held.ctx().clock.now_ms());
        let read = id.clone();
        let found = held.ctx().store.read(move |db| {
            let Some(row) = rows::find(db, &read)? else {
                return Ok(None);
            };
            let is_parked = hands::is_parked(db, &row)?;
            Ok(Some((row, is_parked)))
        });
        let Some((row, is_parked)) = found.await? else {
            // Announced, and never begun; or forgotten already.
            self.remove(&id).await?;
            return Ok(AttemptEnding::done());
        };
        let until_ms = match row.state.as_str() {
            rows::WAITING | rows::RUNNING if is_parked || now_ms >= row.deadline_ms => {
                fail(held, row, now_ms).await?;
                return Ok(AttemptEnding::again(now_ms));
            }
            rows::WAITING | rows::RUNNING => row.deadline_ms.min(now_ms + LOOKED_MS),
            rows::DONE => row.expires_ms.unwrap_or(now_ms),
            rows::FAILED => {
                // One hand may have failed while others were at work.
                let failed = row.clone();
                held.write(move |db: &mut Db| job::stop_work(db, &failed)).await?;
                // Nothing names its files; that it failed is told for as long as files are kept.
                self.remove(&id).await?;
                row.updated_ms + self.keep_ms
            }
            _ => {
                self.remove(&id).await?;
                drop_strangers(held, &id).await?;
                deleted_until(held, &row, now_ms).await?
            }
        };
        if now_ms < until_ms {
            return Ok(AttemptEnding::again(until_ms));
        }
        self.remove(&id).await?;
        drop_strangers(held, &id).await?;
        let (proof, ended_ms) = (DeletionProof::new(held), row.updated_ms);
        let forget = move |db: &mut Db| {
            rows::forget(db, &id)?;
            bulk_receipts::forget(db, &id)?;
            proof.append(db, DataKind::Exports, &[(id.clone(), ended_ms)])
        };
        held.write(forget).await?;
        Ok(AttemptEnding::done())
    }

    /// Removes the files of a run.
    async fn remove(&self, id: &str) -> Result<(), Failure> {
        let (files, own) = (self.files.clone(), id.to_owned());
        tokio::task::spawn_blocking(move || files.remove(&own))
            .await
            .map_err(|error| Failure::new(Fault::Internal).because(error))?
    }
}

/// Ends a run that did not come to its end in time, or cannot.
async fn fail(held: &HeldJob, row: BulkJobRow, now_ms: i64) -> Result<(), Failure> {
    tracing::error!(bulk.job = row.id, "a bulk job did not come to its end in time");
    let late = move |db: &mut Db| match rows::end(db, &row.id, rows::FAILED, Some(Fault::BulkLate.code()), now_ms)? {
        true => job::stop_work(db, &row),
        // It came to its end meanwhile.
        false => Ok(()),
    };
    held.write(late).await
}

/// What the entry of a deletion is made of, for a write that may run more than once.
struct DeletionProof {
    entry_id: String,
    at_us: i64,
    periods: Arc<Periods>,
}

impl DeletionProof {
    fn new(held: &HeldJob) -> DeletionProof {
        let ctx = held.ctx();
        let at_us = ctx.clock.now_us();
        DeletionProof {
            entry_id: ctx.ids.new_id(at_us / 1000),
            at_us,
            periods: Arc::clone(&ctx.keeping),
        }
    }

    /// Appends the entry of the deletion of these rows, if there are any.
    fn append(&self, db: &mut Db, kind: DataKind, rows: &[(String, i64)]) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = rows.iter().map(|(id, at_ms)| (id.as_str(), *at_ms)).collect();
        let entry = deletion(kind, &rows, &self.periods, &self.entry_id);
        ledger::append(db, &entry, &self.entry_id, self.at_us)
    }
}

/// Removes what a bulk match keeps of people who were not matched, a part in each transaction: nobody is shown it longer than the files.
async fn drop_strangers(held: &HeldJob, id: &str) -> Result<(), Failure> {
    loop {
        let own = id.to_owned();
        if !held
            .write(move |db: &mut Db| group_ends::drop_strangers(db, &own))
            .await?
        {
            return Ok(());
        }
    }
}

/// The step of the sweep of groups. `keep_ms`: how long a group of matched members is kept after its match, milliseconds.
pub fn of_groups(keep_ms: i64) -> Arc<dyn JobStep> {
    Sweep::step(&GROUPS, move |held| {
        let match_ms = held.ctx().clock.surely_ms() - keep_ms;
        let now_ms = held.ctx().clock.now_ms();
        loop {
            let proof = DeletionProof::new(held);
            let swept = held.write_blocking(move |db| {
                let swept = group_ends::sweep(db, match_ms, now_ms)?;
                proof.append(db, DataKind::Groups, &swept.gone)?;
                Ok(swept)
            })?;
            if !swept.more {
                return Ok(());
            }
        }
    })
}

/// Until when a deleted run is kept: what was said of its receipt is shown as long as its files would have been kept.
async fn deleted_until(held: &HeldJob, row: &BulkJobRow, now_ms: i64) -> Result<i64, Failure> {
    let id = row.id.clone();
    let answers = held.ctx().store.read(move |db| bulk_receipts::of_job(db, &id)).await?;
    Ok(row.expires_ms.filter(|_| !answers.is_empty()).unwrap_or(now_ms))
}
