//! Writes what a batch keeps: rows with their keys, identifiers, index, members, attachments, dependencies, and the rows of the matcher. It
//! decides nothing.

use super::batch::{KeptBatch, KnownByName, at};
use crate::error::Failure;
use crate::records::attachment;
use crate::records::dependencies::{self, Standings, Written};
use crate::records::gate::Candidate;
use crate::records::index::{self, Indexer};
use crate::records::search_index::Rows;
use crate::store::release_rule::{PA_NONE, ReleaseColumns};
use crate::store::resources::{self, Attachment, IdentifierRow, MemberRow, NOBODY, ResourceRow, SEQUENCE_BITS};
use crate::store::withheld;
use crate::store::{Db, attachments};
use std::collections::{BTreeMap, HashMap};

/// Writes the rows of `stored` (candidate, compartment, version) and all rows that belong to them, in place of earlier ones.
///
/// # Errors
/// Those of the database; [`Fault::RecordFull`](crate::error::Fault::RecordFull) when a compartment has no keys left.
pub(super) fn rows(
    db: &mut Db,
    stored: &[(&Candidate, i64, i64)],
    known: &KnownByName,
    indexer: &Indexer,
    now_ms: i64,
    kept: &mut KeptBatch,
) -> Result<(), Failure> {
    let places = Places::of(stored, known);
    let freed = dependencies::take_back(db, &places.replaced)?;
    let mut binaries = attachments::named_by(db, &places.naming)?;
    // Before anything is removed: the key of a row that is only removed to be written again must not be given away.
    let mut next = resources::take_sequences(db, &places.fresh)?;
    resources::remove(db, &places.replaced)?;
    let mut rows = Vec::with_capacity(stored.len());
    let mut identifiers = Vec::new();
    let mut members = Vec::new();
    let mut attached = Vec::new();
    let mut indexed = Rows::default();
    for (index, (candidate, compartment, version)) in stored.iter().enumerate() {
        let key = places.keys[index].unwrap_or_else(|| {
            let sequence = next.entry(*compartment).or_insert(1);
            *sequence += 1;
            (compartment << SEQUENCE_BITS) | (*sequence - 1)
        });
        kept.keys.push(key);
        kept.stored += 1;
        rows.push(row(candidate, key, *compartment, *version));
        indexed.add(&candidate.indexed, key);
        identifiers.extend(candidate.identifiers.iter().map(|one| IdentifierRow {
            value: &one.value,
            system: &one.system,
            rtype: candidate.rtype,
            kind: &one.kind,
            key,
        }));
        members.extend(candidate.demographics.as_ref().map(|one| MemberRow {
            compartment: *compartment,
            patient_id: &candidate.id,
            family: &one.family,
            birth_date: &one.birth_date,
            demographics: &one.json,
        }));
        attached.extend(
            candidate
                .attachments
                .iter()
                .map(|binary_id| Attachment { binary_id, key }),
        );
    }
    resources::insert(db, &rows, &identifiers)?;
    resources::attach(db, &attached)?;
    indexed.write(db)?;
    resources::put_members(db, &members)?;

    let written: Vec<Written<'_>> = stored
        .iter()
        .zip(&rows)
        .map(|((candidate, ..), row)| Written {
            key: row.key,
            rtype: candidate.rtype,
            id: &candidate.id,
            says: &candidate.says,
            pa_state: candidate.pa_state,
            before: at(known, candidate.rtype, &candidate.id).map(|there| there.pa_state),
        })
        .collect();
    let stands = |rtype: &str, id: &str| at(known, rtype, id).map(|there| there.pa_state);
    let standings = dependencies::renew(db, &written, freed, &stands, now_ms, indexer.base_url())?;
    count_withheld(&rows, &standings, now_ms, &mut kept.withheld);
    binaries.extend(attached.iter().map(|row| row.binary_id.to_owned()));
    if !binaries.is_empty() {
        kept.keys.extend(attachments::settle(db, &binaries)?);
    }
    index::renew(db, indexer, &renamed(stored, known))
}

/// The key of each candidate, and the rows that it replaces.
#[derive(Default)]
struct Places {
    /// The key that each candidate keeps: a changed resource keeps its key unless its compartment changes.
    keys: Vec<Option<i64>>,
    /// Keys of the stored rows with the same names.
    replaced: Vec<i64>,
    /// Those of them that may reference attachments.
    naming: Vec<i64>,
    /// How many new keys each compartment needs.
    fresh: HashMap<i64, i64>,
}

impl Places {
    fn of(stored: &[(&Candidate, i64, i64)], known: &KnownByName) -> Places {
        let mut places = Places::default();
        for (candidate, compartment, _) in stored {
            let old = at(known, candidate.rtype, &candidate.id).map(|there| there.key);
            places.replaced.extend(old);
            places
                .naming
                .extend(old.filter(|_| attachment::may_name(candidate.rtype)));
            let key = old.filter(|key| key >> SEQUENCE_BITS == *compartment);
            if key.is_none() {
                *places.fresh.entry(*compartment).or_default() += 1;
            }
            places.keys.push(key);
        }
        places
    }
}

/// Counts the written rows that are withheld, by reason.
pub(super) fn count_withheld(
    rows: &[ResourceRow<'_>],
    standings: &Standings,
    now_ms: i64,
    counts: &mut BTreeMap<&'static str, u64>,
) {
    for row in rows {
        let (mut pa_state, mut pa_changed_ms) = (row.pa_state, row.pa_changed_ms);
        if !standings.is_empty()
            && let Some(found) = standings.get(&(row.rtype.to_owned(), row.id.to_owned()))
        {
            (pa_state, pa_changed_ms) = *found;
        }
        if row.sensitivity == 0 && row.financial == 0 && pa_state == PA_NONE {
            continue;
        }
        let deciding = ReleaseColumns {
            sensitivity: row.sensitivity,
            pa_state,
            pa_changed_ms,
            financial: row.financial,
            has_released: row.released.is_some(),
        };
        for reason in withheld::reasons(row.rtype, &deciding, now_ms) {
            *counts.entry(reason).or_default() += 1;
        }
    }
}

/// Makes the row of a candidate with this key.
pub(super) fn row(candidate: &Candidate, key: i64, compartment: i64, version: i64) -> ResourceRow<'_> {
    ResourceRow {
        key,
        compartment,
        rtype: candidate.rtype,
        id: &candidate.id,
        version,
        last_updated_ms: candidate.last_updated_ms,
        service_from_ms: candidate.service_from_ms,
        service_to_ms: candidate.service_to_ms,
        sensitivity: candidate.sensitivity,
        pa_state: candidate.pa_state,
        pa_changed_ms: candidate.pa_changed_ms,
        financial: candidate.financial,
        source_sha256: &candidate.source_sha256,
        sha256: &candidate.sha256,
        body: &candidate.body,
        released: candidate.released.as_deref(),
        source_updated_ms: candidate.source.updated_ms,
        source_version: candidate.source.number,
    }
}

/// Returns the compartments in which a Patient or a Coverage was added, changed or removed.
fn renamed(stored: &[(&Candidate, i64, i64)], known: &KnownByName) -> Vec<i64> {
    let mut numbers: Vec<i64> = stored
        .iter()
        .filter(|(candidate, ..)| matches!(candidate.rtype, "Patient" | "Coverage"))
        .flat_map(|(candidate, compartment, _)| {
            let before = at(known, candidate.rtype, &candidate.id);
            [Some(*compartment), before.map(|there| there.compartment)]
        })
        .flatten()
        .filter(|no| *no != NOBODY)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
