//! The control *disclosed-shares*: of files that one entry is about, chosen by chance, the stored shares of the members are those that the
//! entries commit to.
//!
//! A share that was erased with its member leaves its leaf behind. That it was erased and not lost is what the entries of erasing show.

use super::found::EntryRead;
use super::report::ControlFindings;
use super::row_entries::about;
use super::sample::{HowMany, each, settled};
use crate::audit::{Action, member_leaf, members_root};
use crate::error::{Failure, Fault};
use crate::jobs::Chance;
use crate::secret::hex;
use crate::store::control_rows::RowKind;
use crate::store::disclosed::{self, DisclosedShareRow};
use crate::store::{Db, Store};

/// Bytes of a leaf.
const LEAF: usize = 32;

/// What was found of a file.
#[derive(Default)]
struct FileLook {
    shares: u64,
    erased: u64,
    entries: u64,
    defects: Vec<(&'static str, String, &'static str)>,
}

/// Looks at what was chosen. Waits on this thread.
///
/// # Errors
/// Those of the store.
pub fn run(store: &Store, chance: &Chance, many: HowMany) -> Result<ControlFindings, Failure> {
    let mut findings = ControlFindings::default();
    let (mut shares, mut erased, mut entries) = (0, 0, 0);
    let all = each(store, RowKind::DisclosedFile, (chance, many), &mut |name| {
        let look = settled(store, |db| file(db, name), |look| look.defects.is_empty())?;
        findings.looked_at(look.shares.max(1));
        (shares, erased, entries) = (shares + look.shares, erased + look.erased, entries + look.entries);
        for (what, id, why) in look.defects {
            findings.defect(what, &id, why);
        }
        Ok(())
    })?;
    findings.fact("files", all);
    findings.fact("shares looked at", shares);
    findings.fact("shares that are not there any more", erased);
    findings.fact("entries about these files", entries);
    if all == 0 {
        findings.skip("no file of many members was disclosed");
    }
    Ok(findings)
}

fn file(db: &mut Db, name: &str) -> Result<FileLook, Failure> {
    let mut look = FileLook::default();
    let row = disclosed::file(db, name)?.ok_or(Fault::NotFound)?;
    let leaves: Vec<[u8; LEAF]> = row
        .leaves
        .chunks(LEAF)
        .filter_map(|leaf| leaf.try_into().ok())
        .collect();
    let mut wrong = |what, id: &str, why| look.defects.push((what, id.to_owned(), why));
    if i64::try_from(leaves.len()) != Ok(row.members) || leaves.len() * LEAF != row.leaves.len() {
        wrong("disclosed file", name, "it has not one leaf for each member");
    }
    if members_root(&leaves).as_slice() != row.root {
        wrong("disclosed file", name, "its leaves are not those of its root");
    }
    let shares = disclosed::shares_at(db, name)?;
    for share in &shares {
        if !is_committed(share, &leaves) {
            wrong(
                "share",
                &format!("{name} {}", share.place),
                "it is not what the file committed to",
            );
        }
    }
    let root = hex(&row.root);
    let entries: Vec<EntryRead> = about(db, name, Action::DisclosureBegun)?;
    for entry in &entries {
        let is_same = entry.text("/members/root") == Some(root.as_str())
            && entry.number("/members/count").map(i64::try_from) == Some(Ok(row.members));
        if !is_same {
            wrong("entry", &entry.row.id, "it commits to other members than the file has");
        }
    }
    look.shares = shares.len() as u64;
    look.erased = (leaves.len() as u64).saturating_sub(look.shares);
    look.entries = entries.len() as u64;
    Ok(look)
}

fn is_committed(share: &DisclosedShareRow, leaves: &[[u8; LEAF]]) -> bool {
    let salt: Result<[u8; 32], _> = share.salt.as_slice().try_into();
    let leaf = usize::try_from(share.place).ok().and_then(|place| leaves.get(place));
    match (salt, leaf) {
        (Ok(salt), Some(leaf)) => member_leaf(share.place, &salt, &share.line()) == *leaf,
        _ => false,
    }
}
