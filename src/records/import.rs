//! An import: all its sources, phase by phase, with counts and a reject file.
//!
//! It may be killed at any point and run again: what is stored is recognised by its content, without judging it again,
//! and the end is the same. Running it twice changes nothing.

use super::index::{self, Indexer};
use super::keep::Seen;
use super::links::Conditional;
use super::pipeline::{self, Outcome, Shared};
use super::rejects::Rejects;
use super::source::{self, PHASES, Source, Visit};
use crate::context::Context;
use crate::error::Failure;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counts of an import.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Resources that were looked at: `stored + unchanged + rejected`.
    pub read: u64,
    /// New or changed resources.
    pub stored: u64,
    /// Resources that were there already with the same content, and superseded ones.
    pub unchanged: u64,
    /// Of those, copies that another copy in the same run supersedes.
    pub superseded: u64,
    /// Resources that were not taken.
    pub rejected: u64,
    /// Of those stored, how many do not leave, by reason; one may have several reasons.
    pub withheld: BTreeMap<&'static str, u64>,
    /// Files of folders that hold no record (request bodies, other JSON) and were left aside.
    pub skipped: u64,
    /// Files that could not be read to their end.
    pub unreadable: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Resources that were looked at.
    pub read: u64,
    /// Bytes on disk that were read, of `bytes_total`.
    pub bytes: u64,
    /// Bytes on disk of all sources.
    pub bytes_total: u64,
}

impl Report {
    fn add(&mut self, outcome: &Outcome) {
        self.read += outcome.read;
        self.stored += outcome.stored;
        self.unchanged += outcome.unchanged;
        self.superseded += outcome.superseded;
        self.rejected += outcome.rejects.len() as u64;
        for (reason, count) in &outcome.withheld {
            *self.withheld.entry(reason).or_default() += count;
        }
    }
}

/// Imports files and folders. `paths` are read, `names` are how people know them; later ones supersede earlier ones.
///
/// # Errors
/// [`Fault::InputUnreadable`](crate::error::Fault::InputUnreadable) when a path is not there (nothing is imported then) or
/// the reject file cannot be written; those of the store.
pub fn import(
    ctx: &Context,
    paths: &[PathBuf],
    names: &[String],
    rejects: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Failure> {
    let began = Instant::now();
    let mut sources = source::gather(paths, names)?;
    let bytes_total = sources.iter().map(|source| source.bytes).sum();
    let consumed = AtomicU64::new(0);
    let seen = Seen::default();
    let conditional = Conditional::new(ctx.store.clone());
    let indexer = Indexer::open(ctx)?;
    let shared = Shared {
        ctx,
        seen: &seen,
        conditional: &conditional,
        indexer: &indexer,
    };
    let mut rejects = Rejects::new(rejects)?;
    let mut report = Report::default();
    let mut aside = Aside::default();
    for phase in 0..PHASES {
        conditional.forget();
        let (sources, aside, consumed) = (&mut sources, &mut aside, &consumed);
        let feed = move |emit: &mut dyn FnMut(source::Chunk) -> bool| {
            for source in sources.iter_mut() {
                go_through(source, phase, consumed, aside, emit);
            }
            Ok(())
        };
        pipeline::run(&shared, feed, &mut |outcome| {
            report.add(&outcome);
            for reject in &outcome.rejects {
                rejects.add(reject)?;
            }
            progress(Progress {
                read: report.read,
                bytes: consumed.load(Ordering::Relaxed),
                bytes_total,
            });
            Ok(())
        })?;
    }
    rejects.finish()?;
    index::count(ctx)?;
    report.skipped = aside.skipped;
    report.unreadable = aside.unreadable;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

#[derive(Default)]
struct Aside {
    skipped: u64,
    unreadable: Vec<String>,
}

fn go_through(
    source: &mut Source,
    phase: u8,
    consumed: &AtomicU64,
    aside: &mut Aside,
    emit: &mut dyn FnMut(source::Chunk) -> bool,
) {
    match source.visit(phase, consumed, emit) {
        Ok(Visit::Done) => {}
        Ok(Visit::NotARecord) => aside.skipped += 1,
        Err(failure) => {
            tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), source = %source.name, "a source could not be read to its end");
            source.give_up();
            aside.unreadable.push(source.name.to_string());
        }
    }
}

/// Imports the lines of `reader` in one pass, in their order: what others refer to comes before them.
///
/// For streams that cannot be read twice (made members, a download). `rejected` is told of each failure with its line.
///
/// # Errors
/// [`Fault::InputUnreadable`](crate::error::Fault::InputUnreadable) when `reader` fails; those of the store.
pub fn ingest_ndjson(
    ctx: &Context,
    mut reader: impl BufRead + Send,
    name: &str,
    rejected: &mut dyn FnMut(u64, &Failure),
) -> Result<Report, Failure> {
    let began = Instant::now();
    let seen = Seen::default();
    let conditional = Conditional::new(ctx.store.clone());
    let indexer = Indexer::open(ctx)?;
    let shared = Shared {
        ctx,
        seen: &seen,
        conditional: &conditional,
        indexer: &indexer,
    };
    let mut report = Report::default();
    let name: std::sync::Arc<str> = name.into();
    let feed = |emit: &mut dyn FnMut(source::Chunk) -> bool| {
        let unreadable = |error| {
            Failure::new(crate::error::Fault::InputUnreadable)
                .at(name.as_ref())
                .because(error)
        };
        source::lines(&mut reader, &name, None, emit).1.map_err(unreadable)
    };
    pipeline::run(&shared, feed, &mut |outcome| {
        report.add(&outcome);
        outcome
            .rejects
            .iter()
            .for_each(|reject| rejected(reject.line, &reject.failure));
        Ok(())
    })?;
    index::count(ctx)?;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

#[cfg(test)]
mod tests;
