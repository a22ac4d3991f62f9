//! Judging everything that is stored anew when another version of the gate judged it: release columns, released form, and what is
//! indexed of it.
//!
//! Importing the same bytes again would change nothing, because content that is there is not judged twice. So this runs when a
//! store is opened, before anything is served. It can be broken off and begun again; each step is one transaction. What the gate
//! would refuse today stays stored, and is withheld.

use super::dependencies::{self, Says};
use super::gate::{self, Candidate, GATE_VERSION};
use super::search_index::Rows;
use super::steady::steadily;
use super::visible::appear;
use crate::context::Context;
use crate::error::Failure;
use crate::store::Db;
use crate::store::dependencies::{self as dependency_rows, Dependency};
use crate::store::gate_state::{self, Columns, GateState, Stored};
use crate::store::resources;
use crate::store::visible;
use crate::store::withheld::{self, Deciding, NOT_FHIR};
use std::num::NonZero;

/// Resources of one step.
const STEP: i64 = 1_000;

/// Judges anew what another version judged. `tell` hears how many resources are done in this run.
///
/// # Errors
/// Those of the store.
pub fn bring_up(ctx: &Context, tell: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    bring_up_to(ctx, GATE_VERSION, STEP, tell)
}

/// [`bring_up`] to a version, `step` resources in one transaction, which notes how far it has come.
fn bring_up_to(ctx: &Context, version: i64, step: i64, tell: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    let noted = ctx.store.read_blocking(gate_state::get)?;
    let mut after = match noted {
        Some(state) if state.version == version && state.done == 1 => return Ok(()),
        Some(state) if state.version == version => state.after_key,
        _ => -1,
    };
    let mut done = 0;
    loop {
        let stored = ctx.store.read_blocking(move |db| gate_state::stored(db, after, step))?;
        let base_url = ctx.payer.base_url.clone();
        let Some(last) = stored.last().map(|row| row.key) else {
            return ctx.store.write_blocking(move |db| {
                resources::lock(db)?;
                dependencies::renew_all(db, &base_url)?;
                gate_state::set(
                    db,
                    GateState {
                        version,
                        after_key: after,
                        done: 1,
                    },
                )
            });
        };
        let now_ms = ctx.clock.now_ms();
        let judged = judge_all(&stored, now_ms, &base_url);
        done += stored.len() as u64;
        ctx.store.write_blocking(move |db| {
            resources::lock(db)?;
            write(db, &stored, &judged, now_ms)?;
            gate_state::set(
                db,
                GateState {
                    version,
                    after_key: last,
                    done: 0,
                },
            )
        })?;
        after = last;
        tell(done);
    }
}

/// What today's gate says of each; `None` for what it refuses.
fn judge_all(stored: &[Stored], now_ms: i64, base_url: &str) -> Vec<Option<Candidate>> {
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = stored.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let working: Vec<_> = stored
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(|row| judge(row, now_ms, base_url)).collect::<Vec<_>>()))
            .collect();
        let mut judged = Vec::with_capacity(stored.len());
        for (worker, part) in working.into_iter().zip(stored.chunks(share)) {
            // What could not be judged is withheld.
            judged.extend(worker.join().unwrap_or_else(|_| part.iter().map(|_| None).collect()));
        }
        judged
    })
}

fn judge(row: &Stored, now_ms: i64, base_url: &str) -> Option<Candidate> {
    let draft = gate::stored_draft(&row.body, &row.id, &row.source_sha256).ok()?;
    steadily(|| gate::judge(&draft, row.version, now_ms, base_url))
        .map(|mut candidate| {
            // It became visible when it was stored, not now.
            candidate.stamp(row.last_updated_ms);
            candidate
        })
        .inspect_err(|failure| {
            tracing::warn!(resource = %format!("{}/{}", row.rtype, row.id), fault = failure.fault().code(),
                "a stored resource is refused by this version and is withheld");
        })
        .ok()
}

fn write(db: &mut Db, stored: &[Stored], judged: &[Option<Candidate>], now_ms: i64) -> Result<(), Failure> {
    let keys: Vec<i64> = stored.iter().map(|row| row.key).collect();
    dependency_rows::remove(db, &keys)?;
    let (mut reindex, mut said, mut appeared) = (Vec::new(), Vec::new(), Vec::new());
    for (row, candidate) in stored.iter().zip(judged) {
        let Some(candidate) = candidate else {
            gate_state::withhold(db, row.key, row.sensitivity | NOT_FHIR)?;
            continue;
        };
        let columns = Columns {
            service_from_ms: candidate.service_from_ms,
            service_to_ms: candidate.service_to_ms,
            sensitivity: candidate.sensitivity,
            pa_state: candidate.pa_state,
            pa_changed_ms: candidate.pa_changed_ms,
            financial: candidate.financial,
            released: candidate.released.as_deref(),
        };
        if !gate_state::put(db, row.key, row.version, &columns)? {
            // Another process has stored a newer version, judged by this gate.
            continue;
        }
        if appears(row, candidate, now_ms) {
            appeared.push(row.key);
        }
        if row.released != candidate.released {
            reindex.push((row.key, &candidate.indexed));
        }
        said.extend(dependencies_of(row, &candidate.says));
    }
    dependency_rows::insert(db, &said)?;
    resources::unindex(db, &reindex.iter().map(|(key, _)| *key).collect::<Vec<_>>())?;
    let mut rows = Rows::default();
    for (key, indexed) in reindex {
        rows.add(indexed, key);
    }
    rows.write(db)?;
    if !appeared.is_empty() {
        let at_ms = visible::take(db, now_ms)?;
        for key in appeared {
            appear(db, key, at_ms)?;
        }
    }
    Ok(())
}

/// Whether a reason for which it did not leave is gone, or it leaves in another form than before.
fn appears(row: &Stored, candidate: &Candidate, now_ms: i64) -> bool {
    let before = Deciding {
        rtype: &row.rtype,
        sensitivity: row.sensitivity,
        pa_state: row.pa_state,
        pa_changed_ms: row.pa_changed_ms,
        financial: row.financial,
        has_released: row.released.is_some(),
    };
    let now = Deciding {
        rtype: &row.rtype,
        sensitivity: candidate.sensitivity,
        pa_state: candidate.pa_state,
        pa_changed_ms: candidate.pa_changed_ms,
        financial: candidate.financial,
        has_released: candidate.released.is_some(),
    };
    let now = withheld::reasons(&now, now_ms);
    let gone = |reason: &&'static str| !now.contains(reason);
    // What a Provenance loses because of what it depends on is cut later.
    let other_form = row.rtype != "Provenance" && row.released != candidate.released;
    withheld::reasons(&before, now_ms).iter().any(gone) || other_form
}

fn dependencies_of(row: &Stored, says: &Says) -> Vec<Dependency> {
    let own = (row.rtype.clone(), row.id.clone());
    let on = says.on.iter().map(|to| (own.clone(), to.clone()));
    let holds = says.holds.iter().map(|from| (from.clone(), own.clone()));
    on.chain(holds)
        .map(|(from, to)| Dependency {
            key: row.key,
            from_type: from.0,
            from_id: from.1,
            to_type: to.0,
            to_id: to.1,
        })
        .collect()
}

#[cfg(test)]
mod tests;
