//! `causeway reconcile`: our exchanges with a partner as a file that the partner may have, and a comparison with such a file of the partner's.

use super::asker::CommandAsker;
use super::look::LookArgs;
use super::new_file::WrittenFile;
use super::pages::or_dash;
use crate::audit::Object;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::disclosures::known_partner;
use crate::ops::reconciliation::compare::{ReconcileCounts, ReconcileDifference, compare};
use crate::ops::reconciliation::read;
use crate::ops::reconciliation::row::{ReconcileRow, csv_header};
use crate::ops::reconciliation::rows::ReconcileAsked;
use crate::secret::hex;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// What the ledger says was looked at.
const WHAT: &str = "reconciliation";
/// Differences that a table shows.
const SHOWN: usize = 50;
/// Differences that an answer with `--json` lists.
const LISTED: usize = 1_000;

/// Arguments of `reconcile`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway reconcile export --partner P --from 2026-10-01 --until 2026-10-31 --out ours.csv\n  \
    causeway reconcile compare theirs.csv --partner P\n  \
    causeway reconcile compare theirs.ndjson --partner P --out differences.ndjson --json"
)]
pub struct ReconcileArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ReconcileCommand,
}

/// What to do with records of exchanges.
#[derive(Subcommand, Clone, Debug)]
pub enum ReconcileCommand {
    /// Write what a partner and we asked each other, one row each, into a file for that partner
    ///
    /// No column is about a member. But a correlation id is the text of whoever asked: if it is a member number, so is the cell.
    Export(ReconcileExportArgs),
    /// Compare a file of a partner with our exchanges: 0 nothing differs, 1 something does, 3 the file cannot be used
    Compare(ReconcileCompareArgs),
}

/// Which exchanges.
#[derive(Args, Clone, Debug)]
pub struct ReconcileWhich {
    /// The partner
    #[arg(long)]
    pub partner: String,
    /// Only exchanges that began on this date (in the payer's time zone) or at this RFC 3339 instant, or later
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only exchanges that began until the end of this date, or before this instant
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

/// The form of a file.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileFormat {
    /// CSV with a header line
    Csv,
    /// One JSON object on each line
    Ndjson,
}

/// Arguments of `reconcile export`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  causeway reconcile export --partner P --from 2026-10-01 --until 2026-10-31 --out ours.csv"
)]
pub struct ReconcileExportArgs {
    /// Which exchanges.
    #[command(flatten)]
    pub which: ReconcileWhich,
    /// The form of the rows
    #[arg(long, value_enum, default_value_t = ReconcileFormat::Csv)]
    pub format: ReconcileFormat,
    /// A file that is not there yet; without it, the rows go to standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Why, and who.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Arguments of `reconcile compare`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  causeway reconcile compare theirs.csv --partner P")]
pub struct ReconcileCompareArgs {
    /// The partner's file, CSV or NDJSON, as `causeway reconcile export` writes it
    pub file: PathBuf,
    /// Which exchanges. Without times, those of the time that the file covers.
    #[command(flatten)]
    pub which: ReconcileWhich,
    /// A file that is not there yet, for all differences, one JSON object on each line
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Why, and who.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Runs the command. Relative paths are of `cwd`. Waits on this thread.
///
/// # Errors
/// [`Fault::PartnerUnknown`]; [`Fault::ParameterInvalid`] for times that are none; [`Fault::InputUnreadable`] for a file that cannot be read,
/// with the line, or cannot be written; those of the store.
pub fn run(
    args: &ReconcileArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match &args.command {
        ReconcileCommand::Export(args) => export(args, ctx, cwd, asker, out),
        ReconcileCommand::Compare(args) => compare_file(args, ctx, cwd, asker, out),
    }
}

impl ReconcileWhich {
    fn asked(&self, ctx: &Context) -> Result<ReconcileAsked, Failure> {
        let times = (self.from.as_deref(), self.until.as_deref());
        let (from_ms, until_ms) = read::period(times, ["--from", "--until"], ctx.payer.time_zone)?;
        let known = ctx.store.read_blocking(|db| known_partner(db, Some(&self.partner)))?;
        Ok(ReconcileAsked {
            partner: known.ok_or(Fault::PartnerUnknown)?,
            from_ms,
            until_ms,
            now_ms: ctx.clock.now_ms(),
            keys: ctx.member_keys.clone(),
        })
    }
}

/// The partner whose exchanges are looked at.
fn about(asked: &ReconcileAsked) -> Object {
    Object {
        kind: "partner",
        id: asked.partner.clone(),
    }
}

fn export(
    args: &ReconcileExportArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    if out.json && args.out.is_none() {
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("--json")
            .remedy("Give --out FILE with --json. Without it, the rows themselves are the answer: see --format."));
    }
    let asked = args.which.asked(ctx)?;
    let note = args.look.note(asker)?;
    let mut file = match &args.out {
        Some(path) => Some(WrittenFile::begin(&cwd.join(path))?),
        None => None,
    };
    asker.show_to(ctx, note, WHAT, Some(about(&asked)))?;
    let mut put = |text: &str| match &mut file {
        Some(file) => file.add(text),
        None => {
            out.raw(text);
            Ok(())
        }
    };
    if args.format == ReconcileFormat::Csv {
        put(&csv_header())?;
    }
    let mut count = 0_u64;
    read::each_page(&ctx.store, &asked, &mut |rows| {
        count += rows.len() as u64;
        put(&lines(&rows, args.format)?)
    })?;
    match file {
        Some(file) => told(args.out.as_deref(), count, &hex(&file.finish()?), out),
        None => out.note(&format!("rows: {count}")),
    }
    Ok(Exit::Done)
}

fn lines(rows: &[ReconcileRow], format: ReconcileFormat) -> Result<String, Failure> {
    rows.iter()
        .map(|row| match format {
            ReconcileFormat::Csv => Ok(row.csv()),
            ReconcileFormat::Ndjson => row.ndjson(),
        })
        .collect()
}

fn told(path: Option<&Path>, rows: u64, sum: &str, out: &mut Out) {
    let path = path.map(|path| path.display().to_string()).unwrap_or_default();
    match out.json {
        true => out.value(&json!({"file": path, "rows": rows, "sha256": sum})),
        false => out.line(&format!("rows: {rows}, SHA-256 of {path}: {sum}")),
    }
}

fn compare_file(
    args: &ReconcileCompareArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let asked = args.which.asked(ctx)?;
    let note = args.look.note(asker)?;
    let path = cwd.join(&args.file);
    let file = File::open(&path).map_err(|error| {
        let remedy = format!("Check the path {} and its permissions.", path.display());
        Failure::new(Fault::InputUnreadable).remedy(remedy).because(error)
    })?;
    let theirs = read::theirs(BufReader::new(file), asked.now_ms)?;
    let mut all = match &args.out {
        Some(path) => Some(WrittenFile::begin(&cwd.join(path))?),
        None => None,
    };
    asker.show_to(ctx, note, WHAT, Some(about(&asked)))?;
    let period = read::compared(&asked, &theirs);
    let ours = read::ours(&ctx.store, &asked, period)?;
    let mut found = Vec::new();
    let counts = compare(&ours, &theirs, period, &mut |difference| {
        if let Some(file) = &mut all {
            let text = serde_json::to_string(&difference);
            let text = text.map_err(|error| Failure::new(Fault::Internal).because(error))?;
            file.add(&(text + "\n"))?;
        }
        if found.len() < LISTED {
            found.push(difference);
        }
        Ok(())
    })?;
    if let Some(file) = all {
        file.finish()?;
    }
    show(&asked.partner, counts, &found, out);
    Ok(match counts.differences {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

fn show(partner: &str, counts: ReconcileCounts, found: &[ReconcileDifference], out: &mut Out) {
    if out.json {
        let has_more = counts.differences > found.len() as u64;
        out.value(&json!({"partner": partner, "counts": counts, "differences": found, "has_more": has_more}));
        return;
    }
    let cells = |one: &ReconcileDifference| {
        vec![
            one.correlation_id.clone(),
            one.asked_by.to_owned(),
            one.finding.code().to_owned(),
            or_dash(one.ours.as_deref()),
            or_dash(one.theirs.as_deref()),
            one.action.code().to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = found.iter().take(SHOWN).map(cells).collect();
    let header = ["CORRELATION", "ASKED BY", "DIFFERS IN", "OURS", "THEIRS", "NEXT"];
    out.list(&header, &rows, &ShortIds::default(), "Nothing differs.");
    let mut told = Vec::new();
    for one in found.iter().take(SHOWN) {
        if !told.contains(&one.action) {
            told.push(one.action);
            out.line(&format!("{}: {}", one.action.code(), one.next));
        }
    }
    if counts.differences > rows.len() as u64 {
        out.note(&format!(
            "the first {} of {} differences; --out FILE writes all of them",
            rows.len(),
            counts.differences
        ));
    }
    out.line(&format!(
        "ours: {}, theirs: {} (and {} that stand twice), both: {}, the same: {}, bulk that is not kept: {}, differences: {}",
        counts.ours, counts.theirs, counts.duplicates, counts.both, counts.same, counts.not_kept, counts.differences
    ));
}
