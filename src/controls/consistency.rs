//! The controls *consistency* and *partner-checkpoints*: the ledger is what its log signed, and extends every checkpoint that is kept, here or
//! elsewhere; and the checkpoints that partners sent do not contradict each other.

use super::report::ControlFindings;
use crate::audit::cosignature::{WitnessKey, WitnessWord};
use crate::audit::log::{StoreTiles, key_of};
use crate::audit::note::{Checkpoint, LogKey};
use crate::audit::stored::StoredLedger;
use crate::audit::tree::proof::root_at;
use crate::audit::verify::{LedgerResult, verify};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::ledger_tree::{self as rows, LogRow};
use crate::store::{Store, cosignatures, partner_checkpoints};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Checkpoints that one query reads.
const READ: i64 = 500;

/// Verifies the ledger, and compares it with every checkpoint of it that is kept here (those that the log signed, and those that witnesses
/// confirmed) and with those of `outside`, which were kept elsewhere. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn run(store: &Store, outside: &[Checkpoint]) -> Result<ControlFindings, Failure> {
    let mut findings = ControlFindings::default();
    let Some(log) = store.read_blocking(rows::log)? else {
        findings.skip("no log has begun: a server begins it");
        return Ok(findings);
    };
    let key = key_of(&log)?;
    if store.read_blocking(|db| rows::checkpoint(db, log.no))?.is_none() {
        findings.skip("nothing is signed yet: a server signs seconds after it starts");
        return Ok(findings);
    }
    let verdict = verify(&mut StoredLedger::open(store, log.no)?, &key, None, None)?;
    findings.looked_at(verdict.entries);
    findings.fact("log", &key.name);
    findings.fact("verified entries", verdict.entries);
    if let Some(signed) = verdict.checkpoint {
        findings.fact("signed entries", signed);
    }
    if verdict.result != LedgerResult::Ok {
        let why = verdict.why.unwrap_or_default();
        let at = verdict
            .first_bad
            .map_or_else(|| key.name.clone(), |index| format!("index {index}"));
        findings.defect("ledger", &at, why);
        // Without a whole tree nothing can be compared with it.
        return Ok(findings);
    }
    let mut kept = signed(store, &log, &key, &mut findings)?;
    kept.extend(confirmed(store, &log, &key, &mut findings)?);
    findings.fact("checkpoints from outside", outside.len());
    kept.extend(
        outside
            .iter()
            .map(|checkpoint| ("checkpoint from outside", checkpoint.clone())),
    );
    compare(store, &log, &kept, &mut findings)?;
    Ok(findings)
}

/// The checkpoints that the log signed and keeps.
fn signed(
    store: &Store,
    log: &LogRow,
    key: &LogKey,
    findings: &mut ControlFindings,
) -> Result<Vec<(&'static str, Checkpoint)>, Failure> {
    let (mut found, mut after) = (Vec::new(), -1);
    loop {
        let page = store.read_blocking(|db| rows::checkpoints(db, log.no, after, READ))?;
        let Some(last) = page.last() else { break };
        after = last.size;
        for row in page {
            match key.open(&row.note) {
                Ok(checkpoint) if checkpoint.size.try_into() == Ok(row.size) => {
                    found.push(("signed checkpoint", checkpoint))
                }
                Ok(_) => findings.defect("signed checkpoint", &row.size.to_string(), "it is of another size"),
                Err(defect) => findings.defect("signed checkpoint", &row.size.to_string(), defect.text()),
            }
        }
    }
    findings.fact("signed checkpoints", found.len());
    Ok(found)
}

/// The newest checkpoint that each witness confirmed.
fn confirmed(
    store: &Store,
    log: &LogRow,
    key: &LogKey,
    findings: &mut ControlFindings,
) -> Result<Vec<(&'static str, Checkpoint)>, Failure> {
    let mut found = Vec::new();
    let mut newest = None;
    for row in store.read_blocking(|db| cosignatures::all(db, log.no))? {
        let word = WitnessKey::parse(&row.witness).map(|witness| witness.word(&format!("{}{}", row.note, row.line)));
        match (word, key.open(&row.note)) {
            (Some(WitnessWord::Confirmed(_)), Ok(checkpoint)) => {
                newest = newest.max(Some((row.size, row.signed_ms)));
                found.push(("witnessed checkpoint", checkpoint));
            }
            (Some(_), Ok(_)) => findings.defect("witnessed checkpoint", &row.witness, "its line is not the witness's"),
            (None, _) => findings.defect(
                "witnessed checkpoint",
                &row.witness,
                "the key of the witness does not read",
            ),
            (_, Err(defect)) => findings.defect("witnessed checkpoint", &row.witness, defect.text()),
        }
    }
    findings.fact("witnesses", found.len());
    if let Some((size, signed_ms)) = newest {
        findings.fact("witnessed entries", size);
        findings.fact("witnessed at", rfc3339_ms(signed_ms));
    }
    Ok(found)
}

/// Compares the tree with each checkpoint.
fn compare(
    store: &Store,
    log: &LogRow,
    kept: &[(&'static str, Checkpoint)],
    findings: &mut ControlFindings,
) -> Result<(), Failure> {
    for (what, checkpoint) in kept {
        findings.look();
        let size = checkpoint.size;
        let root = store.read_blocking(|db| {
            let mut tiles = StoreTiles::open(db, log.no)?;
            match size <= tiles.size() {
                true => root_at(&mut tiles, size).map(Some),
                false => Ok(None),
            }
        });
        let why = match root {
            Ok(Some(root)) if root == checkpoint.root => continue,
            Ok(Some(_)) => "the ledger does not extend it: its history was changed",
            Ok(None) => "the ledger has fewer entries than it",
            Err(failure) if failure.fault() == Fault::StoreDamaged => "the tiles of the ledger do not reach to it",
            Err(failure) => return Err(failure),
        };
        findings.defect(what, &size.to_string(), why);
    }
    Ok(())
}

/// Compares the checkpoints of partners' ledgers that came with their answers: two of the same log and size have the same root. Nobody here
/// can verify more: the ledgers are the partners'. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn of_partners(store: &Store) -> Result<ControlFindings, Failure> {
    let mut findings = ControlFindings::default();
    let mut known: BTreeMap<(String, String, u64), ([u8; 32], String)> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = store.read_blocking(|db| partner_checkpoints::page(db, &after, READ))?;
        let Some(last) = page.last() else { break };
        after.clone_from(&last.work_id);
        for row in page {
            findings.look();
            let Some(checkpoint) = Checkpoint::unverified(&row.note) else {
                findings.defect("partner checkpoint", &row.work_id, "it does not read");
                continue;
            };
            match known.entry((row.partner_id, checkpoint.origin, checkpoint.size)) {
                Entry::Vacant(place) => {
                    place.insert((checkpoint.root, row.work_id));
                }
                Entry::Occupied(place) if place.get().0 != checkpoint.root => {
                    let other = &place.get().1;
                    let why = format!("the partner {} told another history with {other}", place.key().0);
                    findings.defect("partner checkpoint", &row.work_id, why);
                }
                Entry::Occupied(_) => {}
            }
        }
    }
    if findings.checked() == 0 {
        findings.skip("no partner has sent a checkpoint of its ledger");
    }
    let logs: std::collections::BTreeSet<_> = known.keys().map(|(partner, origin, _)| (partner, origin)).collect();
    findings.fact("partners' ledgers", logs.len());
    Ok(findings)
}
