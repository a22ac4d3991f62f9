//! Writing a batch of candidates inside one transaction: compartments, keys, versions, and what is unchanged.
//!
//! The owner is resolved here, in order, so that a member and the member's records may come in one batch. What has no
//! resolvable owner is refused, never kept as shared.

use super::compartment::Owner;
use super::dependencies::{self, Standings, Written};
use super::gate::{Candidate, with_version};
use super::index::{self, Indexer};
use super::search_index::Rows;
use crate::error::{Failure, Fault};
use crate::ids::Ids;
use crate::store::Db;
use crate::store::disclosure::PA_NONE;
use crate::store::resources::{self, Compartment, Identifier, Member, NOBODY, Row, SEQUENCE_BITS};
use crate::store::withheld::{self, Deciding};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

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
    fn name(&self) -> (&'static str, &str) {
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
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Kept {
    /// New or changed.
    pub stored: u64,
    /// There already with the same content, or superseded in this run.
    pub unchanged: u64,
    /// Of those, the ones with other content that an earlier entry of the same run supersedes.
    pub superseded: u64,
    /// Index in the batch, and why.
    pub rejected: Vec<(usize, Failure)>,
    /// Of those stored, how many do not leave, by reason ([`withheld::REASONS`]); one may have several reasons.
    pub withheld: BTreeMap<&'static str, u64>,
    keys: Vec<i64>,
}

/// The keys that a run has dealt with: one bit for each resource, so that memory stays flat.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<RwLock<HashMap<i64, Vec<u64>>>>);

impl Seen {
    fn has(&self, key: i64) -> bool {
        let (compartment, word, bit) = Seen::place(key);
        let seen = self.0.read().unwrap_or_else(PoisonError::into_inner);
        seen.get(&compartment)
            .and_then(|words| words.get(word))
            .is_some_and(|bits| bits & bit != 0)
    }

    /// Marks what a committed batch has dealt with.
    pub fn mark(&self, kept: &Kept) {
        let mut seen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for &key in &kept.keys {
            let (compartment, word, bit) = Seen::place(key);
            let words = seen.entry(compartment).or_default();
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            words[word] |= bit;
        }
    }

    fn place(key: i64) -> (i64, usize, u64) {
        let sequence = (key & ((1 << SEQUENCE_BITS) - 1)) as usize;
        (key >> SEQUENCE_BITS, sequence / 64, 1 << (sequence % 64))
    }
}

/// What is known of a name in this batch.
struct Known {
    key: i64,
    version: i64,
    source_sha256: Vec<u8>,
    pa_state: i64,
    /// Dealt with in this run.
    done: bool,
}

/// Keeps `entries`, in order: of several with the same type and id in one run, the first is kept. Runs in the caller's
/// transaction; call [`Seen::mark`] after it is durable. What the matcher finds members by is written with them.
///
/// # Errors
/// Those of the database. What is wrong with one entry is in [`Kept::rejected`].
pub fn keep(
    db: &mut Db,
    entries: &[Entry],
    seen: &Seen,
    indexer: &Indexer,
    ids: &Ids,
    now_ms: i64,
) -> Result<Kept, Failure> {
    resources::lock(db)?;
    let mut known = known(db, entries, seen)?;
    let mut owners = owners(db, entries)?;
    let mut kept = Kept::default();
    let mut opened: Vec<(i64, &str, String)> = Vec::new();
    let mut next_no = None;
    let mut plan: Vec<(&Candidate, i64, i64)> = Vec::new();
    let mut placed: HashSet<(&str, &str)> = HashSet::new();
    for (index, entry) in entries.iter().enumerate() {
        let name = entry.name();
        if let Some(there) = known.get_mut(&name) {
            let same = there.source_sha256 == entry.source_sha256();
            if same || there.done {
                kept.unchanged += 1;
                kept.superseded += u64::from(!same);
                there.done = true;
                kept.keys.push(there.key);
                continue;
            }
        } else if placed.contains(&name) {
            kept.unchanged += 1;
            kept.superseded += 1;
            continue;
        }
        let Entry::Fit(candidate) = entry else {
            // It changed since it was looked up; another import has dealt with it.
            kept.unchanged += 1;
            kept.superseded += 1;
            continue;
        };
        let compartment = match resolve(candidate, &owners, &known, &plan) {
            Ok(Some(compartment)) => compartment,
            Ok(None) => {
                let no = match next_no {
                    Some(no) => no,
                    None => resources::next_compartment(db)?,
                };
                next_no = Some(no + 1);
                opened.push((no, &candidate.id, ids.new_id(now_ms)));
                owners.insert(candidate.id.clone(), no);
                no
            }
            Err(failure) => {
                kept.rejected.push((index, failure));
                continue;
            }
        };
        let version = known.get(&name).map_or(0, |there| there.version) + 1;
        placed.insert(name);
        if let Some(there) = known.get_mut(&name) {
            there.done = true;
        }
        plan.push((candidate, compartment, version));
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
    write(db, &plan, &known, indexer.base_url(), now_ms, &mut kept)?;
    index::renew(db, indexer, &renamed(&plan, &known))?;
    Ok(kept)
}

/// The compartments in which a Patient or a Coverage came, changed or went.
fn renamed(plan: &[(&Candidate, i64, i64)], known: &HashMap<(&str, &str), Known>) -> Vec<i64> {
    let mut numbers: Vec<i64> = plan
        .iter()
        .filter(|(candidate, ..)| matches!(candidate.rtype, "Patient" | "Coverage"))
        .flat_map(|(candidate, compartment, _)| {
            let before = known.get(&(candidate.rtype, candidate.id.as_str()));
            [Some(*compartment), before.map(|there| there.key >> SEQUENCE_BITS)]
        })
        .flatten()
        .filter(|no| *no != NOBODY)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The compartment of a candidate; `None` for a Patient that is new.
fn resolve(
    candidate: &Candidate,
    owners: &HashMap<String, i64>,
    known: &HashMap<(&str, &str), Known>,
    plan: &[(&Candidate, i64, i64)],
) -> Result<Option<i64>, Failure> {
    match &candidate.owner {
        Owner::Nobody => Ok(Some(NOBODY)),
        Owner::Patient => Ok(owners.get(&candidate.id).copied()),
        Owner::Member { id, at } => match owners.get(id) {
            Some(no) => Ok(Some(*no)),
            None => Err(Failure::new(Fault::ReferenceUnresolved).at(at)),
        },
        Owner::Targets(targets) => {
            let mut member = NOBODY;
            for (rtype, id, at) in targets {
                let planned = || {
                    plan.iter()
                        .find(|(c, ..)| c.rtype == rtype && c.id == *id)
                        .map(|(_, no, _)| *no)
                };
                let stored = known
                    .get(&(rtype.as_str(), id.as_str()))
                    .map(|there| there.key >> SEQUENCE_BITS);
                let unresolved = || Failure::new(Fault::ReferenceUnresolved).at(at);
                let no = stored.or_else(planned).ok_or_else(unresolved)?;
                if no != NOBODY && member != NOBODY && no != member {
                    return Err(unresolved().remedy("A Provenance of several members is not kept."));
                }
                member = member.max(no);
            }
            Ok(Some(member))
        }
    }
}

fn known<'e>(db: &mut Db, entries: &'e [Entry], seen: &Seen) -> Result<HashMap<(&'e str, &'e str), Known>, Failure> {
    let mut wanted: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for entry in entries {
        let (rtype, id) = entry.name();
        wanted.entry(rtype).or_default().insert(id);
        if let Entry::Fit(candidate) = entry
            && let Owner::Targets(targets) = &candidate.owner
        {
            for (rtype, id, _) in targets {
                wanted.entry(rtype).or_default().insert(id);
            }
        }
    }
    let mut known = HashMap::new();
    for (rtype, ids) in wanted {
        let list: Vec<&str> = ids.iter().copied().collect();
        for row in resources::existing(db, rtype, &list)? {
            let Some(id) = ids.get(row.id.as_str()) else { continue };
            let there = Known {
                key: row.key,
                version: row.version,
                source_sha256: row.source_sha256,
                pa_state: row.pa_state,
                done: seen.has(row.key),
            };
            known.insert((rtype, *id), there);
        }
    }
    Ok(known)
}

fn owners(db: &mut Db, entries: &[Entry]) -> Result<HashMap<String, i64>, Failure> {
    let mut wanted: HashSet<&str> = HashSet::new();
    for entry in entries {
        let Entry::Fit(candidate) = entry else { continue };
        match &candidate.owner {
            Owner::Member { id, .. } => wanted.insert(id),
            Owner::Patient => wanted.insert(&candidate.id),
            Owner::Targets(_) | Owner::Nobody => false,
        };
    }
    resources::compartments(db, &wanted.into_iter().collect::<Vec<_>>())
}

fn write(
    db: &mut Db,
    plan: &[(&Candidate, i64, i64)],
    known: &HashMap<(&str, &str), Known>,
    base_url: &str,
    now_ms: i64,
    kept: &mut Kept,
) -> Result<(), Failure> {
    // The body was written for the version that was expected; when the store has moved on, it is rewritten.
    let mut rewritten = HashMap::new();
    for (index, (candidate, _, version)) in plan.iter().enumerate() {
        if candidate.version != *version {
            rewritten.insert(index, with_version(candidate, *version)?);
        }
    }
    // A changed resource keeps its key unless it changed hands.
    let mut keys = Vec::with_capacity(plan.len());
    let mut replaced = Vec::new();
    let mut counts: HashMap<i64, i64> = HashMap::new();
    for (candidate, compartment, _) in plan {
        let old = known
            .get(&(candidate.rtype, candidate.id.as_str()))
            .map(|there| there.key);
        replaced.extend(old);
        let key = old.filter(|key| key >> SEQUENCE_BITS == *compartment);
        if key.is_none() {
            *counts.entry(*compartment).or_default() += 1;
        }
        keys.push(key);
    }
    let freed = dependencies::take_back(db, &replaced)?;
    resources::remove(db, &replaced)?;
    let mut next = resources::take_sequences(db, &counts)?;
    let mut rows = Vec::with_capacity(plan.len());
    let mut identifiers = Vec::new();
    let mut members = Vec::new();
    let mut indexed = Rows::default();
    for (index, (candidate, compartment, version)) in plan.iter().enumerate() {
        let candidate = rewritten.get(&index).unwrap_or(candidate);
        let key = keys[index].unwrap_or_else(|| {
            let sequence = next.entry(*compartment).or_insert(1);
            *sequence += 1;
            (compartment << SEQUENCE_BITS) | (*sequence - 1)
        });
        kept.keys.push(key);
        kept.stored += 1;
        rows.push(row(candidate, key, *compartment, *version));
        indexed.add(&candidate.indexed, key);
        identifiers.extend(candidate.identifiers.iter().map(|one| Identifier {
            value: &one.value,
            system: &one.system,
            rtype: candidate.rtype,
            kind: &one.kind,
            key,
        }));
        members.extend(candidate.demographics.as_ref().map(|one| Member {
            compartment: *compartment,
            patient_id: &candidate.id,
            family: &one.family,
            birth_date: &one.birth_date,
            demographics: &one.json,
        }));
    }
    resources::insert(db, &rows, &identifiers)?;
    indexed.write(db)?;
    resources::put_members(db, &members)?;

    let written: Vec<Written<'_>> = plan
        .iter()
        .zip(&rows)
        .map(|((candidate, ..), row)| Written {
            key: row.key,
            rtype: candidate.rtype,
            id: &candidate.id,
            says: &candidate.says,
            pa_state: candidate.pa_state,
            before: known
                .get(&(candidate.rtype, candidate.id.as_str()))
                .map(|there| there.pa_state),
        })
        .collect();
    let stands = |rtype: &str, id: &str| known.get(&(rtype, id)).map(|there| there.pa_state);
    let hang = dependencies::renew(db, &written, freed, &stands, base_url)?;
    count_withheld(&rows, &hang, now_ms, &mut kept.withheld);
    Ok(())
}

/// Counts what was written and does not leave, by reason.
fn count_withheld(rows: &[Row<'_>], hang: &Standings, now_ms: i64, counts: &mut BTreeMap<&'static str, u64>) {
    for row in rows {
        let (mut pa_state, mut pa_changed_ms) = (row.pa_state, row.pa_changed_ms);
        if !hang.is_empty()
            && let Some(found) = hang.get(&(row.rtype.to_owned(), row.id.to_owned()))
        {
            (pa_state, pa_changed_ms) = *found;
        }
        if row.sensitivity == 0 && row.financial == 0 && pa_state == PA_NONE {
            continue;
        }
        let deciding = Deciding {
            rtype: row.rtype,
            sensitivity: row.sensitivity,
            pa_state,
            pa_changed_ms,
            financial: row.financial,
            has_released: row.released.is_some(),
        };
        for reason in withheld::reasons(&deciding, now_ms) {
            *counts.entry(reason).or_default() += 1;
        }
    }
}

fn row(candidate: &Candidate, key: i64, compartment: i64, version: i64) -> Row<'_> {
    Row {
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
    }
}
