//! Writing a batch of candidates inside one transaction: compartments, keys, versions, and what is unchanged.
//!
//! Of several versions of a resource the newest stays ([`SourceVersion::beats`]), and each that is stored is given the time at
//! which it becomes visible here. The owner is resolved here, in order, so that a member and the member's records may come in
//! one batch. What has no resolvable owner is refused, never kept as shared.

mod write;

use super::compartment::Owner;
use super::dependencies::Standings;
use super::dry_run::DryRun;
use super::gate::{Candidate, with_version};
use super::index::{self, Indexer};
use super::seen::{Seen, Turn};
use super::source_version::{Decided, SourceVersion};
use crate::clock::Clock;
use crate::error::{Failure, Fault};
use crate::ids::Ids;
use crate::store::resources::{self, Compartment, NOBODY, Row, SEQUENCE_BITS};
use crate::store::{Db, attachments, visible};
use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// One resource of a batch.
#[derive(Debug)]
pub enum Entry {
    /// Judged fit to be stored.
    Fit(Box<Candidate>),
    /// Found stored with the same content before; to be confirmed.
    Same {
        /// Its type.
        rtype: &'static str,
        /// Its id.
        id: String,
        /// Digest of its content.
        source_sha256: [u8; 32],
    },
}

impl Entry {
    /// Type and id.
    pub fn name(&self) -> (&'static str, &str) {
        match self {
            Entry::Fit(candidate) => (candidate.rtype, &candidate.id),
            Entry::Same { rtype, id, .. } => (rtype, id),
        }
    }

    /// Its type.
    pub fn rtype(&self) -> &'static str {
        self.name().0
    }

    fn source_sha256(&self) -> &[u8; 32] {
        match self {
            Entry::Fit(candidate) => &candidate.source_sha256,
            Entry::Same { source_sha256, .. } => source_sha256,
        }
    }

    fn superseded(&self, index: usize, was_stored: bool, by: Decided) -> Superseded {
        let (rtype, id) = self.name();
        Superseded {
            rtype,
            id: id.to_owned(),
            index,
            was_stored,
            by,
        }
    }

    fn known_in<'k>(&self, known: &'k KnownByName) -> Option<&'k Known> {
        let (rtype, id) = self.name();
        known.get(rtype)?.get(id)
    }

    /// What its source says of it. Of one that was not judged that is what is stored of the same content.
    fn source(&self, known: &KnownByName) -> SourceVersion {
        match self {
            Entry::Fit(candidate) => candidate.source,
            Entry::Same { source_sha256, .. } => self
                .known_in(known)
                .filter(|there| there.source_sha256 == source_sha256)
                .map_or_else(SourceVersion::default, |there| there.source),
        }
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Kept {
    /// New or changed.
    pub stored: u64,
    /// There already with the same content, or superseded.
    pub unchanged: u64,
    /// Versions of other content that a newer one supersedes.
    pub superseded: Vec<Superseded>,
    /// Index in the batch, and why.
    pub rejected: Vec<(usize, Failure)>,
    /// Of those stored, how many do not leave, by reason ([`crate::store::withheld::REASONS`]); one may have several reasons.
    pub withheld: BTreeMap<&'static str, u64>,
    /// Index in the batch of those that were not judged, since the same was stored, and is no more.
    pub stale: Vec<usize>,
    /// Keys that were dealt with.
    pub(super) keys: Vec<i64>,
}

/// A version that a newer one supersedes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// Type of the resource.
    pub rtype: &'static str,
    /// Its id.
    pub id: String,
    /// Index in the batch: of this version or, when it was stored before in this run, of the one that took its place.
    pub index: usize,
    /// It was stored before in this run.
    pub was_stored: bool,
    /// What decided.
    pub by: Decided,
}

/// What is stored under a name of this batch.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) key: i64,
    pub(super) compartment: i64,
    pub(super) version: i64,
    pub(super) source_sha256: Vec<u8>,
    pub(super) pa_state: i64,
    pub(super) source: SourceVersion,
    pub(super) turn: Turn,
}

/// What is stored, by type and id.
pub(super) type KnownByName = HashMap<&'static str, HashMap<String, Known>>;

/// A candidate that will be stored: its index in the batch, compartment and version.
pub(super) type Planned = (usize, i64, i64);

/// What keeping takes from its run.
#[derive(Clone)]
pub struct Run {
    /// What the run has dealt with.
    pub seen: Seen,
    /// Makes what the matcher finds members by.
    pub indexer: Indexer,
    /// Makes ids.
    pub ids: Ids,
    /// Tells when versions become visible.
    pub clock: Clock,
    /// Nothing is stored, and what would be is noted here.
    pub dry_run: Option<DryRun>,
}

/// Keeps `entries`: of several with the same type and id the newest ([`SourceVersion::beats`]), also against what is stored. Runs
/// in the caller's transaction; mark the keys in [`Run::seen`] after it is durable. What the matcher finds members by is written with
/// them.
///
/// # Errors
/// Those of the database. What is wrong with one entry is in [`Kept::rejected`].
pub fn keep(db: &mut Db, entries: &mut [Entry], run: &Run) -> Result<Kept, Failure> {
    if run.dry_run.is_none() {
        resources::lock(db)?;
    }
    let known = known(db, entries, run)?;
    let mut kept = Kept::default();
    let (plan, opened) = plan(db, entries, &known, run, &mut kept)?;
    if let Some(dry_run) = &run.dry_run {
        dry_run.note(entries, &plan, &opened, &mut kept.keys);
        kept.stored = plan.len() as u64;
        let judged: Vec<Row<'_>> = plan
            .iter()
            .filter_map(|&(index, compartment, version)| match &entries[index] {
                Entry::Fit(candidate) => Some(write::row(candidate, 0, compartment, version)),
                Entry::Same { .. } => None,
            })
            .collect();
        // What depends on an authorization of another batch is not known before both are stored.
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
        if let Entry::Fit(candidate) = &mut entries[index] {
            if candidate.version != version {
                // The body was written for the version that was expected; the store has moved on.
                **candidate = with_version(candidate, version)?;
            }
            candidate.stamp(at_ms);
        }
    }
    let stored: Vec<(&Candidate, i64, i64)> = plan
        .iter()
        .filter_map(|&(index, compartment, version)| match &entries[index] {
            Entry::Fit(candidate) => Some((&**candidate, compartment, version)),
            Entry::Same { .. } => None,
        })
        .collect();
    write::rows(db, &stored, &known, run.indexer.base_url(), at_ms, &mut kept)?;
    index::renew(db, &run.indexer, &write::renamed(&stored, &known))?;
    Ok(kept)
}

/// Compartments that are opened: number, Patient and UMB.
pub(super) type Opened = Vec<(i64, String, String)>;

/// Which entries are stored, and where.
fn plan(
    db: &mut Db,
    entries: &[Entry],
    known: &KnownByName,
    run: &Run,
    kept: &mut Kept,
) -> Result<(Vec<Planned>, Opened), Failure> {
    let mut owners = owners(db, entries, run)?;
    let named = named_by_others(db, entries)?;
    let mut opened: Opened = Vec::new();
    let mut next_no = None;
    let mut plan: Vec<Planned> = Vec::new();
    let mut versions = Versions::of(entries);
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
            let (is_newer, by) = entry.source(known).beats(there.source, there.turn != Turn::LaterPath);
            if !is_newer {
                kept.unchanged += 1;
                kept.superseded.push(entry.superseded(index, false, by));
                versions.settled(entries, kept);
                continue;
            }
        }
        let Entry::Fit(candidate) = entry else {
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
        if let Some(there) = there.filter(|there| there.turn != Turn::Before) {
            let (_, by) = candidate.source.beats(there.source, true);
            kept.superseded.push(entry.superseded(index, true, by));
        }
        versions.settled(entries, kept);
        plan.push((index, compartment, there.map_or(0, |there| there.version) + 1));
    }
    Ok((plan, opened))
}

/// The versions of a batch, name by name in the order in which the names came first. One that is refused supersedes nothing:
/// then the newest of the others stays.
struct Versions {
    /// The first version of each name.
    firsts: std::vec::IntoIter<usize>,
    /// The later ones, by the first.
    later: HashMap<usize, Vec<usize>>,
    /// The name at hand: its versions that are not refused, the newest one, and what the others lost by, if they differ.
    left: Vec<usize>,
    newest: usize,
    lost: Vec<(usize, Option<Decided>)>,
}

impl Versions {
    fn of(entries: &[Entry]) -> Versions {
        let mut firsts: Vec<usize> = Vec::with_capacity(entries.len());
        let mut later: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut places: HashMap<(&str, &str), usize> = HashMap::with_capacity(entries.len());
        for (index, entry) in entries.iter().enumerate() {
            match places.entry(entry.name()) {
                MapEntry::Occupied(first) => later.entry(*first.get()).or_default().push(index),
                MapEntry::Vacant(free) => {
                    free.insert(index);
                    firsts.push(index);
                }
            }
        }
        Versions {
            firsts: firsts.into_iter(),
            later,
            left: Vec::new(),
            newest: 0,
            lost: Vec::new(),
        }
    }

    /// The newest version that is left of a name.
    fn newest(&mut self, entries: &[Entry], known: &KnownByName) -> Option<usize> {
        if self.left.is_empty() {
            let first = self.firsts.next()?;
            self.left.push(first);
            self.left.extend(self.later.remove(&first).into_iter().flatten());
        }
        self.lost.clear();
        self.newest = self.left[0];
        for &index in &self.left[1..] {
            let (entry, before) = (&entries[index], &entries[self.newest]);
            if before.source_sha256() == entry.source_sha256() {
                self.lost.push((index, None));
                continue;
            }
            let (is_newer, by) = entry.source(known).beats(before.source(known), true);
            let loser = if is_newer {
                std::mem::replace(&mut self.newest, index)
            } else {
                index
            };
            self.lost.push((loser, Some(by)));
        }
        Some(self.newest)
    }

    /// The newest was dealt with; the others lost.
    fn settled(&mut self, entries: &[Entry], kept: &mut Kept) {
        for (loser, by) in self.lost.drain(..) {
            kept.unchanged += 1;
            kept.superseded
                .extend(by.map(|by| entries[loser].superseded(loser, false, by)));
        }
        self.left.clear();
    }

    /// The newest is not taken.
    fn refused(&mut self) {
        let newest = self.newest;
        self.left.retain(|index| *index != newest);
    }
}

/// The compartment of a candidate; `None` for a Patient that is new.
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
                    return Err(unresolved().remedy("A Provenance of several members is not kept."));
                }
                member = member.max(no);
            }
            Ok(Some(member))
        }
    }
}

fn at<'k>(known: &'k KnownByName, rtype: &str, id: &str) -> Option<&'k Known> {
    known.get(rtype)?.get(id)
}

fn known(db: &mut Db, entries: &[Entry], run: &Run) -> Result<KnownByName, Failure> {
    let mut wanted: BTreeMap<&'static str, HashSet<&str>> = BTreeMap::new();
    for entry in entries {
        let (rtype, id) = entry.name();
        wanted.entry(rtype).or_default().insert(id);
        if let Entry::Fit(candidate) = entry
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
            let there = Known {
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

fn owners(db: &mut Db, entries: &[Entry], run: &Run) -> Result<HashMap<String, i64>, Failure> {
    let mut wanted: HashSet<&str> = HashSet::new();
    for entry in entries {
        let Entry::Fit(candidate) = entry else { continue };
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

/// Whose resources name the Binaries of this batch.
fn named_by_others(db: &mut Db, entries: &[Entry]) -> Result<HashMap<String, BTreeSet<i64>>, Failure> {
    let ids: Vec<&str> = entries
        .iter()
        .map(Entry::name)
        .filter(|(rtype, _)| *rtype == "Binary")
        .map(|(_, id)| id)
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    attachments::owners(db, &ids)
}
