//! `import`: a store of its own, filled by `causeway import`.

use super::database::Database;
use super::folder::Folder;
use super::plan::BenchPlan;
use super::process;
use super::site::{SQLITE, configuration, synthesise, write};
use crate::dev::program::free_address;
use crate::error::Failure;
use crate::synth::SynthOptions;
use std::ffi::OsStr;
use std::path::Path;

/// Imports `paths`, or synthetic members with a full record each, into a store of its own. Returns the counts of the import, the bytes that
/// it read, and the seconds that it took.
///
/// # Errors
/// Those of the commands and files.
pub(super) fn import(plan: &BenchPlan) -> Result<(serde_json::Value, u64, f64), Failure> {
    let folder = Folder::make(&plan.folder)?;
    let database = plan.postgres.as_deref().map(Database::create).transpose()?;
    let config = folder.path().join("causeway.toml");
    let url = database.as_ref().map_or(SQLITE, |database| &database.url);
    write(
        &config,
        &configuration(free_address()?, free_address()?, "https://localhost/fhir", url, 0),
    )?;
    let mut paths = plan.import.clone();
    if paths.is_empty() {
        let data = folder.path().join("data");
        synthesise(
            &data,
            &SynthOptions {
                members: 1_500,
                ..SynthOptions::default()
            },
        )?;
        paths.push(data);
    }
    let bytes = paths.iter().map(|path| bytes_under(path)).sum();
    let mut args = vec![OsStr::new("import")];
    args.extend(paths.iter().map(|path| path.as_os_str()));
    let (counts, seconds) = process::command(Some(&config), args)?;
    Ok((counts, bytes, seconds))
}

fn bytes_under(path: &Path) -> u64 {
    let Ok(about) = std::fs::metadata(path) else { return 0 };
    if !about.is_dir() {
        return about.len();
    }
    std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| bytes_under(&entry.path()))
        .sum()
}
