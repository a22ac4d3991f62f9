//! `causeway identity bench|link|train`: the matcher over files, by the same code that decides requests, and its weights estimated.

use super::identity_train as training;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::terminal::{Exit, Out};
use causeway_identity::bench::csv::{CsvTable, TableChunks, writer};
use causeway_identity::bench::{link, member};
use causeway_identity::{MatchingPolicy, Point};
use clap::{Args, Subcommand, ValueEnum};
use flate2::read::MultiGzDecoder;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
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
        /// The operating point: how much doubt a match may have
        #[arg(long, value_enum, default_value_t = OperatingPoint::Safe)]
        point: OperatingPoint,
        /// File of other column names, one on each line: `ours = theirs`, or `ours = theirs + theirs`
        #[arg(long, value_name = "FILE")]
        map: Option<PathBuf>,
        /// A policy to use instead of the one that ships
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        /// Where to write `query_id,outcome,roster_id`
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Estimate the weights from unlabeled people and requests, and write a new policy
    #[command(
        after_help = "Examples: causeway identity train --out ours.policy\n          causeway identity train --roster roster.csv --queries queries.csv --out ours.policy\n\n\
        Without files: from the members in the store and the match decisions that are kept."
    )]
    Train {
        /// Records of the payer, in place of those in the store
        #[arg(long, value_name = "FILE", requires = "queries")]
        roster: Option<PathBuf>,
        /// Requests, in place of the decisions in the store
        #[arg(long, value_name = "FILE", requires = "roster")]
        queries: Option<PathBuf>,
        /// Other column names, as for `bench`
        #[arg(long, value_name = "FILE", requires = "roster")]
        map: Option<PathBuf>,
        /// The policy to start from; the one that ships by default
        #[arg(long, value_name = "FILE")]
        start: Option<PathBuf>,
        /// Where to write the policy
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
        /// File of column names, one on each line: `ours = theirs`; `id` names the record
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
    /// Almost no false match; more reviews.
    Safe,
    /// Fewer reviews; a false match now and then.
    Balanced,
}

impl IdentityArgs {
    /// Whether the command reads the store.
    pub fn needs_store(&self) -> bool {
        matches!(&self.command, IdentityCommand::Train { roster: None, .. })
    }
}

/// Pairs below which little is learnt.
const FEW_PAIRS: u64 = 500;
/// Requests that are read, and answered on all cores, at a time.
const CHUNK: usize = 16_384;

/// Runs a command over files. Relative paths are of `cwd`.
///
/// # Errors
/// [`Fault::InputUnreadable`] naming the option whose file cannot be read or written.
pub fn run(args: &IdentityArgs, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let mapping = |map: &Option<PathBuf>| map.as_ref().map(|map| text(&cwd.join(map), "--map")).transpose();
    let summary = match &args.command {
        IdentityCommand::Bench {
            roster,
            queries,
            point,
            map,
            policy,
            out: file,
        } => {
            let map = mapping(map)?;
            let records = mapped(table(&cwd.join(roster), "--roster")?, map.as_deref())?;
            let rules = Rules {
                policy: policy_of(policy.as_deref(), cwd, "--policy")?,
                point: match point {
                    OperatingPoint::Safe => Point::Safe,
                    OperatingPoint::Balanced => Point::Balanced,
                },
            };
            let asked = opened(&cwd.join(queries), "--queries")?;
            bench(&records, asked, map.as_deref(), &rules, &cwd.join(file))?
        }
        IdentityCommand::Train {
            roster,
            queries,
            map,
            start,
            out: file,
        } => {
            let (Some(roster), Some(queries)) = (roster, queries) else {
                return Err(Failure::new(Fault::Internal).because("training from the store needs a store"));
            };
            let map = mapping(map)?;
            let start = policy_of(start.as_deref(), cwd, "--start")?;
            let records = mapped(table(&cwd.join(roster), "--roster")?, map.as_deref())?;
            let asked = mapped(table(&cwd.join(queries), "--queries")?, map.as_deref())?;
            let sample = training::of_files(&records, &asked, &start);
            written(&sample, &start, &cwd.join(file))?
        }
        IdentityCommand::Link { a, b, map, out: file } => {
            let (first, second) = (table(&cwd.join(a), "--a")?, table(&cwd.join(b), "--b")?);
            let map = text(&cwd.join(map), "--map")?;
            let (first, second) = (mapped(first, Some(&map))?, mapped(second, Some(&map))?);
            linked(&first, &second, &cwd.join(file)).map_err(|error| unusable("--out", error))?
        }
    };
    print(&summary, out);
    Ok(Exit::Done)
}

/// Runs a command over the store. Relative paths are of `cwd`.
///
/// # Errors
/// As [`run`]; those of the store.
pub fn on_store(args: &IdentityArgs, ctx: &Context, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        IdentityCommand::Train {
            roster: None,
            start,
            out: file,
            ..
        } => {
            let start = policy_of(start.as_deref(), cwd, "--start")?;
            let sample = training::of_store(&ctx.store)?;
            if sample.pairs.pairs() < FEW_PAIRS {
                out.note(&format!(
                    "only {} pairs to learn from: most weights stay nearly as they ship",
                    sample.pairs.pairs()
                ));
            }
            print(&written(&sample, &start, &cwd.join(file))?, out);
            Ok(Exit::Done)
        }
        _ => run(args, cwd, out),
    }
}

fn print(summary: &serde_json::Value, out: &mut Out) {
    if out.json {
        out.value(summary);
    } else {
        for (name, value) in summary.as_object().into_iter().flatten() {
            out.line(&format!("{name:<16} {value}"));
        }
    }
}

struct Rules {
    policy: MatchingPolicy,
    point: Point,
}

fn bench(
    records: &CsvTable,
    queries: impl BufRead,
    map: Option<&str>,
    rules: &Rules,
    path: &Path,
) -> Result<serde_json::Value, Failure> {
    let unwritable = |error| unusable("--out", error);
    let unreadable = |error| unusable("--queries", error);
    let roster = member::roster(records);
    let mut file = writer(File::create(path).map_err(unwritable)?);
    let mut put = |cells: [&str; 3]| file.write_record(cells).map_err(|error| unwritable(error.into()));
    put(["query_id", "outcome", "roster_id"])?;
    let mut counts = [0u64; 3];
    let mut times_us = Vec::new();
    let began = Instant::now();
    let mut chunks = TableChunks::open(queries).map_err(unreadable)?;
    while let Some(asked) = chunks.next(CHUNK).map_err(unreadable)? {
        let asked = mapped(asked, map)?;
        let answers = member::on_all_cores(asked.len(), |row| {
            let began = Instant::now();
            let answer = member::answer(&roster, &asked, row, &rules.policy, rules.point);
            (
                member::word(answer.decision.outcome),
                answer.record,
                began.elapsed().as_secs_f64() * 1e6,
            )
        });
        for (row, (word, record, time_us)) in answers.iter().enumerate() {
            times_us.push(*time_us);
            let place = ["match", "review", "none"].iter().position(|known| known == word);
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
            let record = record.map_or("", |record| records.cell(record, "roster_id"));
            put([asked.cell(row, "query_id"), word, record])?;
        }
    }
    file.flush().map_err(unwritable)?;
    let seconds = began.elapsed().as_secs_f64();
    let queries = times_us.len();
    times_us.sort_by(f64::total_cmp);
    let share = |percent: usize| times_us.get(queries * percent / 100).map_or(0.0, |us| us.round());
    Ok(json!({
        "records": records.len(), "queries": queries, "match": counts[0], "review": counts[1], "none": counts[2],
        "p50_us": share(50), "p99_us": share(99), "ms_a_query": (seconds * 1e6 / queries.max(1) as f64).round() / 1e3,
    }))
}

/// Estimates a policy and writes it.
fn written(sample: &training::Sample, start: &MatchingPolicy, path: &Path) -> Result<serde_json::Value, Failure> {
    let found = sample.train(start);
    std::fs::write(path, found.policy.canonical()).map_err(|error| unusable("--out", error))?;
    Ok(json!({
        "pairs": sample.pairs.pairs(), "drawn_pairs": sample.random.pairs(), "records": sample.records,
        "same_person": (found.same * 1e4).round() / 1e4, "rounds": found.rounds,
        "version": crate::identity::Rules::new(found.policy, Point::Safe).version,
    }))
}

fn policy_of(path: Option<&Path>, cwd: &Path, option: &str) -> Result<MatchingPolicy, Failure> {
    let Some(path) = path else {
        return Ok(MatchingPolicy::default());
    };
    MatchingPolicy::parse(&text(&cwd.join(path), option)?)
        .map_err(|error| Failure::new(Fault::InputUnreadable).at(option).because(error))
}

fn mapped(mut table: CsvTable, map: Option<&str>) -> Result<CsvTable, Failure> {
    if let Some(map) = map {
        link::map(&mut table, map).map_err(|error| unusable("--map", error))?;
    }
    Ok(table)
}

fn linked(first: &CsvTable, second: &CsvTable, path: &Path) -> io::Result<serde_json::Value> {
    let began = Instant::now();
    let links = link::link(first, second, &MatchingPolicy::default());
    let seconds = began.elapsed().as_secs_f64();
    let mut file = writer(File::create(path)?);
    file.write_record(["a", "b", "total"])?;
    for link in &links {
        let (a, b) = (first.cell(link.a, "id"), second.cell(link.b, "id"));
        file.write_record([a, b, &format!("{:.2}", link.total)])?;
    }
    file.flush()?;
    Ok(
        json!({"a": first.len(), "b": second.len(), "links": links.len(), "seconds": (seconds * 1000.0).round() / 1000.0}),
    )
}

/// A file, plain or gzip.
fn opened(path: &Path, option: &str) -> Result<Box<dyn BufRead>, Failure> {
    let open = || -> io::Result<Box<dyn BufRead>> {
        let mut plain = BufReader::new(File::open(path)?);
        Ok(if plain.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::new(MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        })
    };
    open().map_err(|error| unusable(option, error))
}

fn table(path: &Path, option: &str) -> Result<CsvTable, Failure> {
    CsvTable::read(opened(path, option)?).map_err(|error| unusable(option, error))
}

fn text(path: &Path, option: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| unusable(option, error))
}

fn unusable(option: &str, error: io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable).at(option).because(error)
}
