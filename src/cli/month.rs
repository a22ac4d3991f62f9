//! `causeway report`: the report of a month, as a table, as CSV, and as a page to print.

use super::asker::CommandAsker;
use super::look::LookArgs;
use super::new_file::WrittenFile;
use crate::context::Context;
use crate::error::Failure;
use crate::ops::disclosures::known_partner;
use crate::ops::month::page;
use crate::ops::month::report::{MonthLine, MonthReport, made, time_text, trend_text};
use crate::terminal::{Exit, Out, ShortIds};
use clap::Args;
use std::path::{Path, PathBuf};

/// What the ledger says was looked at.
const WHAT: &str = "month-report";

/// Arguments of `report`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway report\n  causeway report --month 2026-10 --partner P\n  \
    causeway report --month 2026-10 --csv october.csv --html october.html"
)]
pub struct MonthArgs {
    /// The month, in the payer's time zone; without it, the last one that is over
    #[arg(long, value_name = "YYYY-MM")]
    pub month: Option<String>,
    /// Only exchanges with this partner
    #[arg(long)]
    pub partner: Option<String>,
    /// Write the report as CSV into a file that is not there yet
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write the report as a page to print into a file that is not there yet
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Why, and who.
    #[command(flatten)]
    pub look: LookArgs,
}

/// Runs the command. Relative paths are of `cwd`. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`](crate::error::Fault::ParameterInvalid) for a month that is none or has not begun;
/// [`Fault::PartnerUnknown`](crate::error::Fault::PartnerUnknown);
/// [`Fault::InputUnreadable`](crate::error::Fault::InputUnreadable) for a file that cannot be written; those of the store.
pub fn run(args: &MonthArgs, ctx: &Context, cwd: &Path, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let partner = args.partner.as_deref();
    let partner = ctx.store.read_blocking(|db| known_partner(db, partner))?;
    let note = args.look.note(asker)?;
    // Both files begin before the work, so that a name that cannot be used costs nothing.
    let begun = |path: &Option<PathBuf>| {
        path.as_deref()
            .map(|path| WrittenFile::begin(&cwd.join(path)))
            .transpose()
    };
    let (csv, html) = (begun(&args.csv)?, begun(&args.html)?);
    let report = made(ctx, args.month.as_deref(), partner.as_deref())?;
    asker.show_to(ctx, note, WHAT, None)?;
    if let Some(mut file) = csv {
        file.add(&report.csv())?;
        file.finish()?;
    }
    if let Some(mut file) = html {
        file.add(&page::html(&report))?;
        file.finish()?;
    }
    match out.json {
        true => out.value(&report),
        false => print(&report, out),
    }
    Ok(Exit::Done)
}

fn print(report: &MonthReport, out: &mut Out) {
    let cells = |line: &MonthLine| {
        let (now, before) = (&line.figures, &line.before);
        vec![
            line.partner.clone(),
            trend_text(now.asked, before.asked),
            trend_text(now.completed, before.completed),
            trend_text(now.without_person, before.without_person),
            trend_text(now.asked_in_time, before.asked_in_time),
            time_text(now.end_to_end_median_ms),
            time_text(now.end_to_end_p95_ms),
            trend_text(now.answered, before.answered),
            trend_text(now.matched, before.matched),
            trend_text(now.reviews, before.reviews),
            trend_text(now.duplicates, before.duplicates),
        ]
    };
    let rows: Vec<Vec<String>> = report.lines().map(cells).collect();
    let header = [
        "PARTNER",
        "ASKED",
        "COMPLETED",
        "NO PERSON",
        "IN TIME",
        "MEDIAN",
        "P95",
        "ANSWERED",
        "MATCHED",
        "REVIEWS",
        "REPEATED",
    ];
    out.list(&header, &rows, &ShortIds::default(), "Nothing was exchanged.");
    for (code, count) in &report.total.figures.reasons {
        out.line(&format!("{code}: {count} exchanges refused or failed"));
    }
    let over = if report.is_over { "" } else { ", which is not over" };
    out.note(&format!(
        "{}{over}, in the time zone {}; in parentheses the change since {}",
        report.month, report.time_zone, report.month_before
    ));
}
