//! Many cores check resources, and one thread writes, in the order of the source: a reader makes chunks, workers check them, and the
//! caller's thread commits one after another. Every queue is bounded, so memory does not grow with the input.

use super::bases::{Claims, NameClaim, SourceBase};
use super::chunk::{Chunk, Item};
use super::draft::{self, Draft};
use super::gate;
use super::keep::{BatchEntry, KeptBatch, Run, keep};
use super::links::{Conditional, SourceLinks};
use super::rejects::Reject;
use super::steady::steadily;
use super::superseded::SupersededVersion;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::resources::{self, Existing};
use crate::store::{Db, blames_content};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZero;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// A chunk that was checked.
struct Judged {
    entries: Vec<BatchEntry>,
    /// The index in the chunk of each entry's item.
    items: Vec<usize>,
    /// The claims on names that each entry makes.
    claims: Vec<Vec<NameClaim>>,
    chunk: Chunk,
    rejects: Vec<Reject>,
}

/// The result of a chunk.
#[derive(Default)]
pub struct ChunkOutcome {
    /// Resources that were looked at.
    pub read: u64,
    /// How many were new or changed.
    pub stored: u64,
    /// How many were stored already, or were superseded.
    pub unchanged: u64,
    /// The versions that newer ones supersede.
    pub superseded: Vec<SupersededVersion>,
    /// How many of the stored ones are withheld, by reason.
    pub withheld: BTreeMap<&'static str, u64>,
    /// The resources that were refused.
    pub rejects: Vec<Reject>,
}

/// What all chunks of a run share.
pub struct RunShared<'a> {
    /// The store and the clock.
    pub ctx: &'a Context,
    /// How batches are stored.
    pub run: &'a Run,
    /// Looks up references by search.
    pub conditional: &'a Conditional,
    /// The servers from which the sources were exported.
    pub bases: &'a [SourceBase],
    /// To which server each name belongs.
    pub claims: &'a Claims,
}

/// Checking a record with this id panics, so that a test can see that the others are not affected.
#[cfg(test)]
pub const PANICS: &str = "panics";

type Work = (Chunk, SyncSender<Judged>);

/// Runs `feed`, which emits chunks, on a thread of its own, and calls `done` with the result of each chunk once it is durable.
///
/// # Errors
/// Those of `feed`, of `done`, and of the store; the reading ends with the first.
pub fn run(
    shared: &RunShared<'_>,
    feed: impl FnOnce(&mut dyn FnMut(Chunk) -> bool) -> Result<(), Failure> + Send,
    done: &mut dyn FnMut(ChunkOutcome) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let workers = std::thread::available_parallelism().map_or(2, NonZero::get).max(1);
    let (work_in, work_out) = sync_channel::<Work>(workers);
    let (order_in, order_out) = sync_channel::<Receiver<Judged>>(4 * workers);
    let work_out = Mutex::new(work_out);
    std::thread::scope(|scope| {
        let feeder = scope.spawn(move || {
            feed(&mut |chunk| {
                let (reply, judged) = sync_channel(1);
                order_in.send(judged).is_ok() && work_in.send((chunk, reply)).is_ok()
            })
        });
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = work_out.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((chunk, reply)) = next else { return };
                    // After a failed write nobody receives the result.
                    let _ = reply.send(judge(shared, chunk));
                }
            });
        }
        let mut written = Ok(());
        let mut file: Option<Arc<str>> = None;
        for judged in &order_out {
            // A missing worker has panicked; the scope reports that.
            let Ok(judged) = judged.recv() else { break };
            if !file
                .as_ref()
                .is_some_and(|file| Arc::ptr_eq(file, &judged.chunk.source))
            {
                shared.run.seen.next_file();
                file = Some(Arc::clone(&judged.chunk.source));
            }
            written = write(shared, judged).and_then(&mut *done);
            if written.is_err() {
                break;
            }
        }
        drop(order_out);
        let fed = feeder
            .join()
            .unwrap_or_else(|_| Err(Failure::new(Fault::Internal).because("the reader panicked")));
        written.and(fed)
    })
}

fn judge(shared: &RunShared<'_>, chunk: Chunk) -> Judged {
    let all: Vec<usize> = (0..chunk.items.len()).collect();
    let (entries, items, claims, rejects) = judge_items(shared, &chunk, &all, true);
    Judged {
        entries,
        items,
        claims,
        chunk,
        rejects,
    }
}

type Found = (Vec<BatchEntry>, Vec<usize>, Vec<Vec<NameClaim>>, Vec<Reject>);

/// Checks these items of a chunk. With `skip_same`, items whose content is stored already are not checked again.
fn judge_items(shared: &RunShared<'_>, chunk: &Chunk, items: &[usize], skip_same: bool) -> Found {
    let links = SourceLinks::new(chunk.urls.as_deref(), shared.bases, shared.conditional);
    let (mut entries, mut places, mut claims) = (
        Vec::with_capacity(items.len()),
        Vec::with_capacity(items.len()),
        Vec::new(),
    );
    let mut rejects = Vec::new();
    let mut drafts: Vec<(usize, Draft<'_>, Vec<NameClaim>)> = Vec::with_capacity(items.len());
    for &at in items {
        let item = &chunk.items[at];
        links.begin(item.base.as_ref());
        let drafted = match item.refused {
            Some(fault) => Err(Failure::new(fault)),
            None => steadily(|| draft::draft(&chunk.buffer[item.span.clone()], &links, item.fallback_id.as_deref())),
        };
        match drafted {
            Ok(draft) => {
                let claims = links.end(draft.rtype, &draft.id);
                drafts.push((at, draft, claims));
            }
            Err(failure) => rejects.push(reject(chunk, item, failure)),
        }
    }
    let there = if skip_same {
        look_up(shared, &drafts)
    } else {
        HashMap::new()
    };
    let now_ms = shared.ctx.clock.now_ms();
    for (at, draft, own_claims) in &drafts {
        let item = &chunk.items[*at];
        let existing = there.get(&(draft.rtype, draft.id.as_str()));
        let entry = if existing.is_some_and(|existing| existing.source_sha256 == draft.source_sha256) {
            // The same content was checked when it was stored.
            Ok(BatchEntry::Same {
                rtype: draft.rtype,
                id: draft.id.clone(),
                source_sha256: draft.source_sha256,
            })
        } else {
            let version = existing.map_or(0, |existing| existing.version) + 1;
            steadily(|| {
                #[cfg(test)]
                assert!(draft.id != PANICS, "{}", draft.id);
                gate::judge(draft, version, now_ms, &shared.ctx.payer.base_url)
            })
            .map(|candidate| BatchEntry::Fit(Box::new(candidate)))
        };
        match entry {
            Ok(entry) => {
                entries.push(entry);
                places.push(*at);
                claims.push(own_claims.clone());
            }
            Err(failure) => rejects.push(reject(chunk, item, failure)),
        }
    }
    (entries, places, claims, rejects)
}

/// Returns what is stored already under the names of the drafts. This only saves work: the writer looks again in its transaction.
fn look_up<'d>(
    shared: &RunShared<'_>,
    drafts: &'d [(usize, Draft<'_>, Vec<NameClaim>)],
) -> HashMap<(&'static str, &'d str), Existing> {
    let mut wanted: HashMap<&'static str, HashMap<&'d str, ()>> = HashMap::new();
    for (_, draft, _) in drafts {
        wanted.entry(draft.rtype).or_default().insert(draft.id.as_str(), ());
    }
    let found = shared.ctx.store.read_blocking(|db| {
        let mut found = HashMap::new();
        for (rtype, ids) in &wanted {
            let list: Vec<&str> = ids.keys().copied().collect();
            for row in resources::existing(db, rtype, &list)? {
                if let Some((id, ())) = ids.get_key_value(row.id.as_str()) {
                    found.insert((*rtype, *id), row);
                }
            }
        }
        Ok(found)
    });
    found.unwrap_or_default()
}

fn reject(chunk: &Chunk, item: &Item, failure: Failure) -> Reject {
    Reject {
        source: chunk.source.to_string(),
        line: item.line,
        entry: item.entry,
        failure,
    }
}

fn write(shared: &RunShared<'_>, mut judged: Judged) -> Result<ChunkOutcome, Failure> {
    let mut outcome = ChunkOutcome {
        read: judged.chunk.items.len() as u64,
        rejects: std::mem::take(&mut judged.rejects),
        ..ChunkOutcome::default()
    };
    refuse_conflicts(shared, &mut judged, &mut outcome);
    let stale = keep_all(shared, &judged.chunk, judged.entries, &judged.items, &mut outcome)?;
    if !stale.is_empty() {
        // Entries whose content was stored when it was looked up, but is no longer: check them now.
        let (entries, items, _, rejects) = judge_items(shared, &judged.chunk, &stale, false);
        outcome.rejects.extend(rejects);
        keep_all(shared, &judged.chunk, entries, &items, &mut outcome)?;
    }
    outcome.rejects.sort_by_key(|reject| (reject.line, reject.entry));
    Ok(outcome)
}

/// Refuses the entries whose names belong to another server.
fn refuse_conflicts(shared: &RunShared<'_>, judged: &mut Judged, outcome: &mut ChunkOutcome) {
    if judged.claims.iter().all(Vec::is_empty) {
        return;
    }
    let (entries, items) = (std::mem::take(&mut judged.entries), std::mem::take(&mut judged.items));
    for ((entry, item), claims) in entries.into_iter().zip(items).zip(&judged.claims) {
        match shared.claims.note(claims) {
            Ok(()) => {
                judged.entries.push(entry);
                judged.items.push(item);
            }
            Err(failure) => outcome
                .rejects
                .push(reject(&judged.chunk, &judged.chunk.items[item], failure)),
        }
    }
}

/// Stores the entries, adds their results to `outcome`, and returns the items that must be checked first.
fn keep_all(
    shared: &RunShared<'_>,
    chunk: &Chunk,
    entries: Vec<BatchEntry>,
    items: &[usize],
    outcome: &mut ChunkOutcome,
) -> Result<Vec<usize>, Failure> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let part = Part {
        shared,
        chunk,
        entries: &Arc::new(Mutex::new(entries)),
        items,
    };
    let mut stale = Vec::new();
    part.keep(0..items.len(), outcome, &mut stale)?;
    Ok(stale)
}

/// Entries of a chunk that are stored together, with the item of each.
struct Part<'p> {
    shared: &'p RunShared<'p>,
    chunk: &'p Chunk,
    entries: &'p Arc<Mutex<Vec<BatchEntry>>>,
    items: &'p [usize],
}

impl Part<'_> {
    /// Stores the entries of `range`. When the store refuses their content, each half is stored by itself, down to the entry at fault.
    fn keep(&self, range: Range<usize>, outcome: &mut ChunkOutcome, stale: &mut Vec<usize>) -> Result<(), Failure> {
        let (run, entries, own) = (self.shared.run.clone(), Arc::clone(self.entries), range.clone());
        let work = move |db: &mut Db| {
            let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
            keep(db, &mut entries[own.clone()], &run)
        };
        let store = &self.shared.ctx.store;
        let kept = match self.shared.run.dry_run {
            Some(_) => store.read_blocking(work),
            None => store.write_blocking(work),
        };
        match kept {
            Ok(kept) => {
                self.note(range.start, kept, outcome, stale);
                Ok(())
            }
            Err(failure) if !blames_content(&failure) => Err(failure),
            Err(failure) if range.len() == 1 => {
                // The cause may quote the record, so it is not reported.
                let fault = match failure.fault() {
                    Fault::Internal => Fault::NotStorable,
                    fault => fault,
                };
                let rtype = self.entries.lock().unwrap_or_else(PoisonError::into_inner)[range.start].rtype();
                let refused = reject(self.chunk, self.item(range.start), Failure::new(fault).at(rtype));
                outcome.rejects.push(refused);
                Ok(())
            }
            Err(_) => {
                let middle = range.start + range.len() / 2;
                self.keep(range.start..middle, outcome, stale)?;
                self.keep(middle..range.end, outcome, stale)
            }
        }
    }

    /// Adds the results of the entries from `start` on to `outcome`.
    fn note(&self, start: usize, kept: KeptBatch, outcome: &mut ChunkOutcome, stale: &mut Vec<usize>) {
        self.shared.run.seen.mark(&kept.keys);
        outcome.stored += kept.stored;
        outcome.unchanged += kept.unchanged;
        for (reason, count) in kept.withheld {
            *outcome.withheld.entry(reason).or_default() += count;
        }
        outcome.superseded.extend(kept.superseded.into_iter().map(|lost| {
            let item = self.item(start + lost.index);
            SupersededVersion {
                source: self.chunk.source.to_string(),
                line: item.line,
                entry: item.entry,
                rtype: lost.rtype,
                id: lost.id,
                was_stored: lost.was_stored,
                by: lost.by,
            }
        }));
        let rejected = kept.rejected.into_iter();
        outcome
            .rejects
            .extend(rejected.map(|(index, failure)| reject(self.chunk, self.item(start + index), failure)));
        stale.extend(kept.stale.iter().map(|index| self.items[start + index]));
    }

    fn item(&self, index: usize) -> &Item {
        &self.chunk.items[self.items[index]]
    }
}
