//! An import: all its sources, phase by phase, with counts and a reject file.
//!
//! It may be killed at any point and run again: what is stored is recognised by its content, without judging it again,
//! and the end is the same. Running it twice changes nothing, but for versions of one resource of which nothing says which is
//! newer, when they stand far apart in one file.

use super::bases::Claims;
pub use super::bases::SourceBase;
use super::dry_run::DryRun;
use super::index::{self, Indexer};
use super::keep::Run;
use super::links::Conditional;
use super::pipeline::{self, Outcome, Shared};
use super::rejects::Rejects;
use super::seen::Seen;
pub use super::source::Aside;
use super::source::{self, NO_RECORD, PHASES, Source, Visit};
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
pub struct Report {
    /// Resources that were looked at: `stored + unchanged + rejected`.
    pub read: u64,
    /// Versions that were new or changed.
    pub stored: u64,
    /// Versions that were there already with the same content, and superseded ones.
    pub unchanged: u64,
    /// Versions that a newer one supersedes: of those that were looked at, or that this run had stored.
    pub superseded: u64,
    /// Resources that were not taken.
    pub rejected: u64,
    /// Of those stored, how many do not leave, by reason; one may have several reasons.
    pub withheld: BTreeMap<&'static str, u64>,
    /// Files of folders that hold no record (request bodies, other JSON) and were left aside.
    pub skipped: u64,
    /// Those, and the files of folders that were not looked at.
    pub aside: Vec<Aside>,
    /// Nothing was stored: `stored` is what would have been.
    pub dry_run: bool,
    /// Files that could not be read to their end.
    pub unreadable: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What an import does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// It reads files and stores what they hold; counted in bytes on disk.
    #[default]
    Files,
    /// It counts what members are found by; counted in members.
    Index,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// What it does.
    pub stage: Stage,
    /// Resources that were looked at.
    pub read: u64,
    /// Bytes or members that are dealt with.
    pub done: u64,
    /// All of them.
    pub total: u64,
}

/// How an import goes about it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The file for what is not taken.
    pub rejects: PathBuf,
    /// The file for versions that newer ones supersede.
    pub superseded: PathBuf,
    /// Servers that the sources were exported from.
    pub bases: Vec<SourceBase>,
    /// Judges all and stores nothing.
    pub dry_run: bool,
}

impl Report {
    fn add(&mut self, outcome: &Outcome) {
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

/// Imports files and folders. `paths` are read, `names` are how people know them. Of two versions of a resource the newer stays
/// ([`super::source_version::SourceVersion::beats`]); where their sources do not say, that of the later path, or line.
///
/// # Errors
/// [`Fault::InputUnreadable`](crate::error::Fault::InputUnreadable) when a path is not there (nothing is imported then) or
/// the file of rejects or of superseded versions cannot be written; those of the store.
pub fn import(
    ctx: &Context,
    paths: &[PathBuf],
    names: &[String],
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Failure> {
    let began = Instant::now();
    let mut aside = Vec::new();
    let mut sources = source::gather(paths, names, &mut aside)?;
    let total = sources.iter().map(|source| source.bytes).sum();
    let done = AtomicU64::new(0);
    let conditional = Conditional::new(ctx.store.clone());
    let run = run(ctx, options.dry_run.then(DryRun::default))?;
    let claims = Claims::default();
    let shared = Shared {
        ctx,
        run: &run,
        conditional: &conditional,
        bases: &options.bases,
        claims: &claims,
    };
    let mut rejects = Rejects::new(&options.rejects)?;
    let mut superseded = List::new(&options.superseded)?;
    let mut report = Report::default();
    let mut outside = Outside::default();
    for phase in 0..PHASES {
        conditional.forget();
        let (sources, outside, done) = (&mut sources, &mut outside, &done);
        let feed = move |emit: &mut dyn FnMut(source::Chunk) -> bool| {
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
            progress(Progress {
                stage: Stage::Files,
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
            progress(Progress {
                stage: Stage::Index,
                read,
                done,
                total,
            });
        })?;
    }
    report.skipped = outside.skipped.len() as u64;
    report.aside = aside;
    report
        .aside
        .extend(outside.skipped.into_iter().map(|name| Aside { name, why: NO_RECORD }));
    report.unreadable = outside.unreadable;
    report.dry_run = options.dry_run;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

fn run(ctx: &Context, dry_run: Option<DryRun>) -> Result<Run, Failure> {
    Ok(Run {
        seen: Seen::default(),
        indexer: Indexer::open(ctx)?,
        ids: ctx.ids.clone(),
        clock: ctx.clock.clone(),
        dry_run,
    })
}

/// Files that nothing came of.
#[derive(Default)]
struct Outside {
    skipped: Vec<String>,
    unreadable: Vec<String>,
}

fn go_through(
    source: &mut Source,
    phase: u8,
    done: &AtomicU64,
    outside: &mut Outside,
    emit: &mut dyn FnMut(source::Chunk) -> bool,
) {
    match source.visit(phase, done, emit) {
        Ok(Visit::Done) => {}
        Ok(Visit::NotARecord) => outside.skipped.push(source.name.to_string()),
        Err(failure) => {
            tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), source = %source.name, "a source could not be read to its end");
            source.give_up();
            outside.unreadable.push(source.name.to_string());
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
    let conditional = Conditional::new(ctx.store.clone());
    let run = run(ctx, None)?;
    let claims = Claims::default();
    let shared = Shared {
        ctx,
        run: &run,
        conditional: &conditional,
        bases: &[],
        claims: &claims,
    };
    let mut report = Report::default();
    let name: std::sync::Arc<str> = name.into();
    let feed = |emit: &mut dyn FnMut(source::Chunk) -> bool| {
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
