//! Seals correlation ids that callers chose, each under a key of its own outside the database, and destroys the keys of those that nothing has any
//! more or that are a member's who is erased.
//!
//! An id is written plain, with its entry and its decision, and a handle takes its place some minutes later; those of earlier versions are moved in
//! the same way. An id of a caller may be a member's number: an entry commits to it with a salt, so that its bytes say nothing of it. Each step may
//! be done again after a crash: a key without a row opens nothing, a row that is plain is found again, and a text that is doomed is found until it
//! is gone. It must never put a handle into an entry, or destroy a key that something still needs.

use super::note_sealing::{CommitNotes, keys_for_work};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::before_all_of;
use crate::secret::member_keys::{KeyReader, KeySlot, ValuePlace, slot_of_sealed};
use crate::store::correlation_rows::{
    self as rows, CorrelationPlace, MovedCorrelation, PlainCorrelations, SealedCorrelation,
};
use crate::store::retention::may_delete_beside_entries;
use crate::store::{Db, erased_correlations, member_keys};
use std::collections::{BTreeMap, HashMap, HashSet};

/// From which age on an id is sealed, milliseconds: no older row can still be uncommitted.
const SETTLED_MS: i64 = 120_000;
/// Rows that are looked at in one write.
const TOGETHER: i64 = 200;
/// Texts that are opened, or whose keys are destroyed, at a time.
const TEXTS: i64 = 500;
/// Most writes of one run for each table: a store of an earlier version is moved over some runs, so that other work of the job goes on.
const STEPS: usize = 500;

/// Seals the ids that are old enough and stand plain, and destroys the keys of those that nothing has any more. Returns how many rows got a
/// handle. Blocks the thread.
///
/// # Errors
/// [`Fault::SealKeys`] when the file of keys is missing or cannot be used; those of the store and of `commit`. What was sealed before stays so.
pub fn seal_correlations(ctx: &Context, commit: CommitNotes<'_>) -> Result<usize, Failure> {
    if !ctx.member_keys.is_placed() || !ctx.store.read_blocking(may_delete_beside_entries)? {
        return Ok(0);
    }
    destroy_unused(ctx, commit)?;
    let before = before_all_of(ctx.clock.now_ms().saturating_sub(SETTLED_MS));
    let mut sealed = 0;
    for place in [CorrelationPlace::Entries, CorrelationPlace::Decisions] {
        let mut upto = String::new();
        for _ in 0..STEPS {
            let next = ctx
                .store
                .read_blocking(|db| rows::plain(db, place, &before, TOGETHER))?;
            // The same rows come again while a key that they need is being destroyed.
            let Some(next) = next.filter(|next| next.upto != upto) else {
                break;
            };
            upto.clone_from(&next.upto);
            match seal_some(ctx, place, next, commit)? {
                Some(some) => sealed += some,
                None => return Ok(sealed),
            }
        }
    }
    Ok(sealed)
}

/// Seals these; none when there is no file of keys and this process is not the one to make it, or it lacks a key.
fn seal_some(
    ctx: &Context,
    place: CorrelationPlace,
    plain: PlainCorrelations,
    commit: CommitNotes<'_>,
) -> Result<Option<usize>, Failure> {
    let (count, upto) = (plain.rows.len(), plain.upto);
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (row, text) in plain.rows {
        texts.entry(text).or_default().push(row);
    }
    let moved = match texts.is_empty() {
        true => Vec::new(),
        false => match moved(ctx, texts)? {
            Some(moved) => moved,
            None => return Ok(None),
        },
    };
    commit(Box::new(move |db: &mut Db| rows::seal(db, place, &moved, &upto)))?;
    Ok(Some(count))
}

/// The rows with their handles. Keys of texts that have none yet, or whose key is gone, are made, and durable when this returns.
fn moved(ctx: &Context, texts: BTreeMap<String, Vec<String>>) -> Result<Option<Vec<MovedCorrelation>>, Failure> {
    let Some((mark, reader)) = keys_for_work(ctx)? else {
        return Ok(None);
    };
    let mut moved = Vec::with_capacity(texts.len());
    for (text, rows) in texts {
        moved.push(MovedCorrelation {
            handle: reader.handle(&text)?,
            text,
            sealed: None,
            dead: None,
            rows,
        });
    }
    let lacking = lacking(ctx, &mark, &reader, &mut moved)?;
    if !lacking.is_empty() {
        let slots = ctx.member_keys.add(&mark, lacking.len())?;
        // Opened anew: the file may have been wrapped again meanwhile.
        let reader = ctx.member_keys.reader(&mark)?.ok_or(Fault::SealKeys)?;
        let new = moved.iter_mut().filter(|one| lacking.contains(&one.handle));
        for (one, slot) in new.zip(slots) {
            let bytes = sealed(&reader, slot, one)?;
            one.sealed = Some(bytes);
        }
    }
    Ok(Some(moved))
}

/// The handles that need a key: they have no text, or one that opens no more, which is kept in `dead`.
///
/// A restored store may have texts whose keys were destroyed after the backup. An id must not be moved to such a one: nobody could read it again.
fn lacking(
    ctx: &Context,
    mark: &[u8; 32],
    reader: &KeyReader,
    moved: &mut [MovedCorrelation],
) -> Result<HashSet<String>, Failure> {
    let handles: Vec<String> = moved.iter().map(|one| one.handle.clone()).collect();
    let known = ctx.store.read_blocking(|db| rows::known(db, &handles))?;
    let known: HashMap<&str, &SealedCorrelation> = known.iter().map(|one| (one.handle.as_str(), one)).collect();
    let mut lacking = HashSet::new();
    for one in moved {
        match known.get(one.handle.as_str()) {
            None => {
                lacking.insert(one.handle.clone());
            }
            // Its rows stay plain until it is gone.
            Some(known) if known.is_doomed() => {}
            Some(known) => {
                if reader
                    .open(ValuePlace::Correlation(&one.handle), &known.sealed)?
                    .is_none()
                {
                    // In an older file the key is not gone but lacking, and no erasure would find it again.
                    ctx.member_keys.demand(mark, &slots_of(std::slice::from_ref(*known)))?;
                    one.dead = Some(known.sealed.clone());
                    lacking.insert(one.handle.clone());
                }
            }
        }
    }
    Ok(lacking)
}

/// Where the keys of these texts are. Bytes that are damaged have none.
fn slots_of(texts: &[SealedCorrelation]) -> Vec<KeySlot> {
    texts.iter().filter_map(|one| slot_of_sealed(&one.sealed)).collect()
}

fn sealed(reader: &KeyReader, slot: KeySlot, one: &MovedCorrelation) -> Result<Vec<u8>, Failure> {
    let place = ValuePlace::Correlation(&one.handle);
    reader
        .seal(slot, place, one.text.as_bytes())
        .ok_or_else(|| Failure::new(Fault::SealKeys).because("a key that was just made seals nothing"))
}

/// Destroys the keys of texts that no row has any more, and forgets the texts.
///
/// # Errors
/// [`Fault::SealKeys`] when the file of keys is missing or older than the store; those of the store and of `commit`.
pub fn destroy_unused(ctx: &Context, commit: CommitNotes<'_>) -> Result<(), Failure> {
    while ctx.store.read_blocking(rows::has_loose)? {
        commit(Box::new(|db: &mut Db| rows::doom_unused(db, TEXTS)))?;
    }
    destroy_doomed(ctx, commit)
}

/// Dooms the texts that are, or contain as a whole number, one of these values of a member, destroys their keys, and then takes their handles out
/// of the ledger and of decisions; packets and cases about them go too. Each text is opened for it.
///
/// # Errors
/// [`Fault::SealKeys`] when the file of keys is missing, or lacks the key of a text: that one may be the member's; those of the store and of
/// `commit`.
pub fn destroy_of(ctx: &Context, values: &[String], commit: CommitNotes<'_>) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let texts = ctx.store.read_blocking(|db| rows::texts_after(db, &after, TEXTS))?;
        let Some(last) = texts.last() else { break };
        after.clone_from(&last.handle);
        let opener = ctx
            .store
            .read_blocking(|db| member_keys::opener(db, &ctx.member_keys))?;
        let mut found: Vec<(String, String)> = Vec::new();
        for one in texts {
            let opened = opener.value(ValuePlace::Correlation(&one.handle), &one.sealed)?;
            match opened.and_then(|bytes| String::from_utf8(bytes).ok()) {
                Some(text) if erased_correlations::is_of(&text, values) => found.push((one.handle, text)),
                Some(_) => {}
                None if one.is_doomed() => {}
                None => demand(ctx, std::slice::from_ref(&one))?,
            }
        }
        if !found.is_empty() {
            commit(Box::new(move |db: &mut Db| {
                found.iter().try_for_each(|(handle, text)| {
                    erased_correlations::close_plain(db, text)?;
                    rows::doom(db, handle)
                })
            }))?;
        }
    }
    destroy_doomed(ctx, commit)
}

/// Refuses when the file of keys lacks the key of a text that is not being taken out: an erasure that began could not end. Reads all texts.
///
/// # Errors
/// [`Fault::SealKeys`]; those of the store.
pub fn demand_all(ctx: &Context) -> Result<(), Failure> {
    let mut after = String::new();
    loop {
        let mut texts = ctx.store.read_blocking(|db| rows::texts_after(db, &after, TEXTS))?;
        let Some(last) = texts.last() else { return Ok(()) };
        after.clone_from(&last.handle);
        texts.retain(|one| !one.is_doomed());
        demand(ctx, &texts)?;
    }
}

/// Refuses when the file lacks the line of the key of one of these texts.
fn demand(ctx: &Context, texts: &[SealedCorrelation]) -> Result<(), Failure> {
    let mark = ctx.store.read_blocking(member_keys::known_mark)?;
    ctx.member_keys
        .demand(&mark.ok_or(Fault::StoreDamaged)?, &slots_of(texts))
}

/// Destroys the keys of texts that are doomed, and then cuts what has their handles. The database names a key until it is gone, so that whoever
/// goes on after a crash finds it.
fn destroy_doomed(ctx: &Context, commit: CommitNotes<'_>) -> Result<(), Failure> {
    loop {
        let doomed = ctx.store.read_blocking(|db| rows::doomed(db, TEXTS))?;
        if doomed.is_empty() {
            return Ok(());
        }
        let mark = ctx.store.read_blocking(member_keys::known_mark)?;
        ctx.member_keys
            .destroy(&mark.ok_or(Fault::StoreDamaged)?, &slots_of(&doomed))?;
        commit(Box::new(move |db: &mut Db| {
            doomed
                .iter()
                .try_for_each(|one| erased_correlations::close_handle(db, &one.handle))
        }))?;
    }
}
