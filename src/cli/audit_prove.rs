//! `causeway audit prove` and `audit consistency`: proofs from the tree of the store, as text and as JSON.

use crate::audit::cosigned::last_cosigned;
use crate::audit::log::StoreTiles;
use crate::audit::packet::proofs::TlogProof;
use crate::audit::tree::{TreeHash, leaf_hash, proof};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::store::Db;
use crate::store::ledger_tree::{self as rows, LogRow};
use crate::terminal::{Exit, Out};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// The proof that an entry is in the ledger.
pub(super) struct EntryProof {
    index: u64,
    leaf: TreeHash,
    path: Vec<TreeHash>,
    note: String,
}

impl EntryProof {
    pub(super) fn show(&self, out: &mut Out) {
        if out.json {
            let path: Vec<String> = self.path.iter().map(|hash| STANDARD.encode(hash)).collect();
            let leaf = hex(&self.leaf);
            out.value(&json!({ "index": self.index, "leaf_hash": leaf, "proof": path, "checkpoint": self.note }));
            return;
        }
        let proof = TlogProof {
            index: self.index,
            path: self.path.clone(),
            checkpoint: self.note.clone(),
        };
        out.raw(&proof.text());
    }
}

/// The proof of the entry with this id or index.
///
/// # Errors
/// [`Fault::LedgerEntryUnknown`]; [`Fault::StoreDamaged`]; those of the database.
pub(super) fn prove(db: &mut Db, log: &LogRow, entry: &str) -> Result<EntryProof, Failure> {
    let (checkpoint, note) = last_cosigned(db, log)?;
    let unknown = || Failure::new(Fault::LedgerEntryUnknown);
    let index = match entry.parse::<i64>() {
        Ok(index) => index,
        Err(_) => rows::index_of(db, log.no, entry)?.ok_or_else(unknown)?,
    };
    let place = u64::try_from(index)
        .ok()
        .filter(|index| *index < checkpoint.size)
        .ok_or_else(unknown)?;
    let leaf = rows::leaves(db, log.no, index, 1)?.into_iter().next();
    let bytes = leaf
        .filter(|leaf| leaf.0 == index)
        .and_then(|leaf| leaf.2)
        .ok_or(Fault::StoreDamaged)?;
    let path = proof::inclusion(&mut StoreTiles::open(db, log.no)?, place, checkpoint.size)?;
    let leaf = leaf_hash(&bytes);
    if !proof::includes(&checkpoint.root, checkpoint.size, place, &leaf, &path) {
        let cause = "the entry is not the one that the checkpoint signs; `causeway audit verify` says more";
        return Err(Failure::new(Fault::StoreDamaged).because(cause));
    }
    Ok(EntryProof {
        index: place,
        leaf,
        path,
        note,
    })
}

/// Prints the proof that the tree of `newer` entries extends that of `older`.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for sizes that the tree does not have; those of the store.
pub(super) fn consistency(ctx: &Context, log: &LogRow, older: u64, newer: u64, out: &mut Out) -> Result<Exit, Failure> {
    let (roots, path) = ctx.store.read_blocking(|db| {
        let mut tiles = StoreTiles::open(db, log.no)?;
        if older > newer || newer > tiles.size() {
            let remedy = format!(
                "Give two numbers of entries in order; the tree has {} entries.",
                tiles.size()
            );
            return Err(Failure::new(Fault::ParameterInvalid).at("NEWER").remedy(remedy));
        }
        let roots = [proof::root_at(&mut tiles, older)?, proof::root_at(&mut tiles, newer)?];
        Ok((roots, proof::consistency(&mut tiles, older, newer)?))
    })?;
    let [from, to] = roots.map(|root| STANDARD.encode(root));
    let path: Vec<String> = path.iter().map(|hash| STANDARD.encode(hash)).collect();
    if out.json {
        out.value(&json!({ "older": older, "older_root": from, "newer": newer, "newer_root": to, "proof": path }));
    } else {
        out.line(&format!("{older} {from}"));
        out.line(&format!("{newer} {to}"));
        for hash in path {
            out.line(&hash);
        }
    }
    Ok(Exit::Done)
}
