//! Many cores judge, one writes, in the order of the source: a reader cuts chunks, workers judge them, and the caller's
//! thread commits them one after the other. Every queue is bounded, so memory does not grow with the input.

use super::gate::{self, Draft};
use super::index::Indexer;
use super::keep::{Entry, Seen, keep};
use super::links::{Conditional, SourceLinks};
use super::rejects::Reject;
use super::source::{Chunk, Item};
use super::steady::steadily;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::blames_content;
use crate::store::resources::{self, Existing};
use std::collections::HashMap;
use std::num::NonZero;
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// A chunk after judging.
struct Judged {
    entries: Vec<Entry>,
    /// Where each entry stood.
    places: Vec<(u64, Option<usize>)>,
    source: Arc<str>,
    rejects: Vec<Reject>,
    read: u64,
}

/// What became of a chunk.
#[derive(Default)]
pub struct Outcome {
    /// Resources that were looked at.
    pub read: u64,
    /// New or changed.
    pub stored: u64,
    /// There already, or superseded.
    pub unchanged: u64,
    /// Of those, superseded.
    pub superseded: u64,
    /// Those not taken.
    pub rejects: Vec<Reject>,
}

/// What the chunks of a run share.
pub struct Shared<'a> {
    /// The store and the clock.
    pub ctx: &'a Context,
    /// What the run has dealt with.
    pub seen: &'a Seen,
    /// References by search.
    pub conditional: &'a Conditional,
    /// Makes what the matcher finds members by.
    pub indexer: &'a Indexer,
}

/// A record of this id panics its judge, so that a test sees what becomes of the others.
#[cfg(test)]
pub const PANICS: &str = "panics";

type Work = (Chunk, SyncSender<Judged>);

/// Runs `feed` on a thread of its own, which emits chunks, and tells `done` of each chunk once it is durable.
///
/// # Errors
/// Those of `feed`, of `done`, and of the store; the reading ends with the first.
pub fn run(
    shared: &Shared<'_>,
    feed: impl FnOnce(&mut dyn FnMut(Chunk) -> bool) -> Result<(), Failure> + Send,
    done: &mut dyn FnMut(Outcome) -> Result<(), Failure>,
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
                    // Nobody listens any more after a failed write.
                    let _ = reply.send(judge(shared, &chunk));
                }
            });
        }
        let mut written = Ok(());
        for judged in &order_out {
            // A worker that is gone has panicked; the scope tells.
            let Ok(judged) = judged.recv() else { break };
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

fn judge(shared: &Shared<'_>, chunk: &Chunk) -> Judged {
    let links = SourceLinks {
        entries: chunk.urls.as_deref(),
        conditional: shared.conditional,
    };
    let mut judged = Judged {
        entries: Vec::with_capacity(chunk.items.len()),
        places: Vec::with_capacity(chunk.items.len()),
        source: Arc::clone(&chunk.source),
        rejects: Vec::new(),
        read: chunk.items.len() as u64,
    };
    let mut drafts: Vec<(&Item, Draft<'_>)> = Vec::with_capacity(chunk.items.len());
    for item in &chunk.items {
        let drafted = match item.refused {
            Some(fault) => Err(Failure::new(fault)),
            None => steadily(|| gate::draft(&chunk.buffer[item.span.clone()], &links, item.fallback_id.as_deref())),
        };
        match drafted {
            Ok(draft) => drafts.push((item, draft)),
            Err(failure) => judged.rejects.push(reject(chunk, item, failure)),
        }
    }
    let there = look_up(shared, &drafts);
    let now_ms = shared.ctx.clock.now_ms();
    for (item, draft) in &drafts {
        let existing = there.get(&(draft.rtype, draft.id.as_str()));
        if existing.is_some_and(|existing| existing.source_sha256 == draft.source_sha256) {
            // It was judged when it was stored.
            judged.entries.push(Entry::Same {
                rtype: draft.rtype,
                id: draft.id.clone(),
                source_sha256: draft.source_sha256,
            });
            judged.places.push((item.line, item.entry));
            continue;
        }
        let version = existing.map_or(0, |existing| existing.version) + 1;
        let judged_one = steadily(|| {
            #[cfg(test)]
            assert!(draft.id != PANICS, "{}", draft.id);
            gate::judge(draft, version, now_ms, &shared.ctx.payer.base_url)
        });
        match judged_one {
            Ok(candidate) => {
                judged.entries.push(Entry::Fit(Box::new(candidate)));
                judged.places.push((item.line, item.entry));
            }
            Err(failure) => judged.rejects.push(reject(chunk, item, failure)),
        }
    }
    judged
}

/// What is stored of the drafts already. Only saves work: the writer looks again inside its transaction.
fn look_up<'d>(shared: &Shared<'_>, drafts: &'d [(&Item, Draft<'_>)]) -> HashMap<(&'static str, &'d str), Existing> {
    let mut wanted: HashMap<&'static str, HashMap<&'d str, ()>> = HashMap::new();
    for (_, draft) in drafts {
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

fn write(shared: &Shared<'_>, judged: Judged) -> Result<Outcome, Failure> {
    let Judged {
        entries,
        places,
        source,
        mut rejects,
        read,
    } = judged;
    let mut outcome = Outcome {
        read,
        ..Outcome::default()
    };
    if !entries.is_empty() {
        let (entries, whole) = (Arc::new(entries), 0..places.len());
        let mut rejected = Vec::new();
        store(shared, &entries, whole, &mut outcome, &mut rejected)?;
        rejects.extend(rejected.into_iter().map(|(index, failure)| {
            let (line, entry) = places[index];
            Reject {
                source: source.to_string(),
                line,
                entry,
                failure,
            }
        }));
    }
    rejects.sort_by_key(|reject| (reject.line, reject.entry));
    outcome.rejects = rejects;
    Ok(outcome)
}

/// Stores the entries of `range`. When the store refuses what they hold, each half is stored by itself, down to the entry at fault.
fn store(
    shared: &Shared<'_>,
    entries: &Arc<Vec<Entry>>,
    range: Range<usize>,
    outcome: &mut Outcome,
    rejected: &mut Vec<(usize, Failure)>,
) -> Result<(), Failure> {
    let (seen, ids, now_ms) = (shared.seen.clone(), shared.ctx.ids.clone(), shared.ctx.clock.now_ms());
    let (indexer, batch, part) = (shared.indexer.clone(), Arc::clone(entries), range.clone());
    let kept = shared
        .ctx
        .store
        .write_blocking(move |db| keep(db, &batch[part.clone()], &seen, &indexer, &ids, now_ms));
    match kept {
        Ok(kept) => {
            shared.seen.mark(&kept);
            outcome.stored += kept.stored;
            outcome.unchanged += kept.unchanged;
            outcome.superseded += kept.superseded;
            let own = kept.rejected.into_iter();
            rejected.extend(own.map(|(index, failure)| (range.start + index, failure)));
            Ok(())
        }
        Err(failure) if !blames_content(&failure) => Err(failure),
        Err(failure) if range.len() == 1 => {
            // Its cause may quote the record, so it is told nowhere.
            let fault = match failure.fault() {
                Fault::Internal => Fault::NotStorable,
                fault => fault,
            };
            rejected.push((range.start, Failure::new(fault).at(entries[range.start].rtype())));
            Ok(())
        }
        Err(_) => {
            let middle = range.start + range.len() / 2;
            store(shared, entries, range.start..middle, outcome, rejected)?;
            store(shared, entries, middle..range.end, outcome, rejected)
        }
    }
}
