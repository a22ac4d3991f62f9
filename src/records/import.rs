//! An import: reads all its sources, phase by phase, counts, and writes a reject file.
//!
//! It may be killed at any point and run again: what is stored already is recognized by its content without being checked
//! again, and the result is the same. Running it twice changes nothing, with one exception: versions of one resource that
//! are far apart in one file, when nothing says which is newer.

use super::bases::Claims;
pub use super::bases::SourceBase;
use super::chunk::{Chunk, PHASES};
use super::dry_run::DryRun;
use super::index::{self, Indexer};
use super::keep::Run;
use super::links::Conditional;
use super::pipeline::{self, ChunkOutcome, RunShared};
use super::rejects::Rejects;
use super::seen::SeenInRun;
pub use super::source::FileLeftAside;
use super::source::{self, NO_RECORD, SourceEvent, SourceFile};
use super::superseded::List;
use crate::context::Context;
use crate::error::Failure;
use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counts of an import.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportReport {
    /// Resources that were looked at: `stored + unchanged + rejected`.
    pub read: u64,
    /// Versions that were new or changed.
    pub stored: u64,
    /// Versions that were stored already with the same content, and superseded ones.
    pub unchanged: u64,
    /// Versions that a newer one supersedes, among those looked at and those stored earlier in this run.
    pub superseded: u64,
    /// Resources that were refused.
    pub rejected: u64,
    /// How many of the stored ones are withheld, by reason; one resource may have several reasons.
    pub withheld: BTreeMap<&'static str, u64>,
    /// Files in folders that contain no record (request bodies, other JSON) and were skipped.
    pub skipped: u64,
    /// Those files, and the files in folders that were not opened, with the reasons.
    pub aside: Vec<FileLeftAside>,
    /// Whether nothing was stored: `stored` then counts what would have been.
    pub dry_run: bool,
    /// Files that could not be read to their end.
    pub unreadable: Vec<String>,
    /// Duration in seconds.
    pub seconds: f64,
}

/// What an import is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImportStage {
    /// It reads files and stores their resources; progress is counted in bytes on disk.
    #[default]
    Files,
    /// It counts the roster; progress is counted in members.
    Index,
}

/// The progress of an import.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportProgress {
    /// What it is doing.
    pub stage: ImportStage,
    /// How many resources were looked at.
    pub read: u64,
    /// How many bytes or members are done.
    pub done: u64,
    /// How many there are in total.
    pub total: u64,
}

/// The options of an import.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The file for resources that are refused.
    pub rejects: PathBuf,
    /// The file for versions that newer ones supersede.
    pub superseded: PathBuf,
    /// Servers from which the sources were exported.
    pub bases: Vec<SourceBase>,
    /// Check everything and store nothing.
    pub dry_run: bool,
}

impl ImportReport {
    fn add(&mut self, outcome: &ChunkOutcome) {
        self.read += outcome.read;
        self.stored += outcome.stored;
        self.unchanged += outcome.unchanged;
        self.superseded += outcome.superseded.len() as u64;
        self.rejected += outcome.rejects.len() as u64;
        for (reason, count) in &outcome.withheld {
            *self.withheld.entry(reason).or_default() += count;
        }
    }
}

/// Imports files and folders. `paths` are read; `names` are their names in messages. Of two versions of a resource the newer one is kept
/// ([`super::source_version::SourceVersion::beats`]); when the sources do not say which is newer, the one in the later path or line.
///
/// # Errors
/// [`Fault::InputUnreadable`](crate::error::Fault::InputUnreadable) when a path does not exist (nothing is imported then) or the file of
/// rejects or of superseded versions cannot be written; those of the store.
pub fn import(
    ctx: &Context,
    paths: &[PathBuf],
    names: &[String],
    options: &ImportOptions,
    progress: &mut dyn FnMut(ImportProgress),
) -> Result<ImportReport, Failure> {
    let began = Instant::now();
    let mut aside = Vec::new();
    let mut sources = source::gather(paths, names, &mut aside)?;
    let total = sources.iter().map(|source| source.bytes).sum();
    let done = AtomicU64::new(0);
    let conditional = Conditional::new(ctx.store.clone());
    let run = run(ctx, options.dry_run.then(DryRun::default))?;
    let claims = Claims::default();
    let shared = RunShared {
        ctx,
        run: &run,
        conditional: &conditional,
        bases: &options.bases,
        claims: &claims,
    };
    let mut rejects = Rejects::new(&options.rejects)?;
    let mut superseded = List::new(&options.superseded)?;
    let mut report = ImportReport::default();
    let mut outside = Outside::default();
    for phase in 0..PHASES {
        conditional.forget();
        let (sources, outside, done) = (&mut sources, &mut outside, &done);
        let feed = move |emit: &mut dyn FnMut(Chunk) -> bool| {
            for source in sources.iter_mut() {
                go_through(source, phase, done, outside, emit);
            }
            Ok(())
        };
        pipeline::run(&shared, feed, &mut |outcome| {
            report.add(&outcome);
            for reject in &outcome.rejects {
                rejects.add(reject)?;
            }
            for lost in &outcome.superseded {
                superseded.add(lost)?;
            }
            progress(ImportProgress {
                stage: ImportStage::Files,
                read: report.read,
                done: done.load(Ordering::Relaxed),
                total,
            });
            Ok(())
        })?;
    }
    rejects.finish()?;
    superseded.finish()?;
    if !options.dry_run {
        let read = report.read;
        index::count_telling(ctx, &mut |done, total| {
            progress(ImportProgress {
                stage: ImportStage::Index,
                read,
                done,
                total,
            });
        })?;
    }
    report.skipped = outside.skipped.len() as u64;
    report.aside = aside;
    report.aside.extend(
        outside
            .skipped
            .into_iter()
            .map(|name| FileLeftAside { name, why: NO_RECORD }),
    );
    report.unreadable = outside.unreadable;
    report.dry_run = options.dry_run;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

fn run(ctx: &Context, dry_run: Option<DryRun>) -> Result<Run, Failure> {
    Ok(Run {
        seen: SeenInRun::default(),
        indexer: Indexer::open(ctx)?,
        ids: ctx.ids.clone(),
        clock: ctx.clock.clone(),
        dry_run,
        only: None,
    })
}

/// Files from which nothing was imported.
#[derive(Default)]
struct Outside {
    skipped: Vec<String>,
    unreadable: Vec<String>,
}

fn go_through(
    source: &mut SourceFile,
    phase: u8,
    done: &AtomicU64,
    outside: &mut Outside,
    emit: &mut dyn FnMut(Chunk) -> bool,
) {
    match source.visit(phase, done, emit) {
        Ok(SourceEvent::Done) => {}
        Ok(SourceEvent::NotARecord) => outside.skipped.push(source.name.to_string()),
        Err(failure) => {
            tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), source = %source.name, "a source could not be read to its end");
            source.give_up();
            outside.unreadable.push(source.name.to_string());
        }
    }
}

/// Imports the lines of `reader` in one pass, in their order: referenced resources must come first.
///
/// For streams that cannot be read twice (generated members, a download). `rejected` receives each failure with its line.
///
/// # Errors
/// [`Fault::InputUnreadable`](crate::error::Fault::InputUnreadable) when `reader` fails; those of the store.
pub fn ingest_ndjson(
    ctx: &Context,
    mut reader: impl BufRead + Send,
    name: &str,
    rejected: &mut dyn FnMut(u64, &Failure),
) -> Result<ImportReport, Failure> {
    let began = Instant::now();
    let conditional = Conditional::new(ctx.store.clone());
    let run = run(ctx, None)?;
    let claims = Claims::default();
    let shared = RunShared {
        ctx,
        run: &run,
        conditional: &conditional,
        bases: &[],
        claims: &claims,
    };
    let mut report = ImportReport::default();
    let name: std::sync::Arc<str> = name.into();
    let feed = |emit: &mut dyn FnMut(Chunk) -> bool| {
        let unreadable = |error| {
            Failure::new(crate::error::Fault::InputUnreadable)
                .at(name.as_ref())
                .because(error)
        };
        super::lines::lines(&mut reader, &name, &|_| true, true, emit)
            .1
            .map_err(unreadable)
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
