//! `causeway scorecard`: how a partner does in a week, a month or a quarter, as a table, as CSV, and as a page to print; and without a partner how
//! this server does.

use super::new_file::WrittenFile;
use crate::context::Context;
use crate::error::Failure;
use crate::ops::disclosures::known_partner;
use crate::ops::scorecard::figures::{CARD_COUNTS, bound_text, change_text};
use crate::ops::scorecard::page;
use crate::ops::scorecard::period::CardPeriod;
use crate::ops::scorecard::read::{Scorecard, ServiceReport, scorecard, service};
use crate::terminal::{Exit, Out, ShortIds};
use clap::Args;
use std::path::{Path, PathBuf};

/// Arguments of `scorecard`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway scorecard\n  causeway scorecard new-payer --period 2026-Q4\n  \
    causeway scorecard new-payer --period week --csv week.csv --html week.html"
)]
pub struct ScorecardArgs {
    /// The partner; without it, how this server does with all of them
    pub partner: Option<String>,
    /// The period: week, month, quarter, or one such as 2026-W40, 2026-10 or 2026-Q4; the month of now by default
    #[arg(long, value_name = "PERIOD")]
    pub period: Option<String>,
    /// Write the figures as CSV into a file that is not there yet
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write a page to print into a file that is not there yet
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Runs the command. Relative paths are of `cwd`. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`](crate::error::Fault::ParameterInvalid) for a period that is none or has not begun;
/// [`Fault::PartnerUnknown`](crate::error::Fault::PartnerUnknown);
/// [`Fault::InputUnreadable`](crate::error::Fault::InputUnreadable) for a file that cannot be written; those of the store.
pub fn run(args: &ScorecardArgs, ctx: &Context, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let now_ms = ctx.clock.now_ms();
    let period = CardPeriod::asked("--period", args.period.as_deref(), now_ms)?;
    let wanted = args.partner.as_deref();
    let partner = ctx.store.read_blocking(|db| known_partner(db, wanted))?;
    // Both files begin before the work, so that a name that cannot be used costs nothing.
    let begun = |path: &Option<PathBuf>| {
        path.as_deref()
            .map(|path| WrittenFile::begin(&cwd.join(path)))
            .transpose()
    };
    let (csv, html) = (begun(&args.csv)?, begun(&args.html)?);
    let payer = ctx.payer.name.as_str();
    match partner {
        Some(partner) => {
            let card = ctx
                .store
                .read_blocking(|db| scorecard(db, Some(&partner), &period, now_ms))?;
            write(csv, || card.csv())?;
            write(html, || page::scorecard(&card, payer))?;
            match out.json {
                true => out.value(&card),
                false => show(&card, out),
            }
        }
        None => {
            let report = ctx.store.read_blocking(|db| service(db, &period, now_ms))?;
            write(csv, || report.card.csv())?;
            write(html, || page::service(&report, payer))?;
            match out.json {
                true => out.value(&report),
                false => show_service(&report, out),
            }
        }
    }
    Ok(Exit::Done)
}

fn write(file: Option<WrittenFile>, text: impl Fn() -> String) -> Result<(), Failure> {
    let Some(mut file) = file else { return Ok(()) };
    file.add(&text())?;
    file.finish()?;
    Ok(())
}

fn show(card: &Scorecard, out: &mut Out) {
    let counts = card.figures.counts().into_iter().zip(card.before.counts());
    let mut rows: Vec<Vec<String>> = CARD_COUNTS
        .iter()
        .zip(counts)
        .map(|((_, text), (now, before))| vec![(*text).to_owned(), change_text(now, before)])
        .collect();
    for (text, bound) in [
        ("Half of the complete within", &card.figures.median_within_s),
        ("95 of 100 within", &card.figures.p95_within_s),
    ] {
        rows.push(vec![text.to_owned(), bound_text(bound.as_deref())]);
    }
    out.list(
        &["FIGURE", "COUNT"],
        &rows,
        &ShortIds::default(),
        "Nothing was exchanged.",
    );
    let over = if card.is_over { "" } else { ", which is not over" };
    out.note(&format!(
        "{} in {}{over}, in days of UTC; in parentheses the change since the period before",
        card.partner, card.period
    ));
}

fn show_service(report: &ServiceReport, out: &mut Out) {
    show(&report.card, out);
    out.line("");
    for one in &report.partners {
        out.line(&format!("{}: {} exchanges and matches", one.partner, one.exchanged));
    }
    let queue = &report.queue;
    out.line(&format!("background jobs: {} due, {} parked", queue.due, queue.parked));
    for item in &report.slo.items {
        out.line(&format!("{}: {}", item.objective, item.state.code()));
    }
}
