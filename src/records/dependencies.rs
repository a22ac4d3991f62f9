//! What depends on prior authorizations: documents, Provenances and everything else that references one, and the documents that one
//! references. Such a resource may be released only when the authorization may.
//!
//! [`of`] reads what a resource references; [`renew`] updates the columns in the transaction that stores the resources, in whatever order
//! they arrive. A resource that references a claim which is not stored here is withheld until that claim arrives. A reference to an
//! ordinary claim withholds nothing and is not stored.

mod effect;
mod says;

pub use effect::{Standings, renew_some};
use says::DOCUMENTS;
pub use says::{Says, of};

use super::prior_authorization::is_claim_type;
use crate::error::{Failure, Fault};
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::store::Db;
use crate::store::dependencies::{self as rows, Dependency, Name};
use crate::store::release_rule::PA_NONE;
use crate::store::resources::SEQUENCE_BITS;
use std::collections::{BTreeSet, HashMap};

/// A resource that was just written.
pub struct Written<'a> {
    /// Its key.
    pub key: i64,
    /// Its type.
    pub rtype: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Which resources depend on which, by its content.
    pub says: &'a Says,
    /// Its own `pa_state`.
    pub pa_state: i64,
    /// The `pa_state` of its previous version, if there was one.
    pub before: Option<i64>,
}

/// Removes the rows that resources about to be replaced wrote. Returns the names of the dependent resources in these rows; the caller
/// passes them to [`renew`], which computes their state again.
///
/// # Errors
/// Those of the database.
pub fn take_back(db: &mut Db, keys: &[i64]) -> Result<Vec<Name>, Failure> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let before = rows::written_by(db, keys)?;
    if !before.is_empty() {
        rows::remove(db, keys)?;
    }
    Ok(before.iter().map(Dependency::dependent).collect())
}

/// Writes the dependencies that `written` contain, and the state of everything that depends on them now or did before (`freed`). `stands`
/// returns the `pa_state` of resources that are known already. `at_ms` (UTC milliseconds) is the time of these versions, and of what
/// becomes releasable by them. Returns the new states of the dependent resources.
///
/// # Errors
/// Those of the database.
pub fn renew(
    db: &mut Db,
    written: &[Written<'_>],
    freed: Vec<Name>,
    stands: &dyn Fn(&str, &str) -> Option<i64>,
    at_ms: i64,
    base_url: &str,
) -> Result<Standings, Failure> {
    let name = |one: &Written<'_>| (one.rtype.to_owned(), one.id.to_owned());
    let mut said = Vec::new();
    for one in written
        .iter()
        .filter(|one| !one.says.on.is_empty() || !one.says.holds.is_empty())
    {
        let row = |from: &Name, to: &Name| Dependency {
            key: one.key,
            from_type: from.0.clone(),
            from_id: from.1.clone(),
            to_type: to.0.clone(),
            to_id: to.1.clone(),
        };
        let own = name(one);
        said.extend(one.says.on.iter().map(|to| row(&own, to)));
        said.extend(one.says.holds.iter().map(|from| row(from, &own)));
    }
    let late = written
        .iter()
        .filter(|one| one.before == Some(PA_NONE) && one.pa_state != PA_NONE);
    let late: Vec<&Written<'_>> = late.filter(|one| is_claim_type(one.rtype)).collect();
    if said.is_empty() && freed.is_empty() && late.is_empty() && !rows::any(db)? {
        return Ok(Standings::new());
    }
    forget_ordinary(db, written, &mut said, stands)?;
    said.extend(found_late(db, &late, base_url)?);
    said.sort();
    said.dedup();
    rows::insert(db, &said)?;

    let claims: Vec<Name> = written
        .iter()
        .filter(|one| is_claim_type(one.rtype))
        .map(name)
        .collect();
    let mut dependents: BTreeSet<Name> = freed
        .into_iter()
        .chain(said.iter().map(Dependency::dependent))
        .collect();
    dependents.extend(rows::on(db, &claims)?.iter().map(Dependency::dependent));
    // Documents may arrive after the authorization that references them.
    let documents: Vec<Name> = written
        .iter()
        .filter(|one| DOCUMENTS.contains(&one.rtype))
        .map(name)
        .collect();
    dependents.extend(rows::of(db, &documents)?.iter().map(Dependency::dependent));
    // What depends on a request depends on its response as well.
    let requests: Vec<Name> = dependents
        .iter()
        .filter(|name| is_claim_type(&name.0))
        .cloned()
        .collect();
    dependents.extend(rows::on(db, &requests)?.iter().map(Dependency::dependent));
    dependents.retain(|name| !is_claim_type(&name.0));
    let now = effect::Now {
        at_ms,
        written: written.iter().map(|one| (one.rtype, one.id)).collect(),
    };
    effect::apply(db, &dependents, Some(&now), base_url)
}

/// Writes the states of these resources again, after their own release columns were written. No resource gets a new version time by this.
///
/// # Errors
/// Those of the database.
pub(super) fn restore(db: &mut Db, names: &BTreeSet<Name>, base_url: &str) -> Result<(), Failure> {
    effect::apply(db, names, None, base_url).map(drop)
}

/// Drops the rows whose target is an ordinary claim: they withhold nothing.
fn forget_ordinary(
    db: &mut Db,
    written: &[Written<'_>],
    said: &mut Vec<Dependency>,
    stands: &dyn Fn(&str, &str) -> Option<i64>,
) -> Result<(), Failure> {
    let own: HashMap<(&str, &str), i64> = written.iter().map(|one| ((one.rtype, one.id), one.pa_state)).collect();
    let known = |row: &Dependency| {
        let name = (row.to_type.as_str(), row.to_id.as_str());
        own.get(&name).copied().or_else(|| stands(name.0, name.1))
    };
    let missing: BTreeSet<Name> = said
        .iter()
        .filter(|row| known(row).is_none())
        .map(Dependency::target)
        .collect();
    let looked_up = if missing.is_empty() {
        HashMap::new()
    } else {
        rows::standings(db, &missing)?
    };
    said.retain(|row| {
        let state = known(row).or_else(|| looked_up.get(&row.target()).map(|standing| standing.pa_state));
        state != Some(PA_NONE)
    });
    Ok(())
}

/// Finds the references to claims that were ordinary until now, so that no rows were stored for them.
fn found_late(db: &mut Db, late: &[&Written<'_>], base_url: &str) -> Result<Vec<Dependency>, Failure> {
    const PAGE: i64 = 200;
    let mut found = Vec::new();
    let compartments: BTreeSet<i64> = late.iter().map(|one| one.key >> SEQUENCE_BITS).collect();
    for no in compartments {
        let mut after = -1;
        loop {
            let page = rows::of_member(db, no, after, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (key, body) in &page {
                let resource = screen(body, &ScreenLimits::record())?;
                let rtype = resource.resource_type();
                let id = resource.root().get("id").and_then(|id| id.text());
                let id = id.ok_or_else(|| Failure::new(Fault::StoreDamaged))?;
                let on = of(&resource, &rtype, PA_NONE, base_url).on;
                let on = on
                    .into_iter()
                    .filter(|to| late.iter().any(|one| one.rtype == to.0 && one.id == to.1));
                found.extend(on.map(|to| Dependency {
                    key: *key,
                    from_type: rtype.clone().into_owned(),
                    from_id: id.clone().into_owned(),
                    to_type: to.0,
                    to_id: to.1,
                }));
            }
        }
    }
    // Rows of resources in this batch are known already.
    let fresh: BTreeSet<Dependency> = rows::written_by(db, &found.iter().map(|row| row.key).collect::<Vec<_>>())?
        .into_iter()
        .collect();
    found.retain(|row| !fresh.contains(row));
    Ok(found)
}

#[cfg(test)]
mod tests;
