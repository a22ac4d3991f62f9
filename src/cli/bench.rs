//! `causeway bench`: figures of this machine, as ratios against a static answer.

use crate::app::admin::RunCommand;
use crate::bench::{self, BenchPlan, Measured, SharedExports};
use crate::error::{Failure, Fault};
use crate::terminal::{Exit, Out};
use std::path::{Path, PathBuf};

/// Arguments of `bench`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Examples: causeway bench\n          causeway bench match read --members 100000\n          causeway bench import --path FOLDER\n          \
                  causeway bench bulk --partners 20 --workers 3 --store-url postgres:///postgres\n          \
                  causeway bench fill --data FOLDER --entries 1000000 --seed 1\n          causeway bench ledger --data FOLDER"
)]
pub struct BenchArgs {
    /// What to measure; everything by default
    #[arg(value_enum)]
    pub subjects: Vec<Measured>,
    /// Seconds of each leg; a measure has eleven legs, of the static answer and of the subject in turn
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=25))]
    pub seconds: u64,
    /// Number of connections of the load generator
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub clients: u64,
    /// Number of members in the store
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    pub members: u64,
    /// With `search`: also the cost in records of 100 to 130,000 resources, and in stores of 100 to 100,000 members; with `exchange`: in stores of 1,000 to 1,000,000 exchanges
    #[arg(long)]
    pub table: bool,
    /// Address of a PostgreSQL server, in which the bench makes a database and drops it at the end; without it SQLite is measured
    #[arg(long, value_name = "URL")]
    pub store_url: Option<String>,
    /// With `bulk` and `--store-url`, in place of its other measures: so many partners export at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=100))]
    pub partners: Option<u64>,
    /// With `--partners`: number of worker processes that do the work
    #[arg(long, value_name = "N", default_value_t = 3, requires = "partners", value_parser = clap::value_parser!(u64).range(1..=16))]
    pub workers: u64,
    /// For `fill`: a folder that is made or empty, and stays; for `ledger`: a folder that was filled, instead of filling one
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
    /// Entries of the ledger in a store that is filled
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(16..=100_000_000))]
    pub entries: u64,
    /// Exchanges among these entries; by default one for fifty entries, at most one for sixteen
    #[arg(long)]
    pub exchanges: Option<u64>,
    /// Seed of a store that is filled; the same seed gives the same entries
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Data for `import` instead of synthetic data
    #[arg(long, value_name = "PATH")]
    pub path: Vec<PathBuf>,
    /// Serve over this configuration with the static routes; the bench starts itself with it
    #[arg(long, hide = true, value_name = "FILE", requires = "child_log")]
    pub child: Option<PathBuf>,
    /// Log of that server
    #[arg(long, hide = true, value_name = "FILE")]
    pub child_log: Option<PathBuf>,
    /// Without the tree over the ledger
    #[arg(long, hide = true, requires = "child")]
    pub child_without_tree: bool,
}

/// Measures and prints; `commands` runs what comes over the admin socket of a server under measurement. 0 also when a limit is missed: timings decide nothing.
///
/// # Errors
/// Those of the plan and of the run.
pub fn run(args: &BenchArgs, cwd: &Path, commands: RunCommand, out: &mut Out) -> Result<Exit, Failure> {
    if let (Some(config), Some(log)) = (&args.child, &args.child_log) {
        return bench::serve(config.clone(), log.clone(), args.child_without_tree, commands, out);
    }
    if !args.path.is_empty() && !args.subjects.is_empty() && !args.subjects.contains(&Measured::Import) {
        return Err(Failure::new(Fault::ConfigInvalid)
            .at("--path")
            .remedy("--path is for `causeway bench import`."));
    }
    if args.partners.is_some() && !(args.subjects == [Measured::Bulk] && args.store_url.is_some()) {
        return Err(Failure::new(Fault::ConfigInvalid)
            .at("--partners")
            .remedy("--partners is for `causeway bench bulk` alone, with the --store-url of a PostgreSQL server."));
    }
    let of_filled = [Measured::Fill, Measured::Ledger];
    if args.data.is_some() && !of_filled.iter().any(|subject| args.subjects.contains(subject)) {
        return Err(Failure::new(Fault::ConfigInvalid)
            .at("--data")
            .remedy("--data is for `causeway bench fill` and `causeway bench ledger`."));
    }
    let plan = BenchPlan {
        subjects: args.subjects.clone(),
        seconds: args.seconds,
        clients: usize::try_from(args.clients).unwrap_or(64),
        members: args.members,
        table: args.table,
        postgres: bench::postgres_of(args.store_url.as_deref())?,
        shared: args.partners.map(|partners| SharedExports {
            partners: usize::try_from(partners).unwrap_or(2),
            workers: usize::try_from(args.workers).unwrap_or(1),
        }),
        import: args.path.iter().map(|path| cwd.join(path)).collect(),
        folder: cwd.join("causeway-data"),
        data: args.data.as_deref().map(|folder| cwd.join(folder)),
        entries: args.entries,
        exchanges: args.exchanges,
        seed: args.seed,
    };
    bench::run(&plan, out)?.print(out);
    Ok(Exit::Done)
}
