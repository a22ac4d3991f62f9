//! `causeway exchange import`: an exchange for each row of a file of enrolments.

use super::asker::{CommandAsker, by};
use crate::audit::{Action, LedgerEvent, OperatorNote, ledger};
use crate::bulk::asking::{close, gather};
use crate::consent::WithdrawnBy;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::enrolments::{AT_ONCE, EnrolmentFields, EnrolmentFile, RowResult, accept};
use crate::secret::{hex, sha256_of};
use crate::security::Operator;
use crate::store::Db;
use crate::terminal::{Exit, Out};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

/// Arguments of `exchange import`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Example:\n  causeway exchange import enrollments.csv --rejects rejects.ndjson\n\n\
    Each row is accepted or rejected by itself. A row that was accepted before changes nothing, so import a\n\
    file again after an interruption. Exit code 1 when every row was rejected, 3 when the file could not be read to its end."
)]
pub struct ExchangeImportArgs {
    /// CSV with a header, or NDJSON
    pub file: PathBuf,
    /// Where to write the rejected rows, one JSON line each: line, fault, expression, remedy
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,
    /// Ask each partner for all its members of this file at once, in runs of 1,000; see `causeway bulk list`
    #[arg(long)]
    pub bulk: bool,
}

#[derive(Default)]
struct Tally {
    started: u64,
    running: u64,
    known: u64,
    rejected: u64,
    runs: usize,
}

/// The file, and how its partners are asked.
#[derive(Clone)]
struct FileOf {
    digest: String,
    in_bulk: bool,
}

/// Runs the command. Relative paths are of `cwd`.
///
/// # Errors
/// [`Fault::InputUnreadable`], [`Fault::FileUnusable`]; those of the store.
pub fn run(
    args: &ExchangeImportArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    let path = cwd.join(&args.file);
    let by = by(ctx, asker, "a file of enrollments")?;
    let (digest, bytes) = digest_of(&path)?;
    let bar = bar(out.terminal && !out.quiet && !out.json, bytes);
    let mut rejects = match &args.rejects {
        None => None,
        Some(path) => Some(
            File::create(cwd.join(path))
                .map_err(|error| Failure::new(Fault::InputUnreadable).at("--rejects").because(error))?,
        ),
    };
    let mut file = EnrolmentFile::new(BufReader::new(bar.wrap_read(open(&path)?)));
    let (mut tally, mut rows) = (Tally::default(), Vec::new());
    let file_of = FileOf {
        digest,
        in_bulk: args.bulk,
    };
    let ended = loop {
        match file.next_row() {
            Ok(Some(row)) => match row.fields {
                Ok(fields) => rows.push((row.line, fields)),
                Err(failure) => reject(row.line, &failure, &mut tally, rejects.as_mut(), out)?,
            },
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
        if rows.len() == AT_ONCE {
            hand_in(ctx, &file_of, &mut rows, &by, &mut tally, rejects.as_mut(), out)?;
        }
    };
    hand_in(ctx, &file_of, &mut rows, &by, &mut tally, rejects.as_mut(), out)?;
    if args.bulk {
        let (own, of) = (ctx.clone(), file_of.digest.clone());
        tally.runs = ctx.store.write_blocking(move |db| close(db, &own, &of))?;
    }
    bar.finish_and_clear();
    note(ctx, &by, &tally)?;
    print(&tally, out);
    ended?;
    let taken = tally.started + tally.running + tally.known;
    Ok(if taken == 0 && tally.rejected > 0 {
        Exit::Failed
    } else {
        Exit::Done
    })
}

fn hand_in(
    ctx: &Context,
    file: &FileOf,
    rows: &mut Vec<(u64, EnrolmentFields)>,
    by: &WithdrawnBy,
    tally: &mut Tally,
    mut rejects: Option<&mut File>,
    out: &mut Out,
) -> Result<(), Failure> {
    if rows.is_empty() {
        return Ok(());
    }
    let (own, own_rows, own_file, own_by) = (ctx.clone(), rows.clone(), file.clone(), by.clone());
    let results = ctx.store.write_blocking(move |db| {
        let results = accept(db, &own, &own_file.digest, &own_rows, &own_by)?;
        if own_file.in_bulk {
            gather_new(db, &own, &own_file.digest, &own_rows, &results)?;
        }
        Ok(results)
    })?;
    for ((line, _), result) in rows.drain(..).zip(results) {
        match result {
            RowResult::Accepted(accepted) if accepted.is_new => tally.started += 1,
            RowResult::Accepted(_) => tally.running += 1,
            RowResult::Known(_) => tally.known += 1,
            RowResult::Rejected(failure) => reject(line, &failure, tally, rejects.as_deref_mut(), out)?,
        }
    }
    Ok(())
}

/// Leaves the exchanges that have just begun to bulk runs.
fn gather_new(
    db: &mut Db,
    ctx: &Context,
    digest: &str,
    rows: &[(u64, EnrolmentFields)],
    results: &[RowResult],
) -> Result<(), Failure> {
    for ((_, fields), result) in rows.iter().zip(results) {
        let (RowResult::Accepted(accepted), Some(partner)) = (result, &fields.partner) else {
            continue;
        };
        if accepted.is_new {
            gather(db, ctx, (partner, &accepted.exchange_id), digest)?;
        }
    }
    Ok(())
}

fn reject(
    line: u64,
    failure: &Failure,
    tally: &mut Tally,
    rejects: Option<&mut File>,
    out: &mut Out,
) -> Result<(), Failure> {
    tally.rejected += 1;
    let Some(file) = rejects else {
        out.note(&format!("line {line}: {failure}"));
        return Ok(());
    };
    let row = json!({
        "line": line,
        "fault": failure.fault().code(),
        "expression": failure.expressions(),
        "text": failure.fault().row().text,
        "remedy": failure.operator_remedy_text(),
    });
    writeln!(file, "{row}").map_err(|error| Failure::new(Fault::InputUnreadable).at("--rejects").because(error))
}

fn note(ctx: &Context, by: &WithdrawnBy, tally: &Tally) -> Result<(), Failure> {
    let mut entry = LedgerEvent::new(
        Action::ExchangeImported,
        Operator::actor(by.role),
        by.correlation.clone(),
    );
    entry.note = Some(OperatorNote {
        operator: by.operator.clone(),
        reason: by.reason.clone(),
    });
    for (what, count) in [
        ("started", tally.started),
        ("running", tally.running),
        ("known", tally.known),
        ("rejected", tally.rejected),
    ] {
        entry.counts.insert(what.into(), count);
    }
    let (id, at_us) = (ctx.ids.new_id(ctx.clock.now_ms()), ctx.clock.now_us());
    ctx.store
        .write_blocking(move |db| ledger::append(db, &entry, &id, at_us))
}

fn print(tally: &Tally, out: &mut Out) {
    if out.json {
        out.value(&json!({
            "started": tally.started,
            "running": tally.running,
            "known": tally.known,
            "rejected": tally.rejected,
            "bulk_runs": tally.runs,
        }));
        return;
    }
    out.line(&format!(
        "started: {}, already running: {}, accepted before: {}, rejected: {}",
        tally.started, tally.running, tally.known, tally.rejected
    ));
    if tally.runs > 0 {
        out.line(&format!("bulk runs: {}", tally.runs));
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let remedy = format!("Check the path {} and its permissions.", path.display());
        Failure::new(Fault::InputUnreadable).remedy(remedy).because(error)
    })
}

/// Bytes of a file that are read at once for its digest.
const PIECE_BYTES: u64 = 65_536;

/// The digest of a file (of each piece, the SHA-256 with that of the piece before), and its length in bytes.
fn digest_of(path: &Path) -> Result<(String, u64), Failure> {
    let mut source = BufReader::new(open(path)?);
    let (mut digest, mut bytes, mut piece) = ([0; 32], 0, Vec::new());
    loop {
        piece.clear();
        (&mut source)
            .take(PIECE_BYTES)
            .read_to_end(&mut piece)
            .map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
        if piece.is_empty() {
            return Ok((hex(&digest), bytes));
        }
        bytes += piece.len() as u64;
        digest = sha256_of(&[&digest, &piece]);
    }
}

fn bar(is_drawn: bool, bytes: u64) -> ProgressBar {
    if !is_drawn {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(bytes);
    if let Ok(style) = ProgressStyle::with_template(
        "reading {bar:20} {percent:>3} %  {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left",
    ) {
        bar.set_style(style);
    }
    bar
}
