//! Makes a packet: the entries that a checkpoint covers, their proofs, and what stands beside them.
//!
//! Nothing in it depends on the time at which it is made, or on what was written after the checkpoint.

use super::entry::EvidenceEntry;
use super::figures::{files, lines, requests};
use super::gathered::{Gathered, gather};
use super::opened::{TOGETHER, opened as opened_values};
use super::report::EvidenceReport;
use super::scope::PacketScope;
use super::timeline::timeline;
use super::{documents, policies};
use crate::audit::cosigned::last_cosigned;
use crate::audit::log::{OpenLog, StoreTiles};
use crate::audit::note::Checkpoint;
use crate::audit::packet::archive::{PackedFile, pack};
use crate::audit::packet::manifest::{CHECKPOINT, ENTRIES, ListedFile, MANIFEST, PacketManifest, SCHEMA, SIGNED};
use crate::audit::packet::proofs::{TlogProof, proof_path};
use crate::audit::tree::proof::{TileSource, includes, inclusion};
use crate::audit::tree::tiles::TileAt;
use crate::audit::tree::{TreeHash, leaf_hash};
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::audit_events::{self, ShownBy};
use crate::secret::member_keys::MemberKeys;
use crate::store::entries::EntryRow;
use crate::store::erasures::{self, TakenOut};
use crate::store::{Db, entry_search, evidence_entries as rows};
use serde_json::{Value, json};
use std::collections::HashMap;

const VERIFY: &str = include_str!("verify.txt");

/// How a packet is made.
#[derive(Clone, Debug, Default)]
pub struct PacketTerms {
    /// When it was asked for, UTC microseconds: a checkpoint must cover what was written until then.
    pub asked_us: i64,
    /// The checkpoint at which it is made, instead of the newest one; then it has what that covers.
    pub at_note: Option<String>,
    /// Whether it opens the personal values of its entries.
    pub with_phi: bool,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadePacket {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many entries it has.
    pub entries: u64,
    /// How many entries its checkpoint covers.
    pub size: u64,
    /// The ids of the Patients of whom it tells, and of the entries of which it has what stands beside the bytes.
    pub tells_of: Vec<String>,
    /// What had been taken out of the store before it was read.
    pub read_after: TakenOut,
}

/// The packet of `scope`, signed by the key of the log; none while no checkpoint covers its last entry. Blocks the thread.
///
/// # Errors
/// [`Fault::EvidenceMissing`] when it would have no entry; [`Fault::PacketTooLarge`]; [`Fault::ParameterInvalid`] for a checkpoint of another log;
/// [`Fault::StoreDamaged`] when an entry is not the one that was signed; those of the store.
pub fn make(
    ctx: &Context,
    log: &OpenLog,
    scope: &PacketScope,
    terms: &PacketTerms,
) -> Result<Option<MadePacket>, Failure> {
    ctx.store.read_blocking(|db| {
        let read_after = erasures::taken_out(db)?;
        let Some((checkpoint, note)) = checkpoint(db, log, terms)? else {
            return Ok(None);
        };
        let basis = Basis::read(db, log, checkpoint, note)?;
        let Some((found, entries)) = basis.covered(db, scope, (terms, &ctx.member_keys))? else {
            return Ok(None);
        };
        let (mut told, mut patients) = basis.files(db, (&found, &entries), scope, ctx)?;
        let mut opened = None;
        if terms.with_phi {
            let values = opened_values(db, &entries, &ctx.member_keys)?;
            opened = Some(values.count);
            told.push(values.file);
            patients.extend(values.patients);
        }
        patients.extend(opened_entries(db, &entries, terms)?);
        patients.sort_unstable();
        patients.dedup();
        let manifest = PacketManifest {
            schema: SCHEMA.to_owned(),
            software: concat!("causeway/", env!("CARGO_PKG_VERSION")).to_owned(),
            origin: log.key.name.clone(),
            checkpoint: (&basis.checkpoint).into(),
            scope: scope.told(),
            as_of: rfc3339_ms(basis.as_of_ms),
            entries: entries.len() as u64,
            opened,
            files: told.iter().map(ListedFile::from).collect(),
        };
        let manifest = manifest.bytes().ok_or(Fault::Internal)?;
        let signed = log.sign_manifest(&manifest);
        let mut all = vec![PackedFile::text(MANIFEST, manifest), PackedFile::text(SIGNED, signed)];
        all.extend(told);
        Ok(Some(MadePacket {
            bytes: pack(&all),
            entries: entries.len() as u64,
            size: basis.checkpoint.size,
            tells_of: patients,
            read_after,
        }))
    })
}

/// The checkpoint at which a packet is made, and its text; none when nothing was signed yet.
fn checkpoint(db: &mut Db, log: &OpenLog, terms: &PacketTerms) -> Result<Option<(Checkpoint, String)>, Failure> {
    match &terms.at_note {
        Some(note) => match log.key.open(note) {
            Ok(checkpoint) => Ok(Some((checkpoint, note.clone()))),
            Err(defect) => Err(Failure::new(Fault::ParameterInvalid)
                .at("checkpoint")
                .because(defect.text())),
        },
        None => match last_cosigned(db, &log.row) {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.fault() == Fault::NotFound => Ok(None),
            Err(failure) => Err(failure),
        },
    }
}

/// The checkpoint, and what the store was then.
struct Basis {
    log: i64,
    checkpoint: Checkpoint,
    note: String,
    as_of_ms: i64,
}

impl Basis {
    fn read(db: &mut Db, log: &OpenLog, checkpoint: Checkpoint, note: String) -> Result<Basis, Failure> {
        let last = i64::try_from(checkpoint.size).unwrap_or(i64::MAX) - 1;
        let written = rows::written_at(db, log.row.no, last)?;
        let as_of_us = written.ok_or_else(|| {
            Failure::new(Fault::StoreDamaged).because("the ledger has fewer entries than its checkpoint")
        })?;
        Ok(Basis {
            log: log.row.no,
            checkpoint,
            note,
            as_of_ms: as_of_us / 1000,
        })
    }

    /// The entries that the checkpoint covers, in their places; none while it does not cover all that was written until it was asked.
    fn covered(
        &self,
        db: &mut Db,
        scope: &PacketScope,
        (terms, keys): (&PacketTerms, &MemberKeys),
    ) -> Result<Option<(Gathered, Vec<EvidenceEntry>)>, Failure> {
        let (log, size) = (self.log, self.checkpoint.size);
        let is_covered = move |index: Option<&i64>| {
            index
                .and_then(|index| u64::try_from(*index).ok())
                .filter(|index| *index < size)
        };
        let mut found = gather(db, scope, (self.as_of_ms, keys), &mut |db, item| {
            let places = rows::places(db, log, &[&item.entry_id])?;
            Ok(is_covered(places.get(&item.entry_id)).is_some())
        })?;
        let ids: Vec<&str> = found.rows.keys().map(String::as_str).collect();
        let places = rows::places(db, log, &ids)?;
        let mut entries = Vec::new();
        for row in found.rows.values() {
            match is_covered(places.get(&row.id)) {
                Some(index) => entries.push(EvidenceEntry::new(index, row.clone())?),
                None if terms.at_note.is_none() && row.at_us <= terms.asked_us => return Ok(None),
                None => {}
            }
        }
        if entries.is_empty() {
            return Err(Fault::EvidenceMissing.into());
        }
        entries.sort_unstable_by_key(|entry| entry.index);
        found.keep(&entries);
        Ok(Some((found, entries)))
    }

    /// All files but the manifest, and the ids of the Patients whom they name.
    fn files(
        &self,
        db: &mut Db,
        (found, entries): (&Gathered, &[EvidenceEntry]),
        scope: &PacketScope,
        ctx: &Context,
    ) -> Result<(Vec<PackedFile>, Vec<String>), Failure> {
        let (as_of_ms, payer) = (self.as_of_ms, &*ctx.payer);
        let mut all = vec![PackedFile::text(CHECKPOINT, self.note.as_str()), leaves(entries)];
        self.prove(db, entries, &mut all)?;
        let happened = timeline(entries);
        let asked = requests(db, entries, found, as_of_ms)?;
        let carried = files(db, entries, found, as_of_ms)?;
        let document = |path: &str, value: &Value| PackedFile::text(path, format!("{value:#}\n"));
        all.push(document("timeline.json", &json!(happened)));
        all.push(PackedFile::text("requests.jsonl", lines(&asked)));
        all.push(PackedFile::text("files.jsonl", lines(&carried)));
        let mut beside = documents::of_consents(db, entries, found, as_of_ms)?;
        beside.extend(documents::of_matches(db, entries, &ctx.member_keys)?);
        beside.extend(documents::of_case(found, as_of_ms));
        beside.extend(policies::files(db, entries, &ctx.keeping)?);
        let events = {
            let rows: Vec<EntryRow> = entries.iter().map(|entry| entry.row.clone()).collect();
            audit_events::of_entries(db, &rows, found.member.as_deref(), &ShownBy::of(ctx))?
        };
        let report = EvidenceReport {
            payer: &payer.name,
            scope: &scope.told(),
            checkpoint: &self.checkpoint,
            as_of: &rfc3339_ms(as_of_ms),
            timeline: &happened,
            requests: &asked,
            files: &carried,
            documents: beside
                .iter()
                .filter(|file| file.path.ends_with(".json"))
                .filter_map(|file| Some((file.path.as_str(), std::str::from_utf8(&file.bytes).ok()?)))
                .collect(),
        };
        let page = PackedFile::text("report.html", report.html());
        all.append(&mut beside);
        all.extend(documents::of_partners(db, found, as_of_ms)?);
        all.push(PackedFile::text("auditevents.ndjson", lines(&events)));
        all.push(PackedFile::text("VERIFY.txt", VERIFY));
        all.push(page);
        Ok((all, patients(&events, scope)))
    }

    /// Adds a proof for each entry.
    fn prove(&self, db: &mut Db, entries: &[EvidenceEntry], all: &mut Vec<PackedFile>) -> Result<(), Failure> {
        let (size, root) = (self.checkpoint.size, &self.checkpoint.root);
        let mut tiles = KeptTiles {
            source: StoreTiles::open(db, self.log)?,
            kept: HashMap::new(),
        };
        for entry in entries {
            let path = inclusion(&mut tiles, entry.index, size)?;
            if !includes(root, size, entry.index, &leaf_hash(&entry.row.entry), &path) {
                let cause = format!(
                    "entry {} is not the one that was signed; `causeway audit verify` says more",
                    entry.index
                );
                return Err(Failure::new(Fault::StoreDamaged).because(cause));
            }
            let proof = TlogProof {
                index: entry.index,
                path,
                checkpoint: self.note.clone(),
            };
            all.push(PackedFile::text(&proof_path(entry.index), proof.text()));
        }
        Ok(())
    }
}

/// The ids of the entries of which a packet has more than their bytes: of those with an operator's reason, which stands in the events, or of all
/// where it opens values.
fn opened_entries(db: &mut Db, entries: &[EvidenceEntry], terms: &PacketTerms) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::new();
    for some in entries.chunks(TOGETHER) {
        let rows: Vec<EntryRow> = some.iter().map(|entry| entry.row.clone()).collect();
        let notes = entry_search::notes(db, &rows)?;
        let has_more = |row: &EntryRow| terms.with_phi || notes.contains_key(&row.id);
        ids.extend(rows.into_iter().filter(has_more).map(|row| row.id));
    }
    Ok(ids)
}

/// The ids of the Patients that events name, and of the one that was asked for.
fn patients(events: &[Value], scope: &PacketScope) -> Vec<String> {
    let entities = events.iter().filter_map(|event| event["entity"].as_array()).flatten();
    let named = entities.filter_map(|entity| entity["what"]["reference"].as_str()?.strip_prefix("Patient/"));
    let mut named: Vec<String> = named.map(str::to_owned).collect();
    if let PacketScope::Member(id) = scope {
        named.push(id.clone());
    }
    named.sort_unstable();
    named.dedup();
    named
}

/// The entries, one a line.
fn leaves(entries: &[EvidenceEntry]) -> PackedFile {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend_from_slice(&entry.row.entry);
        bytes.push(b'\n');
    }
    PackedFile::text(ENTRIES, bytes)
}

/// Tiles that were read once.
struct KeptTiles<S> {
    source: S,
    kept: HashMap<TileAt, Vec<TreeHash>>,
}

impl<S: TileSource> TileSource for KeptTiles<S> {
    fn tile(&mut self, at: TileAt) -> Result<Vec<TreeHash>, Failure> {
        if let Some(known) = self.kept.get(&at) {
            return Ok(known.clone());
        }
        let hashes = self.source.tile(at)?;
        self.kept.insert(at, hashes.clone());
        Ok(hashes)
    }
}
