//! What to measure, and how long.

use std::path::PathBuf;

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Measured {
    /// The static 2 kB answer alone
    Static,
    /// Time to ready, and memory at rest
    Start,
    /// `GET Patient/{id}`, its disclosure durable first
    Read,
    /// `$member-match`, all its rows durable
    Match,
    /// `$everything` of a 1,000-resource member
    Everything,
    /// Searches in a 1,000-resource member, against the bare keyed read of the same rows
    Search,
    /// Memory of the server while a 130,000-resource member streams
    Memory,
    /// `causeway import`, durable and validated
    Import,
    /// Whether refused matches can be told apart by their time; it takes minutes, so it runs only when you name it
    Guess,
    /// The matcher over a store of `--members` members: one decision, and a batch on all cores
    Identity,
    /// Whole exchanges of small records, both payers on this machine; it runs only when you name it
    Exchange,
    /// A bulk match of the members, an export of their records, and the download of its files; it runs only when you name it
    Bulk,
    /// The ledger of a store with many entries: verifying, proving, finding, starting, and what the tree costs a match; it runs only when you name it
    Ledger,
    /// No measure of a server: fills the folder `--data` with a store of `--entries` entries, which stays there
    Fill,
}

/// Partners who export at the same time, and the processes that do the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedExports {
    /// How many partners.
    pub partners: usize,
    /// How many processes beside the one that answers.
    pub workers: usize,
}

/// The options of a run.
#[derive(Clone, Debug)]
pub struct BenchPlan {
    /// What to measure; everything when empty.
    pub subjects: Vec<Measured>,
    /// Seconds of each leg; a measure has eleven legs.
    pub seconds: u64,
    /// Connections of the loader.
    pub clients: usize,
    /// Members in the store.
    pub members: u64,
    /// Whether to measure also how the cost of searches grows with records and stores, and that of exchanges with old ones.
    pub table: bool,
    /// URL of a PostgreSQL server in which a database is created for the run; `None` for SQLite.
    pub postgres: Option<String>,
    /// Partners who export at the same time, in place of the other measures of bulk work.
    pub shared: Option<SharedExports>,
    /// Data to import instead of synthetic data.
    pub import: Vec<PathBuf>,
    /// The folder in which the data folder is created; that is removed at the end.
    pub folder: PathBuf,
    /// The folder of an installation that stays, for `fill` and `ledger`.
    pub data: Option<PathBuf>,
    /// Entries of the ledger in a filled store.
    pub entries: u64,
    /// Exchanges among them; a fiftieth of the entries when `None`.
    pub exchanges: Option<u64>,
    /// Seed of a filled store.
    pub seed: u64,
}

impl BenchPlan {
    pub(super) fn wants(&self, subject: Measured) -> bool {
        self.subjects.is_empty() || self.subjects.contains(&subject)
    }

    pub(super) fn wants_server(&self) -> bool {
        use Measured::{Everything, Match, Memory, Read, Search, Static};
        [Static, Read, Match, Everything, Search, Memory]
            .into_iter()
            .any(|subject| self.wants(subject))
    }
}
