//! Seals operators' reasons beside entries of the ledger, each under the key of what its entry is about, which lies outside the database.
//!
//! A reason is written plain, in the transaction of its entry, and is sealed some minutes later; those of earlier versions are sealed in the same
//! way. Each step may be done again after a crash: a key without a row opens nothing, and a reason that is not sealed yet is found again. It
//! decides nothing about erasures, and never makes a file of keys where the store says that there was one.

use crate::context::Context;
use crate::error::Failure;
use crate::ids::before_all_of;
use crate::secret::member_keys::{KeyReader, KeySlot, KeyStart, NOTHING_SEALED, ValuePlace};
use crate::store::Db;
use crate::store::member_keys::{self as rows, PlainNote};
use std::collections::{BTreeSet, HashMap};

/// From which age on a reason is sealed, milliseconds: no older entry can still be uncommitted.
const SETTLED_MS: i64 = 120_000;
/// Reasons that are sealed in one write.
const TOGETHER: usize = 500;

/// A write of a run. It may run more than once.
pub type NotesWrite = Box<dyn FnMut(&mut Db) -> Result<(), Failure> + Send>;
/// Commits a write of a run.
pub type CommitNotes<'w> = &'w dyn Fn(NotesWrite) -> Result<(), Failure>;

/// Seals the reasons that are old enough and not sealed yet. Returns how many were sealed. Blocks the thread.
///
/// # Errors
/// [`Fault::SealKeys`] when the file of keys is missing or cannot be used; those of the store and of `commit`. What was sealed before stays so.
///
/// [`Fault::SealKeys`]: crate::error::Fault::SealKeys
pub fn seal_notes(ctx: &Context, commit: CommitNotes<'_>) -> Result<usize, Failure> {
    let keys = &ctx.member_keys;
    if !keys.is_placed() {
        return Ok(0);
    }
    // Also when there is nothing to seal: a file that is missing is noticed, and a newer key of keys is followed.
    let (mark, has_any) = ctx
        .store
        .read_blocking(|db| Ok((rows::known_mark(db)?, rows::has_any(db)?)))?;
    if let Some(mark) = mark.filter(|_| has_any) {
        keys.ready(&mark, KeyStart::Never)?;
    }
    let before = before_all_of(ctx.clock.now_ms().saturating_sub(SETTLED_MS));
    let (mut after, mut sealed) = (String::new(), 0);
    loop {
        let limit = i64::try_from(TOGETHER).unwrap_or(i64::MAX);
        let notes = ctx.store.read_blocking(|db| rows::plain(db, &after, &before, limit))?;
        let Some(last) = notes.last() else { return Ok(sealed) };
        after.clone_from(&last.entry_id);
        let is_last = notes.len() < TOGETHER;
        match seal_some(ctx, notes, commit)? {
            Some(some) => sealed += some,
            None => return Ok(sealed),
        }
        if is_last {
            return Ok(sealed);
        }
    }
}

/// What an entry is about, or that it is about nothing.
fn subject_of(note: &PlainNote) -> &str {
    note.subject.as_deref().unwrap_or_default()
}

/// The mark of the store, and its file of keys, ready for new work; none when there is no file and this process is not the one to make it.
pub(super) fn keys_for_work(ctx: &Context) -> Result<Option<([u8; 32], KeyReader)>, Failure> {
    let keys = &ctx.member_keys;
    let start = match (ctx.store.read_blocking(rows::has_any)?, ctx.store.is_remote()) {
        (true, _) => KeyStart::Never,
        (false, false) => KeyStart::Anew,
        // Other processes need the same file: somebody puts an empty one where all of them reach it.
        (false, true) if keys.has_file() => KeyStart::InEmptyFile,
        (false, true) => return Ok(None),
    };
    let mark = ctx.store.write_blocking(rows::mark)?;
    let reader = keys.ready(&mark, start)?;
    Ok(Some((mark, reader)))
}

/// Seals these reasons; none when there is no file of keys and this process is not the one to make it.
fn seal_some(ctx: &Context, notes: Vec<PlainNote>, commit: CommitNotes<'_>) -> Result<Option<usize>, Failure> {
    let Some((mark, reader)) = keys_for_work(ctx)? else {
        return Ok(None);
    };
    let mut codes: HashMap<String, String> = HashMap::new();
    for note in notes.iter().filter(|note| !note.reason.is_empty()) {
        let subject = subject_of(note);
        if !codes.contains_key(subject) {
            codes.insert(subject.to_owned(), reader.code(subject)?);
        }
    }
    let slots = slots_of(ctx, &mark, codes.values().cloned().collect(), commit)?;
    let (mut sealed, mut lacking): (Vec<(String, Vec<u8>)>, usize) = (Vec::new(), 0);
    for note in notes {
        if note.reason.is_empty() {
            sealed.push((note.entry_id, NOTHING_SEALED.to_vec()));
            continue;
        }
        let slot = codes.get(subject_of(&note)).and_then(|code| slots.get(code));
        let place = ValuePlace::Note(&note.entry_id);
        match slot.and_then(|slot| reader.seal(*slot, place, note.reason.as_bytes())) {
            Some(bytes) => sealed.push((note.entry_id, bytes)),
            // The key is being destroyed, or this file is older than the store.
            None => lacking += 1,
        }
    }
    if lacking > 0 {
        tracing::warn!(
            reasons = lacking,
            "member.keys lacks keys that the store names: reasons under them stay plain until an erasure that is under way is done, or the newest member.keys is put back"
        );
    }
    let count = sealed.len();
    commit(Box::new(move |db: &mut Db| {
        sealed.iter().try_for_each(|(id, bytes)| rows::seal(db, id, bytes))
    }))?;
    Ok(Some(count))
}

/// Where the keys with these codes are; those that there are not yet are made, and durable before the database knows them.
fn slots_of(
    ctx: &Context,
    mark: &[u8; 32],
    codes: BTreeSet<String>,
    commit: CommitNotes<'_>,
) -> Result<HashMap<String, KeySlot>, Failure> {
    let codes: Vec<String> = codes.into_iter().collect();
    let known = ctx.store.read_blocking(|db| rows::slots_of(db, &codes))?;
    let lacking: Vec<String> = codes
        .iter()
        .filter(|code| !known.contains_key(*code))
        .cloned()
        .collect();
    if lacking.is_empty() {
        return Ok(known);
    }
    let slots = ctx.member_keys.add(mark, lacking.len())?;
    let made: Vec<(String, KeySlot)> = lacking.into_iter().zip(slots).collect();
    commit(Box::new(move |db: &mut Db| rows::put(db, &made)))?;
    // Another process may have made some of them first.
    ctx.store.read_blocking(|db| rows::slots_of(db, &codes))
}
