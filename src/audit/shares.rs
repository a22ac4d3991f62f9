//! Checks that the members' shares of disclosed files are those to which the ledger is committed: each share has its leaf, the leaves have
//! the root of the file, and the entries about the file have that root too. A share that was erased has its leaf still.

use super::members::{member_leaf, members_root};
use super::tree::tiles::tile_from;
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::store::disclosed::{self, DisclosedFileRow, DisclosedShareRow};
use crate::store::{Db, Store, evidence_entries};
use serde::Serialize;
use serde_json::Value;

/// Files of one read.
const FILES: i64 = 100;
/// Entries about one file that are looked at in one read.
const ENTRIES: i64 = 1_000;

/// What checking the shares found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SharesVerdict {
    /// How many files were checked.
    pub files: u64,
    /// How many shares.
    pub shares: u64,
    /// The first file that is not as the ledger says.
    pub bad_file: Option<String>,
    /// The place of the first share in it that is not.
    pub bad_place: Option<i64>,
    /// What is wrong.
    pub why: Option<&'static str>,
}

/// Checks the shares of all files, up to the first that is wrong. Blocks the thread.
///
/// # Errors
/// Those of the store.
pub fn check(store: &Store) -> Result<SharesVerdict, Failure> {
    let (mut verdict, mut after) = (SharesVerdict::default(), String::new());
    loop {
        let more = store.read_blocking(|db| {
            let files = disclosed::files(db, &after, FILES)?;
            let is_last = i64::try_from(files.len()).is_ok_and(|files| files < FILES);
            for file in files {
                check_file(db, &file, &mut verdict)?;
                if verdict.why.is_some() {
                    return Ok(false);
                }
                after = file.name;
            }
            Ok(!is_last)
        })?;
        if !more {
            return Ok(verdict);
        }
    }
}

fn check_file(db: &mut Db, file: &DisclosedFileRow, verdict: &mut SharesVerdict) -> Result<(), Failure> {
    let shares = disclosed::shares_at(db, &file.name)?;
    verdict.files += 1;
    verdict.shares += shares.len() as u64;
    let mut wrong = differs(file, &shares);
    if wrong.is_none() && is_refuted(is_in_ledger(db, file)?, &shares) {
        wrong = Some((None, "the ledger is committed to other members of this file"));
    }
    if let Some((place, why)) = wrong {
        (verdict.bad_file, verdict.bad_place, verdict.why) = (Some(file.name.clone()), place, Some(why));
    }
    Ok(())
}

/// What of a file and its shares does not belong together, and the place of the first such share.
fn differs(file: &DisclosedFileRow, shares: &[DisclosedShareRow]) -> Option<(Option<i64>, &'static str)> {
    let leaves = tile_from(&file.leaves).unwrap_or_default();
    if u64::try_from(file.members).ok() != Some(leaves.len() as u64) {
        return Some((None, "the file has another number of leaves than of members"));
    }
    if members_root(&leaves).as_slice() != file.root {
        return Some((None, "the leaves do not have the root of the file"));
    }
    let is_own = |share: &DisclosedShareRow| {
        let salt: Option<[u8; 32]> = share.salt.as_slice().try_into().ok();
        let leaf = usize::try_from(share.place).ok().and_then(|place| leaves.get(place));
        salt.zip(leaf)
            .is_some_and(|(salt, leaf)| member_leaf(share.place, &salt, &share.line()) == *leaf)
    };
    let changed = shares.iter().find(|share| !is_own(share))?;
    Some((
        Some(changed.place),
        "the share is not the one to which its leaf is committed",
    ))
}

/// Whether what the ledger says of a file is against the shares that are left. When the time of its entries was over they name no file any
/// more, and the shares went with them: then nothing is left to be compared.
fn is_refuted(is_in_ledger: Option<bool>, shares: &[DisclosedShareRow]) -> bool {
    match is_in_ledger {
        Some(is_in_ledger) => !is_in_ledger,
        None => !shares.is_empty(),
    }
}

/// Whether all entries that name the members of a file have its root; `None` when no entry does.
fn is_in_ledger(db: &mut Db, file: &DisclosedFileRow) -> Result<Option<bool>, Failure> {
    let (root, mut after, mut named) = (hex(&file.root), String::new(), false);
    loop {
        let rows = evidence_entries::about(db, &file.name, &after, ENTRIES)?;
        for row in &rows {
            let entry: Value =
                serde_json::from_slice(&row.entry).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
            if let Some(committed) = entry["members"]["root"].as_str() {
                named = true;
                if committed != root {
                    return Ok(Some(false));
                }
            }
        }
        match rows.last() {
            Some(last) if i64::try_from(rows.len()).is_ok_and(|rows| rows == ENTRIES) => after.clone_from(&last.id),
            _ => return Ok(named.then_some(true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(place: i64, subject: &str) -> DisclosedShareRow {
        DisclosedShareRow {
            subject: subject.into(),
            file: "f".into(),
            place,
            consent_id: "c".into(),
            sensitive: 0,
            begins: place * 10,
            bytes: 10,
            resources: 1,
            salt: vec![u8::try_from(place).expect("small"); 32],
        }
    }

    #[test]
    fn a_share_that_was_changed_is_named_and_one_that_was_erased_is_not_missed() {
        let shares = [share(0, "ana"), share(1, "ben"), share(2, "cai")];
        let leaf = |share: &DisclosedShareRow| {
            let salt = share.salt.as_slice().try_into().expect("a salt");
            member_leaf(share.place, &salt, &share.line())
        };
        let leaves: Vec<[u8; 32]> = shares.iter().map(leaf).collect();
        let file = DisclosedFileRow {
            name: "f".into(),
            members: 3,
            root: members_root(&leaves).to_vec(),
            leaves: leaves.concat(),
        };
        assert_eq!(differs(&file, &shares), None);
        assert_eq!(
            differs(&file, &shares[..1]),
            None,
            "erased shares have their leaves still"
        );
        let mut changed = shares.clone();
        changed[1].bytes += 1;
        assert_eq!(differs(&file, &changed).map(|(place, _)| place), Some(Some(1)));
        assert!(!is_refuted(None, &[]), "its time was over");
        assert!(is_refuted(None, &shares[..1]), "a share without an entry");
        assert_eq!([true, false].map(|found| is_refuted(Some(found), &[])), [false, true]);
        let swapped = [share(0, "ben")];
        assert_eq!(differs(&file, &swapped).map(|(place, _)| place), Some(Some(0)));
        let other_root = DisclosedFileRow {
            root: vec![7; 32],
            ..file.clone()
        };
        assert_eq!(differs(&other_root, &shares).map(|(place, _)| place), Some(None));
        let fewer = DisclosedFileRow { members: 2, ..file };
        assert!(differs(&fewer, &shares).is_some());
    }
}
