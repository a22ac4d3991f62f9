//! `causeway bench`: what this machine does, as ratios against a static answer of the same server over the same TLS.
//!
//! The server runs as a child of the same binary, because what is asked for includes its resident memory and its processor
//! time, which a loader in the same process would hide; both share the machine's cores either way. Everything goes the way
//! a partner goes: real certificates, real tokens, real grants. Timings are printed and never decide a test.

mod child;
mod identity;
mod load;
mod measure;
mod process;
mod report;
mod search;
mod site;
mod wire;

pub use child::serve;
pub use report::{Measure, Report};

use crate::cli::Out;
use crate::error::{Failure, Fault};
use crate::store::StoreUrl;
use std::path::PathBuf;

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Subject {
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
    /// The matcher over a store of `--members` members: one decision, and a batch on all cores
    Identity,
}

/// What to run, and how long.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What to measure; everything when empty.
    pub subjects: Vec<Subject>,
    /// Seconds of each leg; a measure has eleven legs.
    pub seconds: u64,
    /// Connections of the loader.
    pub clients: usize,
    /// Members in the store.
    pub members: u64,
    /// Also how a search costs as records and stores grow.
    pub table: bool,
    /// A PostgreSQL server in which a database of our own is made; SQLite when absent.
    pub postgres: Option<String>,
    /// Data to import instead of synthetic data.
    pub import: Vec<PathBuf>,
    /// Where the data folder is made, and removed at the end.
    pub folder: PathBuf,
}

impl Plan {
    fn wants(&self, subject: Subject) -> bool {
        self.subjects.is_empty() || self.subjects.contains(&subject)
    }

    fn wants_server(&self) -> bool {
        use Subject::{Everything, Match, Memory, Read, Search, Static};
        [Static, Read, Match, Everything, Search, Memory]
            .into_iter()
            .any(|subject| self.wants(subject))
    }
}

/// Runs the plan.
///
/// # Errors
/// Those of the server, the store and the files; [`Fault::PartnerAnswer`] when an answer is not the one to measure.
pub fn run(plan: &Plan, out: &mut Out) -> Result<Report, Failure> {
    let mut report = Report::begin(plan);
    if plan.wants_server() || plan.wants(Subject::Start) {
        installed(plan, &mut report, out)?;
    }
    if plan.table && plan.wants(Subject::Search) {
        search::table(plan, &mut report, out)?;
    }
    if plan.wants(Subject::Import) {
        report.add(measure::import(plan)?, out);
    }
    if plan.wants(Subject::Identity) {
        report.add(identity::measure(plan, out)?, out);
    }
    Ok(report)
}

fn installed(plan: &Plan, report: &mut Report, out: &mut Out) -> Result<(), Failure> {
    let site = site::Site::make(plan, out)?;
    if plan.wants(Subject::Start) {
        report.add(measure::start(&site)?, out);
    }
    if plan.wants_server() {
        let server = site.start_server()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        runtime.block_on(measure::over_the_wire(plan, &site, &server, report, out))?;
        server.stop()?;
    }
    Ok(())
}

/// The store that `--store-url` names: `None` for SQLite, which is always a file of the bench's own.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a SQLite path: the bench would fill a store that somebody may need.
pub fn postgres_of(url: Option<&str>) -> Result<Option<String>, Failure> {
    match url.map(StoreUrl::parse).transpose()? {
        None => Ok(None),
        Some(StoreUrl::Postgres(url)) => Ok(Some(url)),
        Some(StoreUrl::Sqlite(_)) => Err(Failure::new(Fault::ConfigInvalid)
            .at("--store-url")
            .remedy("Leave it out for SQLite: the bench makes a store of its own and removes it.")),
    }
}
