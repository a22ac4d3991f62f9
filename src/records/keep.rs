//! Writes a batch of candidates in one transaction: compartments, keys, versions; recognizes unchanged content.
//!
//! Of several versions of a resource the newest is kept ([`SourceVersion::beats`]), and each stored version gets the time at which it
//! becomes visible here. Owners are resolved here, in order, so a member and the member's records may be in one batch. A resource without a
//! resolvable owner is refused and never stored as shared.

pub(super) mod batch;
pub(super) mod taken_out;
mod versions;
mod write;

pub use batch::{BatchEntry, KeptBatch, SupersededInBatch};

use super::compartment::Owner;
use super::dependencies::Standings;
use super::dry_run::DryRun;
use super::gate::{Candidate, with_version};
use super::index::Indexer;
use super::seen::{LastSeen, SeenInRun};
use super::source_version::SourceVersion;
use crate::clock::Clock;
use crate::error::{Failure, Fault};
use crate::ids::Ids;
use crate::store::resources::{self, Compartment, NOBODY, ResourceRow, SEQUENCE_BITS};
use crate::store::{Db, attachments, visible};
use batch::{KnownByName, Opened, Planned, StoredVersion, at};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use versions::BatchVersions;

/// What writing a batch needs from its run.
#[derive(Clone)]
pub struct Run {
    /// The keys that the run has handled.
    pub seen: SeenInRun,
    /// Makes the keys and profiles for the matcher.
    pub indexer: Indexer,
    /// Makes ids.
    pub ids: Ids,
    /// Gives the time at which versions become visible.
    pub clock: Clock,
    /// Set in a dry run: nothing is stored, and what would be is recorded here.
    pub dry_run: Option<DryRun>,
    /// Set by an ingest: nothing gets into the record of another member than that of this compartment, or out of it.
    pub only: Option<i64>,
}

/// Stores `entries`: of several with the same type and id, and of what is stored already, it keeps the newest
/// ([`SourceVersion::beats`]). Runs in the caller's transaction, together with the keys and profiles for the matcher. The caller must
/// mark the keys in [`Run::seen`] once the transaction is durable.
///
/// # Errors
/// Those of the database. A fault of one entry is in [`KeptBatch::rejected`].
pub fn keep(db: &mut Db, entries: &mut [BatchEntry], run: &Run) -> Result<KeptBatch, Failure> {
    if run.dry_run.is_none() {
        resources::lock(db)?;
    }
    let known = known(db, entries, run)?;
    let mut kept = KeptBatch::default();
    let (plan, opened) = plan(db, entries, &known, run, &mut kept)?;
    if let Some(dry_run) = &run.dry_run {
        dry_run.note(entries, &plan, &opened, &mut kept.keys);
        kept.stored = plan.len() as u64;
        let judged: Vec<ResourceRow<'_>> = plan
            .iter()
            .filter_map(|&(index, compartment, version)| match &entries[index] {
                BatchEntry::Fit(candidate) => Some(write::row(candidate, 0, compartment, version)),
                BatchEntry::Same { .. } => None,
            })
            .collect();
        // A dependency on an authorization in another batch is not known before both are stored.
        write::count_withheld(&judged, &Standings::new(), run.clock.now_ms(), &mut kept.withheld);
        return Ok(kept);
    }
    if plan.is_empty() {
        return Ok(kept);
    }
    let opened: Vec<Compartment<'_>> = opened
        .iter()
        .map(|(no, patient_id, umb)| Compartment {
            no: *no,
            patient_id,
            umb,
            next_seq: 1,
        })
        .collect();
    resources::open_compartments(db, &opened)?;
    let at_ms = visible::take(db, run.clock.now_ms())?;
    for &(index, _, version) in &plan {
        if let BatchEntry::Fit(candidate) = &mut entries[index] {
            if candidate.version != version {
                // The body contains the version that was expected, but the stored version has changed since.
                **candidate = with_version(candidate, version)?;
            }
            candidate.stamp(at_ms);
        }
    }
    let stored: Vec<(&Candidate, i64, i64)> = plan
        .iter()
        .filter_map(|&(index, compartment, version)| match &entries[index] {
            BatchEntry::Fit(candidate) => Some((&**candidate, compartment, version)),
            BatchEntry::Same { .. } => None,
        })
        .collect();
    write::rows(db, &stored, &known, &run.indexer, at_ms, &mut kept)?;
    Ok(kept)
}

/// Decides which entries are stored, and in which compartments.
fn plan(
    db: &mut Db,
    entries: &[BatchEntry],
    known: &KnownByName,
    run: &Run,
    kept: &mut KeptBatch,
) -> Result<(Vec<Planned>, Opened), Failure> {
    let mut owners = owners(db, entries, run)?;
    let named = named_by_others(db, entries)?;
    let mut opened: Opened = Vec::new();
    let mut next_no = None;
    let mut plan: Vec<Planned> = Vec::new();
    let mut versions = BatchVersions::of(entries);
    while let Some(index) = versions.newest(entries, known) {
        let entry = &entries[index];
        let there = entry.known_in(known);
        if let Some(there) = there {
            kept.keys.push(there.key);
            if there.source_sha256 == entry.source_sha256() {
                kept.unchanged += 1;
                versions.settled(entries, kept);
                continue;
            }
            let (is_newer, by) = entry
                .source(known)
                .beats(there.source, there.turn != LastSeen::LaterPath);
            if !is_newer {
                kept.unchanged += 1;
                kept.superseded.push(entry.superseded(index, false, by));
                versions.settled(entries, kept);
                continue;
            }
        }
        let BatchEntry::Fit(candidate) = entry else {
            kept.stale.push(index);
            versions.settled(entries, kept);
            continue;
        };
        let planned = |rtype: &str, id: &str| {
            plan.iter()
                .find(|(other, ..)| entries[*other].name() == (rtype, id))
                .map(|(_, no, _)| *no)
        };
        let compartment = match resolve(candidate, &owners, known, &named, &planned) {
            Ok(Some(compartment)) => compartment,
            Ok(None) => {
                let no = match (next_no, &run.dry_run) {
                    (Some(no), _) => no,
                    (None, Some(dry_run)) => dry_run.next_compartment(resources::next_compartment(db)?),
                    (None, None) => resources::next_compartment(db)?,
                };
                next_no = Some(no + 1);
                opened.push((no, candidate.id.clone(), run.ids.new_id(run.clock.now_ms())));
                owners.insert(candidate.id.clone(), no);
                no
            }
            Err(failure) => {
                kept.rejected.push((index, failure));
                versions.refused();
                continue;
            }
        };
        let of_another = |no: i64| run.only.is_some_and(|only| no != NOBODY && no != only);
        if of_another(compartment) || there.is_some_and(|there| of_another(there.compartment)) {
            let failure = Failure::new(Fault::StrangersResource).at(candidate.rtype);
            kept.rejected.push((index, failure));
            versions.refused();
            continue;
        }
        if let Some(there) = there.filter(|there| there.turn != LastSeen::Before) {
            let (_, by) = candidate.source.beats(there.source, true);
            kept.superseded.push(entry.superseded(index, true, by));
        }
        versions.settled(entries, kept);
        plan.push((index, compartment, there.map_or(0, |there| there.version) + 1));
    }
    Ok((plan, opened))
}

/// Returns the compartment of a candidate; `None` for a new Patient.
fn resolve(
    candidate: &Candidate,
    owners: &HashMap<String, i64>,
    known: &KnownByName,
    named: &HashMap<String, BTreeSet<i64>>,
    planned: &dyn Fn(&str, &str) -> Option<i64>,
) -> Result<Option<i64>, Failure> {
    let member = |id: &str, at: &String| {
        owners
            .get(id)
            .copied()
            .ok_or_else(|| Failure::new(Fault::ReferenceUnresolved).at(at))
    };
    match &candidate.owner {
        Owner::Nobody => Ok(Some(NOBODY)),
        Owner::Patient => Ok(owners.get(&candidate.id).copied()),
        Owner::Member { id, at } => member(id, at).map(Some),
        Owner::Named(context) => {
            let mut all = named.get(&candidate.id).cloned().unwrap_or_default();
            if let Some((id, at)) = context {
                all.insert(member(id, at)?);
            }
            if all.len() > 1 {
                return Err(Failure::new(Fault::BinaryOfSeveral).at("Binary.id"));
            }
            Ok(Some(attachments::one(&all)))
        }
        Owner::Targets(targets) => {
            let mut member = NOBODY;
            for (rtype, id, place) in targets {
                let stored = at(known, rtype, id).map(|there| there.compartment);
                let unresolved = || Failure::new(Fault::ReferenceUnresolved).at(place);
                let no = stored.or_else(|| planned(rtype, id)).ok_or_else(unresolved)?;
                if no != NOBODY && member != NOBODY && no != member {
                    return Err(unresolved().remedy("A Provenance about several members cannot be stored."));
                }
                member = member.max(no);
            }
            Ok(Some(member))
        }
    }
}

fn known(db: &mut Db, entries: &[BatchEntry], run: &Run) -> Result<KnownByName, Failure> {
    let mut wanted: BTreeMap<&'static str, HashSet<&str>> = BTreeMap::new();
    for entry in entries {
        let (rtype, id) = entry.name();
        wanted.entry(rtype).or_default().insert(id);
        if let BatchEntry::Fit(candidate) = entry
            && let Owner::Targets(targets) = &candidate.owner
        {
            for (rtype, id, _) in targets {
                if let Some(rtype) = causeway_fhir_types::type_name(rtype) {
                    wanted.entry(rtype).or_default().insert(id);
                }
            }
        }
    }
    let mut known = KnownByName::new();
    for (rtype, ids) in wanted {
        let list: Vec<&str> = ids.iter().copied().collect();
        let own = known.entry(rtype).or_default();
        for row in resources::existing(db, rtype, &list)? {
            let there = StoredVersion {
                key: row.key,
                compartment: row.key >> SEQUENCE_BITS,
                version: row.version,
                source_sha256: row.source_sha256,
                pa_state: row.pa_state,
                source: SourceVersion {
                    updated_ms: row.source_updated_ms,
                    number: row.source_version,
                },
                turn: run.seen.turn(row.key),
            };
            own.insert(row.id, there);
        }
        if let Some(dry_run) = &run.dry_run {
            dry_run.add_known(rtype, &list, own, |key| run.seen.turn(key));
        }
    }
    Ok(known)
}

fn owners(db: &mut Db, entries: &[BatchEntry], run: &Run) -> Result<HashMap<String, i64>, Failure> {
    let mut wanted: HashSet<&str> = HashSet::new();
    for entry in entries {
        let BatchEntry::Fit(candidate) = entry else { continue };
        match &candidate.owner {
            Owner::Member { id, .. } | Owner::Named(Some((id, _))) => wanted.insert(id),
            Owner::Patient => wanted.insert(&candidate.id),
            Owner::Targets(_) | Owner::Named(None) | Owner::Nobody => false,
        };
    }
    let wanted: Vec<&str> = wanted.into_iter().collect();
    let mut owners = resources::compartments(db, &wanted)?;
    if let Some(dry_run) = &run.dry_run {
        dry_run.add_owners(&wanted, &mut owners);
    }
    Ok(owners)
}

/// Returns, for the Binaries of this batch, the compartments of stored resources that reference them.
fn named_by_others(db: &mut Db, entries: &[BatchEntry]) -> Result<HashMap<String, BTreeSet<i64>>, Failure> {
    let ids: Vec<&str> = entries
        .iter()
        .map(BatchEntry::name)
        .filter(|(rtype, _)| *rtype == "Binary")
        .map(|(_, id)| id)
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    attachments::owners(db, &ids)
}
