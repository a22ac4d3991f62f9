//! Checks everything that is stored again when another version of the gate checked it: release columns, released form, and index rows.
//!
//! Importing the same bytes again would change nothing, because content that is stored already is not checked again. So this
//! runs when a store is opened, before anything is served. It can be interrupted and started again. After each step, which is
//! one transaction, nothing is releasable that must not be: earlier versions of the program may be serving meanwhile. A resource
//! that the gate would refuse today stays stored and is withheld.

use super::dependencies::{self, Says};
use super::gate::{self, Candidate, GATE_VERSION};
use super::in_parallel::in_parallel;
use super::prior_authorization::is_claim_type;
use super::search_index::Rows;
use super::steady::steadily;
use super::visible::appeared;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::dependencies::{self as dependency_rows, Dependency, Name};
use crate::store::gate_state::{self, Columns, GateState, Stored};
use crate::store::release_rule::ReleaseColumns;
use crate::store::resources;
use crate::store::search_rows;
use crate::store::visible;
use crate::store::withheld::{self, NOT_FHIR};
use std::collections::BTreeSet;

/// How many resources one step handles.
const STEP: i64 = 1_000;

/// Returns the key after which everything must be checked again; `None` when nothing is due.
///
/// # Errors
/// Those of the database.
pub(super) fn due_after(db: &mut Db) -> Result<Option<i64>, Failure> {
    due_after_for(db, GATE_VERSION)
}

fn due_after_for(db: &mut Db, version: i64) -> Result<Option<i64>, Failure> {
    Ok(match gate_state::get(db)? {
        Some(state) if state.version == version && state.done == 1 => None,
        Some(state) if state.version == version => Some(state.after_key),
        _ => Some(-1),
    })
}

/// Checks again what another version checked. `tell` receives how many resources are done in this run.
///
/// # Errors
/// Those of the store.
pub fn bring_up(ctx: &Context, tell: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    bring_up_to(ctx, GATE_VERSION, STEP, tell)
}

/// [`bring_up`] for a given version and step size: each transaction handles `step` resources and records its progress.
fn bring_up_to(ctx: &Context, version: i64, step: i64, tell: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    let mut done = 0;
    loop {
        let due = ctx.store.read_blocking(move |db| due_after_for(db, version))?;
        let Some(after) = due else { return Ok(()) };
        let stored = ctx.store.read_blocking(move |db| gate_state::stored(db, after, step))?;
        let Some(last) = stored.last().map(|row| row.key) else {
            return finish(ctx, version, after);
        };
        let (now_ms, base_url) = (ctx.clock.now_ms(), ctx.payer.base_url.clone());
        // What cannot be checked is withheld.
        let judged = in_parallel(&stored, |row| judge(row, now_ms, &base_url), || None);
        let count = stored.len() as u64;
        let is_ours = ctx.store.write_blocking(move |db| {
            resources::lock(db)?;
            if due_after_for(db, version)? != Some(after) {
                // Another process has done this step.
                return Ok(false);
            }
            write(db, &stored, &judged, now_ms, &base_url)?;
            note(db, version, last, 0)?;
            Ok(true)
        })?;
        if is_ours {
            done += count;
            tell(done);
        }
    }
}

/// Computes the states of what depends on authorizations, now that these are checked, and records
/// that all is done. After an interruption it begins here again.
fn finish(ctx: &Context, version: i64, after_key: i64) -> Result<(), Failure> {
    let mut after = Some((String::new(), String::new()));
    while let Some(name) = after {
        let base_url = ctx.payer.base_url.clone();
        after = ctx.store.write_blocking(move |db| {
            resources::lock(db)?;
            dependencies::renew_some(db, &name, &base_url)
        })?;
    }
    ctx.store.write_blocking(move |db| note(db, version, after_key, 1))
}

fn note(db: &mut Db, version: i64, after_key: i64, done: i64) -> Result<(), Failure> {
    let state = GateState {
        version,
        after_key,
        done,
    };
    gate_state::set(db, state)
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

fn write(
    db: &mut Db,
    stored: &[Stored],
    judged: &[Option<Candidate>],
    now_ms: i64,
    base_url: &str,
) -> Result<(), Failure> {
    let (Some(first), Some(last)) = (stored.first(), stored.last()) else {
        return Ok(());
    };
    let versions = gate_state::versions(db, first.key, last.key)?;
    // Of the other rows, another process has stored a newer version, which this gate has checked.
    let current: Vec<(&Stored, Option<&Candidate>)> = stored
        .iter()
        .zip(judged)
        .map(|(row, candidate)| (row, candidate.as_ref()))
        .filter(|(row, _)| versions.get(&row.key) == Some(&row.version))
        .collect();
    dependency_rows::remove(db, &current.iter().map(|(row, _)| row.key).collect::<Vec<_>>())?;
    let said: Vec<Dependency> = current
        .iter()
        .filter_map(|(row, candidate)| Some(dependencies_of(row, &candidate.as_ref()?.says)))
        .flatten()
        .collect();
    dependency_rows::insert(db, &said)?;
    let changed: Vec<(i64, Columns<'_>)> = current
        .iter()
        .filter_map(|(row, candidate)| {
            let now = columns_of(row, *candidate);
            (now != row.columns()).then_some((row.key, now))
        })
        .collect();
    gate_state::put(db, &changed)?;
    reindex(db, &current)?;
    let fit = || {
        current
            .iter()
            .filter_map(|(row, candidate)| Some((*row, (*candidate)?)))
    };
    let appearing: Vec<(&Stored, &Candidate)> = fit()
        .filter(|(row, candidate)| appears(row, candidate, now_ms))
        .collect();
    if !appearing.is_empty() {
        let at_ms = visible::take(db, now_ms)?;
        let appeared = in_parallel(
            &appearing,
            |(row, candidate)| appeared(row.key, row.version, &row.body, candidate.released.as_deref(), at_ms),
            || Err(Failure::new(Fault::Internal).because("giving a version its time panicked")),
        );
        visible::appear(db, &appeared.into_iter().collect::<Result<Vec<_>, _>>()?)?;
    }
    // Until everything is checked, their states still follow from what they depend on.
    let dependents: BTreeSet<Name> = fit()
        .filter(|(row, candidate)| depended(row, candidate))
        .map(|(row, _)| (row.rtype.clone(), row.id.clone()))
        .collect();
    dependencies::restore(db, &dependents, base_url)
}

/// Returns the new release columns; for a refused resource, the old columns with the bit for the reason.
fn columns_of<'a>(row: &'a Stored, candidate: Option<&'a Candidate>) -> Columns<'a> {
    match candidate {
        None => Columns {
            sensitivity: row.sensitivity | NOT_FHIR,
            ..row.columns()
        },
        Some(candidate) => Columns {
            service_from_ms: candidate.service_from_ms,
            service_to_ms: candidate.service_to_ms,
            sensitivity: candidate.sensitivity,
            pa_state: candidate.pa_state,
            pa_changed_ms: candidate.pa_changed_ms,
            financial: candidate.financial,
            released: candidate.released.as_deref(),
        },
    }
}

/// Indexes the resources whose released form has changed.
fn reindex(db: &mut Db, current: &[(&Stored, Option<&Candidate>)]) -> Result<(), Failure> {
    let (mut keys, mut rows) = (Vec::new(), Rows::default());
    for (row, candidate) in current {
        if let Some(candidate) = candidate
            && row.released != candidate.released
        {
            keys.push(row.key);
            rows.add(&candidate.indexed, row.key);
        }
    }
    search_rows::unindex(db, &keys)?;
    rows.write(db)
}

/// Whether its stored columns also reflect what it depends on, which its own check does not know.
fn depended(row: &Stored, candidate: &Candidate) -> bool {
    !is_claim_type(&row.rtype)
        && (row.pa_state != candidate.pa_state
            || row.pa_changed_ms != candidate.pa_changed_ms
            || (row.rtype == "Provenance" && row.released != candidate.released))
}

/// Whether a reason for withholding it no longer applies, or its released form has changed.
fn appears(row: &Stored, candidate: &Candidate, now_ms: i64) -> bool {
    let before = ReleaseColumns {
        sensitivity: row.sensitivity,
        pa_state: row.pa_state,
        pa_changed_ms: row.pa_changed_ms,
        financial: row.financial,
        has_released: row.released.is_some(),
    };
    let now = ReleaseColumns {
        sensitivity: candidate.sensitivity,
        pa_state: candidate.pa_state,
        pa_changed_ms: candidate.pa_changed_ms,
        financial: candidate.financial,
        has_released: candidate.released.is_some(),
    };
    let now = withheld::reasons(&row.rtype, &now, now_ms);
    let gone = |reason: &&'static str| !now.contains(reason);
    // What a Provenance loses because of its dependencies is removed later.
    let other_form = row.rtype != "Provenance" && row.released != candidate.released;
    withheld::reasons(&row.rtype, &before, now_ms).iter().any(gone) || other_form
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
