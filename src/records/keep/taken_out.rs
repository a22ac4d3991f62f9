//! Takes resources out of the store again, and puts an earlier content back in place of a later one. It decides neither.

use super::batch::{BatchEntry, KeptBatch, at};
use super::{Run, known, write};
use crate::error::{Failure, Fault};
use crate::records::dependencies;
use crate::records::gate::{Candidate, with_version};
use crate::store::dependencies::{self as dependency_rows, Dependency, Name};
use crate::store::resources::NOBODY;
use crate::store::{Db, attachments, resources, visible};

/// Removes the resources with these keys and names, with everything that belongs to them. What depended on them is judged again.
///
/// # Errors
/// Those of the database.
pub fn take_out(db: &mut Db, keys: &[i64], names: &[Name], run: &Run) -> Result<(), Failure> {
    resources::lock(db)?;
    if keys.is_empty() {
        return Ok(());
    }
    let at_ms = visible::take(db, run.clock.now_ms())?;
    let binaries = attachments::named_by(db, keys)?;
    let mut freed = dependencies::take_back(db, keys)?;
    freed.extend(dependency_rows::on(db, names)?.iter().map(Dependency::dependent));
    resources::remove(db, keys)?;
    dependencies::renew(db, &[], freed, &|_, _| None, at_ms, run.indexer.base_url())?;
    if !binaries.is_empty() {
        attachments::settle(db, &binaries)?;
    }
    Ok(())
}

/// Writes these candidates in place of what is stored under their names, whichever is newer. They get a new version and a new time, so that
/// a reader of changes sees them.
///
/// # Errors
/// [`Fault::StoreDamaged`] when nothing is stored under a name; those of the database.
pub fn put_back(db: &mut Db, entries: &mut [BatchEntry], run: &Run) -> Result<(), Failure> {
    resources::lock(db)?;
    if entries.is_empty() {
        return Ok(());
    }
    let known = known(db, entries, run)?;
    let at_ms = visible::take(db, run.clock.now_ms())?;
    let mut places = Vec::with_capacity(entries.len());
    for entry in entries.iter_mut() {
        let BatchEntry::Fit(candidate) = entry else { continue };
        let there = at(&known, candidate.rtype, &candidate.id).ok_or_else(|| {
            Failure::new(Fault::StoreDamaged).because("there is nothing in whose place it could be put")
        })?;
        if run
            .only
            .is_some_and(|only| ![NOBODY, only].contains(&there.compartment))
        {
            return Err(Failure::new(Fault::StrangersResource).at(candidate.rtype));
        }
        let version = there.version + 1;
        **candidate = with_version(candidate, version)?;
        candidate.stamp(at_ms);
        places.push((there.compartment, version));
    }
    let fit = entries.iter().filter_map(|entry| match entry {
        BatchEntry::Fit(candidate) => Some(&**candidate),
        BatchEntry::Same { .. } => None,
    });
    let stored: Vec<(&Candidate, i64, i64)> = fit
        .zip(&places)
        .map(|(candidate, (compartment, version))| (candidate, *compartment, *version))
        .collect();
    write::rows(db, &stored, &known, &run.indexer, at_ms, &mut KeptBatch::default())
}
