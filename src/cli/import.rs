//! `causeway import PATH…`: loads Bundles, NDJSON and single resources into the store.

use super::{Exit, Out};
use crate::context::Context;
use crate::error::Failure;
use crate::records::import::{Progress, Report, import};
use crate::telemetry::metrics as families;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `causeway import`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  causeway import ./synthea ./payer-layer --rejects rejects.ndjson\n\n\
    Takes .ndjson and .json files, plain or .gz, and folders of them: Bundles (transaction, batch, collection, searchset)\n\
    and single resources. A resource that is in several paths is taken from the last one. Importing again changes nothing;\n\
    an import that was interrupted is run again. Exit code 3 when a file could not be read to its end."
)]
pub struct ImportArgs {
    /// Files and folders.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Where to write what was not taken, one JSON line each: source, line, expression, fault, reason.
    #[arg(long, value_name = "FILE", default_value = "import-rejects.ndjson")]
    pub rejects: PathBuf,
}

/// Runs the import and prints its counts. Relative paths are of `cwd`.
///
/// # Errors
/// Those of the store. An input that cannot be read is told on stderr and ends with [`Exit::Unreadable`].
pub fn run(args: &ImportArgs, ctx: &Context, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let paths: Vec<PathBuf> = args.paths.iter().map(|path| cwd.join(path)).collect();
    let names: Vec<String> = args.paths.iter().map(|path| path.display().to_string()).collect();
    let rejects = cwd.join(&args.rejects);
    let bar = if out.terminal && !out.quiet && !out.json {
        progress_bar()
    } else {
        ProgressBar::hidden()
    };
    let done = import(ctx, &paths, &names, &rejects, &mut |progress| show(&bar, progress));
    bar.finish_and_clear();
    let report = done?;
    ctx.store.settle();
    for (outcome, resources) in [
        ("stored", report.stored),
        ("unchanged", report.unchanged),
        ("rejected", report.rejected),
    ] {
        metrics::counter!(families::IMPORTED, "outcome" => outcome).increment(resources);
    }
    print(args, &report, out);
    Ok(if report.unreadable.is_empty() {
        Exit::Done
    } else {
        Exit::Unreadable
    })
}

fn print(args: &ImportArgs, report: &Report, out: &mut Out) {
    let rejects = args.rejects.display().to_string();
    if out.json {
        out.value(&json!({
            "read": report.read,
            "stored": report.stored,
            "unchanged": report.unchanged,
            "superseded": report.superseded,
            "rejected": report.rejected,
            "skipped_files": report.skipped,
            "unreadable": report.unreadable,
            "rejects": (report.rejected > 0).then_some(rejects),
            "seconds": (report.seconds * 1000.0).round() / 1000.0,
        }));
    } else {
        let rate = report.read as f64 / report.seconds.max(0.001);
        out.line(&format!(
            "read {}, stored {}, unchanged {} (of them superseded {}), rejected {} in {:.1} s ({rate:.0} resources/s)",
            report.read, report.stored, report.unchanged, report.superseded, report.rejected, report.seconds
        ));
        if report.rejected > 0 {
            out.note(&format!("what was rejected, and why, is in {rejects}"));
        }
        if report.skipped > 0 {
            out.note(&format!(
                "{} JSON files that hold no record were left aside",
                report.skipped
            ));
        }
    }
    for name in &report.unreadable {
        out.error(&format!("{} could not be read to its end", name));
    }
}

fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "{spinner} {bar:40} {percent:>3} %  {msg}  {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes);
    bar.set_message(format!("{} resources", progress.read));
}
