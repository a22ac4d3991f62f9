//! Installations that stay after the run, so that one filled store serves many measurements. What is needed to use one again is in a file
//! beside its configuration.

use super::fill::FillSize;
use super::folder::Folder;
use super::old_exchanges::RestingStore;
use super::plan::BenchPlan;
use super::site::{Installation, options_of};
use crate::dev::Files;
use crate::error::{Failure, Fault};
use crate::terminal::Out;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;

/// The file.
const FILE: &str = "bench.json";
/// Resources of the first member.
const LARGE: u64 = 4;
/// Finds the tables of a store in a PostgreSQL database.
const TABLES: &str = "SELECT COUNT(*) AS n FROM information_schema.tables WHERE table_schema = current_schema()";

/// What is needed to use an installation again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KeptInstallation {
    base_url: String,
    fhir: SocketAddr,
    ops: SocketAddr,
    url: String,
    members: u64,
    resources: u64,
    entries: u64,
    exchanges: u64,
    seed: u64,
}

/// Makes an installation that stays in this folder, with the members of the plan. On PostgreSQL its store is the database that the plan names,
/// which must be empty.
///
/// # Errors
/// [`Fault::InputUnreadable`] for a folder with something in it; [`Fault::ConfigInvalid`] for a database with something in it; those of the
/// commands and files.
pub(super) fn make(folder: &Path, plan: &BenchPlan, out: &mut Out) -> Result<Installation, Failure> {
    if let Some(url) = &plan.postgres
        && RestingStore::open(url)?.number(TABLES)? > 0
    {
        let remedy = "Name a database without tables: `fill` puts nothing into a store that is in use.";
        return Err(Failure::new(Fault::ConfigInvalid).at("--store-url").remedy(remedy));
    }
    Installation::within(
        Folder::keep(folder)?,
        (None, plan.postgres.as_deref()),
        (plan.members, LARGE),
        out,
    )
}

/// Notes what an installation was filled with. Only then can it be used again.
///
/// # Errors
/// [`Fault::InputUnreadable`].
pub(super) fn note(site: &Installation, size: FillSize) -> Result<(), Failure> {
    let kept = KeptInstallation {
        base_url: site.base_url.clone(),
        fhir: site.fhir,
        ops: site.ops,
        url: site.url.clone(),
        members: site.options.members,
        resources: site.resources,
        entries: size.entries,
        exchanges: size.exchanges,
        seed: size.seed,
    };
    let path = site.folder.path().join(FILE);
    let text = serde_json::to_vec_pretty(&kept).map_err(|error| Failure::new(Fault::Internal).because(error))?;
    std::fs::write(&path, text).map_err(|error| unreadable(&path, error))
}

/// The installation that was filled in this folder.
///
/// # Errors
/// [`Fault::InputUnreadable`] when there is none.
pub(super) fn open(folder: &Path) -> Result<Installation, Failure> {
    let path = folder.join(FILE);
    let text = std::fs::read(&path).map_err(|error| unreadable(&path, error))?;
    let kept: KeptInstallation = serde_json::from_slice(&text).map_err(|error| unreadable(&path, error))?;
    Ok(Installation {
        files: Files::of(&folder.join("pki")),
        config: folder.join("causeway.toml"),
        slotted: folder.join("slotted.toml"),
        base_url: kept.base_url,
        fhir: kept.fhir,
        ops: kept.ops,
        resources: kept.resources,
        store: if kept.url.starts_with("sqlite:") {
            "sqlite"
        } else {
            "postgres"
        },
        options: options_of(kept.members, LARGE),
        url: kept.url,
        folder: Folder::kept(folder),
        _database: None,
    })
}

fn unreadable(path: &Path, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Fault::InputUnreadable)
        .at(path.display().to_string())
        .remedy("Name a folder that `causeway bench fill --data` has filled.")
        .because(error)
}
