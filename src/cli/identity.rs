//! `causeway identity bench|link`: the measured matcher of `crates/identity` over files, beside the server.
//!
//! What it says of a file is what it will say of a request; the server's own requests are still decided by the
//! deterministic layer (`docs/matching.md`).

use super::{Exit, Out};
use crate::error::{Failure, Fault};
use causeway_identity::bench::csv::{Table, quote};
use causeway_identity::bench::{link, member};
use causeway_identity::{Point, Policy};
use clap::{Args, Subcommand, ValueEnum};
use flate2::read::MultiGzDecoder;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `identity`.
#[derive(Args, Clone, Debug)]
pub struct IdentityArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: IdentityCommand,
}

/// What the matcher is asked to do.
#[derive(Subcommand, Clone, Debug)]
pub enum IdentityCommand {
    /// Answer each request of a file against a roster
    #[command(
        after_help = "Example: causeway identity bench --roster roster.csv.gz --queries queries.csv.gz --out results.csv"
    )]
    Bench {
        /// Records of the payer, CSV with a header, plain or gzip
        #[arg(long, value_name = "FILE")]
        roster: PathBuf,
        /// Requests, CSV with a header, plain or gzip
        #[arg(long, value_name = "FILE")]
        queries: PathBuf,
        /// How much doubt is taken
        #[arg(long, value_enum, default_value_t = OperatingPoint::Safe)]
        point: OperatingPoint,
        /// Other column names, a line each: `ours = theirs`, or `ours = theirs + theirs`
        #[arg(long, value_name = "FILE")]
        map: Option<PathBuf>,
        /// Where to write `query_id,outcome,roster_id`
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Link two files that describe the same people
    #[command(after_help = "Example: causeway identity link --a a.csv.gz --b b.csv.gz --map febrl.map --out links.csv")]
    Link {
        /// The first file
        #[arg(long, value_name = "FILE")]
        a: PathBuf,
        /// The second file
        #[arg(long, value_name = "FILE")]
        b: PathBuf,
        /// Column names, a line each: `ours = theirs`; `id` names the record
        #[arg(long, value_name = "FILE")]
        map: PathBuf,
        /// Where to write `a,b,total`
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// The named operating points.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum OperatingPoint {
    /// As good as no false match; more reviews.
    Safe,
    /// Fewer reviews; a false match now and then.
    Balanced,
}

/// Runs the command. Relative paths are of `cwd`.
///
/// # Errors
/// [`Fault::InputUnreadable`] naming the option whose file cannot be read or written.
pub fn run(args: &IdentityArgs, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let summary = match &args.command {
        IdentityCommand::Bench {
            roster,
            queries,
            point,
            map,
            out: file,
        } => {
            let mut records = table(&cwd.join(roster), "--roster")?;
            let mut asked = table(&cwd.join(queries), "--queries")?;
            if let Some(map) = map {
                let map = text(&cwd.join(map))?;
                link::map(&mut records, &map).map_err(|error| unusable("--map", error))?;
                link::map(&mut asked, &map).map_err(|error| unusable("--map", error))?;
            }
            let point = match point {
                OperatingPoint::Safe => Point::Safe,
                OperatingPoint::Balanced => Point::Balanced,
            };
            bench(&records, &asked, point, &cwd.join(file)).map_err(|error| unusable("--out", error))?
        }
        IdentityCommand::Link { a, b, map, out: file } => {
            let (mut first, mut second) = (table(&cwd.join(a), "--a")?, table(&cwd.join(b), "--b")?);
            let map = text(&cwd.join(map))?;
            link::map(&mut first, &map).map_err(|error| unusable("--map", error))?;
            link::map(&mut second, &map).map_err(|error| unusable("--map", error))?;
            linked(&first, &second, &cwd.join(file)).map_err(|error| unusable("--out", error))?
        }
    };
    if out.json {
        out.value(&summary);
    } else {
        for (name, value) in summary.as_object().into_iter().flatten() {
            out.line(&format!("{name:<16} {value}"));
        }
    }
    Ok(Exit::Done)
}

fn bench(records: &Table, queries: &Table, point: Point, path: &Path) -> io::Result<serde_json::Value> {
    let policy = Policy::default();
    let roster = member::roster(records);
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "query_id,outcome,roster_id")?;
    let mut counts = [0u64; 3];
    let mut times_us = Vec::with_capacity(queries.len());
    for row in 0..queries.len() {
        let began = Instant::now();
        let answer = member::answer(&roster, queries, row, &policy, point);
        times_us.push(began.elapsed().as_secs_f64() * 1e6);
        let word = member::word(answer.decision.outcome);
        let place = ["match", "review", "none"].iter().position(|known| *known == word);
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
        let record = answer.record.map_or("", |record| records.cell(record, "roster_id"));
        writeln!(
            file,
            "{},{word},{}",
            quote(queries.cell(row, "query_id")),
            quote(record)
        )?;
    }
    file.flush()?;
    times_us.sort_by(f64::total_cmp);
    let share = |percent: usize| {
        times_us
            .get(times_us.len() * percent / 100)
            .map_or(0.0, |us| us.round())
    };
    Ok(json!({
        "records": records.len(), "queries": queries.len(), "match": counts[0], "review": counts[1], "none": counts[2],
        "p50_us": share(50), "p99_us": share(99),
    }))
}

fn linked(first: &Table, second: &Table, path: &Path) -> io::Result<serde_json::Value> {
    let began = Instant::now();
    let links = link::link(first, second, &Policy::default());
    let seconds = began.elapsed().as_secs_f64();
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "a,b,total")?;
    for link in &links {
        let (a, b) = (first.cell(link.a, "id"), second.cell(link.b, "id"));
        writeln!(file, "{},{},{:.2}", quote(a), quote(b), link.total)?;
    }
    file.flush()?;
    Ok(
        json!({"a": first.len(), "b": second.len(), "links": links.len(), "seconds": (seconds * 1000.0).round() / 1000.0}),
    )
}

fn table(path: &Path, option: &str) -> Result<Table, Failure> {
    let read = || -> io::Result<Table> {
        let mut plain = BufReader::new(File::open(path)?);
        if plain.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            Table::read(BufReader::new(MultiGzDecoder::new(plain)))
        } else {
            Table::read(plain)
        }
    };
    read().map_err(|error| unusable(option, error))
}

fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| unusable("--map", error))
}

fn unusable(option: &str, error: io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable).at(option).because(error)
}
