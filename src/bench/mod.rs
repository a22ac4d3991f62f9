//! `causeway bench`: measures this machine, as ratios to a static answer of the same server over the same TLS.
//!
//! The server runs as a child process of the same binary, because its resident memory and processor time are measured separately from the
//! loader's. Both share the machine's cores. Requests are those of a real partner: with certificates, tokens and grants. The times are
//! printed and do not decide any test.

mod bulk;
mod bulk_share;
mod child;
mod database;
mod exchange;
mod fill;
mod folder;
mod guess;
mod guests;
mod identity;
mod imported;
mod kept;
mod ledger;
mod ledger_samples;
mod load;
mod measure;
mod old_exchanges;
mod plan;
mod process;
mod report;
mod requests;
mod search;
mod site;
mod wire;

pub use child::serve;
pub use plan::{BenchPlan, Measured, SharedExports};
pub use report::{BenchFigure, BenchReport};

use crate::error::{Failure, Fault};
use crate::store::StoreUrl;
use crate::terminal::Out;
use fill::FillSize;
use measure::Bench;
use process::ServerProcess;
use site::Installation;

/// Runs the measures of the plan.
///
/// # Errors
/// Those of the server, the store and the files; [`Fault::PartnerAnswer`] when an answer is not the expected one.
pub fn run(plan: &BenchPlan, out: &mut Out) -> Result<BenchReport, Failure> {
    let mut report = BenchReport::begin(plan);
    if plan.wants_server() || plan.wants(Measured::Start) || plan.wants(Measured::Guess) {
        installed(plan, &mut report, out)?;
    }
    if plan.table && plan.wants(Measured::Search) {
        search::table(plan, &mut report, out)?;
    }
    if plan.wants(Measured::Import) {
        report.add(measure::import(plan)?, out);
    }
    if plan.wants(Measured::Identity) {
        report.add(identity::measure(plan, out)?, out);
    }
    if plan.subjects.contains(&Measured::Exchange) {
        report.add(exchange::measure(plan, out)?, out);
    }
    if plan.subjects.contains(&Measured::Bulk) {
        match plan.shared {
            None => report.add(bulk::measure(plan, out)?, out),
            Some(shared) => report.add(bulk_share::measure(plan, shared, out)?, out),
        }
    }
    if plan.subjects.contains(&Measured::Fill) {
        report.add([filled(plan, out)?], out);
    }
    if plan.subjects.contains(&Measured::Ledger) {
        report.add(ledger::measure(plan, out)?, out);
    }
    Ok(report)
}

/// Fills the folder that the plan names.
fn filled(plan: &BenchPlan, out: &mut Out) -> Result<BenchFigure, Failure> {
    let size = FillSize::of(plan)?;
    let folder = plan.data.as_deref().ok_or_else(|| {
        let remedy = "Name the folder to fill: `causeway bench fill --data FOLDER`.";
        Failure::new(Fault::ConfigInvalid).at("--data").remedy(remedy)
    })?;
    let site = kept::make(folder, plan, out)?;
    let figure = fill::fill(&site, size, out)?;
    kept::note(&site, size)?;
    Ok(figure)
}

fn installed(plan: &BenchPlan, report: &mut BenchReport, out: &mut Out) -> Result<(), Failure> {
    let site = Installation::make(plan, out)?;
    if plan.wants(Measured::Start) {
        report.add(measure::start(&site)?, out);
    }
    if plan.subjects.contains(&Measured::Guess) {
        report.add(guess::guess(&site, out)?, out);
    }
    if plan.wants_server() {
        let server = site.start_server()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::new(Fault::Internal).because(error))?;
        runtime.block_on(over_the_wire(plan, &site, &server, report, out))?;
        server.stop()?;
    }
    Ok(())
}

/// Runs everything that needs the running server. Memory comes first, while the server is fresh.
///
/// # Errors
/// Those of the server; [`Fault::PartnerAnswer`] for an answer that is not 200.
async fn over_the_wire(
    plan: &BenchPlan,
    site: &Installation,
    server: &ServerProcess,
    report: &mut BenchReport,
    out: &mut Out,
) -> Result<(), Failure> {
    let bench = Bench::open(plan, site, server).await?;
    if plan.wants(Measured::Memory) {
        report.add([bench.memory().await?], out);
    }
    if plan.wants(Measured::Static) {
        report.add([bench.fixed().await?], out);
    }
    if plan.wants(Measured::Match) {
        report.add(bench.member_match().await?, out);
    }
    if plan.wants(Measured::Read) {
        report.add([bench.read().await?], out);
    }
    if plan.wants(Measured::Everything) {
        report.add([bench.everything().await?], out);
    }
    if plan.wants(Measured::Search) {
        report.add([search::ratio(&bench).await?], out);
    }
    Ok(())
}

/// The PostgreSQL URL that `--store-url` names; `None` for SQLite, where the benchmark always makes a file of its own.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a path of a SQLite file, because the benchmark would fill a store that may be in use.
pub fn postgres_of(url: Option<&str>) -> Result<Option<String>, Failure> {
    match url.map(StoreUrl::parse).transpose()? {
        None => Ok(None),
        Some(StoreUrl::Postgres(url)) => Ok(Some(url)),
        Some(StoreUrl::Sqlite(_)) => Err(Failure::new(Fault::ConfigInvalid)
            .at("--store-url")
            .remedy("Leave it out for SQLite: the bench makes a store of its own and removes it.")),
    }
}
