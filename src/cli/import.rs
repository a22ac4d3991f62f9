//! `causeway import PATH…`: loads Bundles, NDJSON and single resources into the store.

use super::asker::{CommandAsker, HOST};
use crate::audit::{Action, LedgerEvent, OperatorNote, ledger};
use crate::context::Context;
use crate::error::Failure;
use crate::records::import::{ImportOptions, ImportProgress, ImportReport, ImportStage, SourceBase, import};
use crate::security::Operator;
use crate::store::withheld;
use crate::telemetry::{Correlation, metrics as families};
use crate::terminal::{Exit, Out};
use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Arguments of `causeway import`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway import ./synthea ./payer-layer --rejects rejects.ndjson\n  \
    causeway import ./export --source-base https://ehr.example/fhir --dry-run\n\n\
    A file may hold NDJSON, Bundles (also one on each line), arrays or single resources, plain or gzipped. From a folder the\n\
    .ndjson, .jsonl and .json files are read, with or without .gz; a file that you name is read whatever its name.\n\
    Of two versions of a resource the newer stays (meta.lastUpdated, then meta.versionId, then the later path or line).\n\
    Importing again changes nothing, so run an interrupted import again. The exit code is 3 when a file could not be read to\n\
    its end, and 1 when everything was refused."
)]
pub struct ImportArgs {
    /// Files and folders to import.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where to write refused resources, one JSON line each: source, line, expression, fault, reason.
    #[arg(long, value_name = "FILE", default_value = "import-rejects.ndjson")]
    pub rejects: PathBuf,
    /// Where to write which versions were superseded by newer ones, one JSON line each: type, id, source, line.
    #[arg(long, value_name = "FILE", default_value = "import-superseded.ndjson")]
    pub superseded: PathBuf,
    /// Base URL of the server that the files come from: references that begin with it become relative. With =PREFIX its ids get
    /// that prefix here. Servers with = and nothing after it share their ids. May be repeated.
    #[arg(long, value_name = "URL[=PREFIX]")]
    pub source_base: Vec<SourceBase>,
    /// Check everything and report, but store nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs the import, notes it in the ledger, and prints its counts. Relative paths are of `cwd`.
///
/// # Errors
/// Those of the store. An input that cannot be read is told on stderr and ends with [`Exit::Unreadable`].
pub fn run(args: &ImportArgs, ctx: &Context, cwd: &Path, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    if let Some(base) = twice(&args.source_base) {
        out.error(&format!(
            "error: --source-base names {} twice, with two prefixes",
            base.url()
        ));
        out.error("  next: Give each server once.");
        return Ok(Exit::Usage);
    }
    let paths: Vec<PathBuf> = args.paths.iter().map(|path| cwd.join(path)).collect();
    let names: Vec<String> = args.paths.iter().map(|path| path.display().to_string()).collect();
    let options = ImportOptions {
        rejects: cwd.join(&args.rejects),
        superseded: cwd.join(&args.superseded),
        bases: args.source_base.clone(),
        dry_run: args.dry_run,
    };
    let mut bars = Bars::new(out.terminal && !out.quiet && !out.json);
    let (mut beat, in_lines) = (Beat::new(), !out.terminal && !out.quiet && !out.json);
    let done = import(ctx, &paths, &names, &options, &mut |progress| {
        bars.show(progress);
        if in_lines && let Some(line) = beat.line(progress) {
            out.note(&line);
        }
    });
    bars.clear();
    let report = done?;
    if !report.dry_run {
        note(ctx, asker, args.paths.len(), &report)?;
    }
    ctx.store.settle();
    print(args, &report, out);
    Ok(exit(&report))
}

/// A base that is given twice and not alike: which prefix its ids get would be a guess.
fn twice(bases: &[SourceBase]) -> Option<&SourceBase> {
    bases.iter().enumerate().find_map(|(at, base)| {
        let is_other =
            |other: &&SourceBase| base.url().eq_ignore_ascii_case(other.url()) && base.prefix() != other.prefix();
        bases[..at].iter().find(is_other)
    })
}

/// Writes the ledger entry, and counts.
fn note(ctx: &Context, asker: &CommandAsker, paths: usize, report: &ImportReport) -> Result<(), Failure> {
    record(ctx, asker, paths, report)?;
    for (outcome, resources) in [
        ("stored", report.stored),
        ("unchanged", report.unchanged),
        ("rejected", report.rejected),
    ] {
        metrics::counter!(families::IMPORTED, "outcome" => outcome).increment(resources);
    }
    Ok(())
}

/// Something refused is told and counted; only when all that was offered was refused has the import failed.
fn exit(report: &ImportReport) -> Exit {
    if !report.unreadable.is_empty() {
        Exit::Unreadable
    } else if report.rejected > 0 && report.stored + report.unchanged == 0 {
        Exit::Failed
    } else {
        Exit::Done
    }
}

/// Who imported, and how much; of the files only their number, since a name may be a person's.
fn record(ctx: &Context, asker: &CommandAsker, paths: usize, report: &ImportReport) -> Result<(), Failure> {
    let at_us = ctx.clock.now_us();
    let correlation = Correlation::internal(ctx.ids.new_id(at_us / 1000));
    let mut entry = LedgerEvent::new(Action::OperatorImported, Operator::actor(HOST), correlation);
    entry.note = Some(OperatorNote {
        operator: asker.name(),
        reason: String::new(),
    });
    let counts = [
        ("paths", paths as u64),
        ("read", report.read),
        ("rejected", report.rejected),
        ("stored", report.stored),
        ("unchanged", report.unchanged),
        ("unreadable", report.unreadable.len() as u64),
    ];
    entry.counts = counts.map(|(what, number)| (what.to_owned(), number)).into();
    let id = ctx.ids.new_id(at_us / 1000);
    ctx.store
        .write_blocking(move |db| ledger::append(db, &entry, &id, at_us))
}

/// Names of files that are printed; `--json` has all.
const NAMES_MAX: usize = 10;

fn print(args: &ImportArgs, report: &ImportReport, out: &mut Out) {
    let rejects = args.rejects.display().to_string();
    let superseded = args.superseded.display().to_string();
    if out.json {
        let aside: Vec<_> = report
            .aside
            .iter()
            .map(|one| json!({"file": one.name, "reason": one.why}))
            .collect();
        out.value(&json!({
            "read": report.read,
            "stored": report.stored,
            "unchanged": report.unchanged,
            "superseded": report.superseded,
            "rejected": report.rejected,
            "withheld": report.withheld,
            "skipped_files": report.skipped,
            "left_aside": aside,
            "unreadable": report.unreadable,
            "rejects": (report.rejected > 0).then_some(rejects),
            "superseded_list": (report.superseded > 0).then_some(superseded),
            "dry_run": report.dry_run,
            "seconds": (report.seconds * 1000.0).round() / 1000.0,
        }));
    } else {
        let rate = report.read as f64 / report.seconds.max(0.001);
        let (dry, stored) = match report.dry_run {
            true => ("dry run, nothing is stored: ", "would store"),
            false => ("", "stored"),
        };
        out.line(&format!(
            "{dry}read {}, {stored} {}, unchanged {} ({} superseded by a newer version), rejected {} in {:.1} s ({rate:.0} resources/s)",
            report.read, report.stored, report.unchanged, report.superseded, report.rejected, report.seconds
        ));
        if report.rejected > 0 {
            out.note(&format!("{rejects} has the rejected resources with the reasons"));
        }
        if !report.withheld.is_empty() {
            out.note("stored, but withheld from partners (`causeway records withheld` lists them):");
            for (reason, count) in &report.withheld {
                out.note(&format!("  {count:>8}  {reason}: {}", withheld::meaning(reason)));
            }
        }
        if report.superseded > 0 {
            out.note(&format!("{superseded} has the superseded versions"));
        }
        for one in report.aside.iter().take(NAMES_MAX) {
            out.note(&format!("{} was skipped: {}", printable(&one.name), one.why));
        }
        if let Some(more) = report.aside.len().checked_sub(NAMES_MAX).filter(|more| *more > 0) {
            out.note(&format!("and {more} more files; --json names all"));
        }
    }
    for name in &report.unreadable {
        out.error(&format!("{} could not be read to its end", printable(name)));
    }
}

/// The name of a file for a terminal: what strangers packed may have bytes in it that move the cursor.
fn printable(name: &str) -> String {
    name.replace(char::is_control, "\u{fffd}")
}

/// How often a line of progress is printed.
const EVERY: Duration = Duration::from_secs(5);

/// Progress in lines, where no bar can be drawn: in a pipe, and when a running server does the work.
struct Beat {
    stage: ImportStage,
    began: Instant,
    told: Instant,
}

impl Beat {
    fn new() -> Beat {
        let now = Instant::now();
        Beat {
            stage: ImportStage::Files,
            began: now,
            told: now,
        }
    }

    fn line(&mut self, progress: ImportProgress) -> Option<String> {
        if progress.stage != self.stage {
            (self.stage, self.began) = (progress.stage, Instant::now());
        }
        if progress.done == 0 || self.told.elapsed() < EVERY {
            return None;
        }
        self.told = Instant::now();
        Some(line_of(progress, self.began.elapsed().as_secs_f64()))
    }
}

/// What is done after so many seconds, the rate, and the time left.
fn line_of(progress: ImportProgress, seconds: f64) -> String {
    let ImportProgress { read, done, total, .. } = progress;
    let rate = done as f64 / seconds.max(0.001);
    let left = (total.saturating_sub(done) as f64 / rate.max(0.001)).ceil();
    match progress.stage {
        ImportStage::Files => format!(
            "reading: {} of {}, {}/s, {read} resources, {left:.0} s left",
            BinaryBytes(done),
            BinaryBytes(total),
            BinaryBytes(rate as u64)
        ),
        ImportStage::Index => format!("indexing: {done} of {total} members, {rate:.0}/s, {left:.0} s left"),
    }
}

/// A bar for the files, and one for the index after them.
struct Bars {
    shown: bool,
    stage: ImportStage,
    bar: ProgressBar,
}

impl Bars {
    fn new(shown: bool) -> Bars {
        Bars {
            shown,
            stage: ImportStage::Files,
            bar: Bars::of(ImportStage::Files, shown),
        }
    }

    fn of(stage: ImportStage, shown: bool) -> ProgressBar {
        if !shown {
            return ProgressBar::hidden();
        }
        let template = match stage {
            ImportStage::Files => {
                "{spinner} reading {bar:20} {percent:>3} %  {bytes} of {total_bytes}, {binary_bytes_per_sec}, {msg}, {eta} left"
            }
            ImportStage::Index => {
                "{spinner} {msg} {bar:20} {percent:>3} %  {pos} of {len} members, {per_sec}, {eta} left"
            }
        };
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar
    }

    fn show(&mut self, progress: ImportProgress) {
        if progress.stage != self.stage {
            self.bar.finish_and_clear();
            self.stage = progress.stage;
            self.bar = Bars::of(progress.stage, self.shown);
        }
        self.bar.set_message(match progress.stage {
            ImportStage::Files => format!("{} resources", progress.read),
            ImportStage::Index => "indexing".to_owned(),
        });
        self.bar.set_length(progress.total);
        self.bar.set_position(progress.done);
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{ImportProgress, ImportStage, SourceBase, line_of, printable, twice};

    #[test]
    fn a_base_has_one_prefix() {
        let bases = |texts: &[&str]| -> Vec<SourceBase> {
            let read = texts.iter().map(|text| text.parse());
            read.collect::<Result<_, _>>().expect("bases")
        };
        for (texts, fits) in [
            (&["https://a.example/fhir", "https://b.example/fhir=x-"][..], true),
            (&["https://a.example/fhir", "https://a.example/fhir/"], true),
            (&["https://a.example/fhir", "https://a.example/fhir=x-"], false),
            (&["https://a.example/fhir=y-", "https://A.example/fhir=x-"], false),
        ] {
            assert_eq!(twice(&bases(texts)).is_none(), fits, "{texts:?}");
        }
    }

    #[test]
    fn a_line_of_progress_has_phase_amount_rate_and_time_left() {
        let mut progress = ImportProgress {
            stage: ImportStage::Files,
            read: 120,
            done: 1 << 20,
            total: 4 << 20,
        };
        assert_eq!(
            line_of(progress, 1.0),
            "reading: 1.00 MiB of 4.00 MiB, 1.00 MiB/s, 120 resources, 3 s left"
        );
        (progress.stage, progress.done, progress.total) = (ImportStage::Index, 50, 200);
        assert_eq!(line_of(progress, 5.0), "indexing: 50 of 200 members, 10/s, 15 s left");
    }

    #[test]
    fn names_of_files_move_no_cursor() {
        assert_eq!(
            printable("a\u{1b}[31m\nb/\u{e9}.json"),
            "a\u{fffd}[31m\u{fffd}b/\u{e9}.json"
        );
    }
}
