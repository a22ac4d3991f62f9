//! What depends on prior authorizations: documents, Provenances and everything else that refers to one, and the documents that
//! one names. It may leave only when the authorization may.
//!
//! [`of`] reads what a resource says; [`renew`] keeps the columns right, in whatever order the resources come, in the transaction
//! that stores them. What refers to a claim that is not stored here is withheld until that one comes. A reference to an ordinary
//! claim holds nothing back, and is not kept.

mod effect;

pub use effect::{Standings, renew_all};

use super::compartment::local;
use super::prior_authorization::{TYPES, is_claim_type};
use crate::error::Failure;
use crate::fhir::prescreen::{Kind, Limits, Screened, Value, screen};
use crate::store::Db;
use crate::store::dependencies::{self as rows, Dependency, Name};
use crate::store::disclosure::PA_NONE;
use crate::store::resources::SEQUENCE_BITS;
use memchr::memmem;
use std::collections::{BTreeSet, HashMap};

/// The types of documents that an authorization may name. Clinical facts that it names (an Observation, a Condition) stay what
/// they are.
const DOCUMENTS: [&str; 9] = [
    "Binary",
    "Communication",
    "CommunicationRequest",
    "Composition",
    "DocumentManifest",
    "DocumentReference",
    "Media",
    "QuestionnaireResponse",
    "Task",
];
/// What an id that names nothing is kept as.
const NOTHING: &str = "";
/// Characters of a reference to elsewhere that are kept.
const ID_MAX: usize = 120;

/// What a resource says of itself and others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Says {
    /// It depends on these.
    pub on: Vec<Name>,
    /// These depend on it.
    pub holds: Vec<Name>,
}

/// Reads what `resource` refers to. `pa_state` is its own.
pub fn of(resource: &Screened<'_>, rtype: &str, pa_state: i64, base_url: &str) -> Says {
    let mut says = Says::default();
    if !is_claim_type(rtype) {
        says.on = claims(resource, base_url);
    } else if pa_state != PA_NONE {
        authorization(&resource.root(), rtype, base_url, &mut says);
    }
    says
}

/// The claims and authorizations that a resource of another type refers to, each once.
fn claims(resource: &Screened<'_>, base_url: &str) -> Vec<Name> {
    let mut found = BTreeSet::new();
    for reference in resource.references() {
        let text = reference.text();
        match local(&text, base_url) {
            Some((rtype, id)) if is_claim_type(rtype) => {
                found.insert((rtype.to_owned(), id.to_owned()));
            }
            Some(_) => {}
            None => found.extend(elsewhere(&text)),
        }
    }
    // A reference by identifier tells its type alone. Without the type's name in the bytes there is none.
    let bytes = resource.bytes();
    const NAMES: [&[u8]; 3] = [b"Claim\"", b"ClaimResponse\"", b"ExplanationOfBenefit\""];
    let named = NAMES.iter().any(|name| memmem::find(bytes, name).is_some());
    if named || memmem::find(bytes, b"\\u").is_some() {
        logical(&resource.root(), base_url, &mut found);
    }
    found.into_iter().collect()
}

/// A claim on a server that is not ours.
fn elsewhere(text: &str) -> Option<Name> {
    let before = text.split(['?', '#']).next().unwrap_or_default();
    let before = before.split("/_history").next().unwrap_or_default();
    let mut parts = before.split('/').rev().filter(|part| !part.is_empty());
    // The type stands before the id, or alone before the query of a search.
    let rtype = if text.contains('?') { parts.next() } else { parts.nth(1) }?;
    let rtype = TYPES.iter().find(|one| one.eq_ignore_ascii_case(rtype))?;
    // The colon keeps it from ever being an id of ours.
    let id: String = format!(":{text}").chars().take(ID_MAX).collect();
    Some(((*rtype).to_owned(), id))
}

/// The type of claims that `Reference.type` means: a name, or the URL of its definition.
fn claim_type_of(text: &str) -> Option<&'static str> {
    let name = text.split('|').next()?.trim_end_matches('/').rsplit('/').next()?;
    TYPES.iter().find(|one| **one == name).copied()
}

/// References that name a claim's type and nothing of ours.
fn logical(value: &Value<'_>, base_url: &str, found: &mut BTreeSet<Name>) {
    if value.kind() == Kind::Object
        && let Some(rtype) = value.get("type").and_then(|rtype| rtype.text())
        && let Some(rtype) = claim_type_of(&rtype)
        && value.get("resourceType").is_none()
    {
        let text = value.get("reference").and_then(|text| text.text()).unwrap_or_default();
        if local(&text, base_url).is_none() && !text.starts_with('#') {
            found.insert((rtype.to_owned(), NOTHING.to_owned()));
        }
    }
    for child in value.members().chain(value.items()) {
        if matches!(child.kind(), Kind::Object | Kind::Array) {
            logical(&child, base_url, found);
        }
    }
}

/// What an authorization names: its documents, and the request that it answers.
fn authorization(root: &Value<'_>, rtype: &str, base_url: &str, says: &mut Says) {
    let named = |path: &[&str]| -> Vec<Name> {
        let all = root.all(path);
        let texts = all.iter().filter_map(|reference| reference.get("reference")?.text());
        texts
            .filter_map(|text| local(&text, base_url).map(|(rtype, id)| (rtype.to_owned(), id.to_owned())))
            .collect()
    };
    let mut documents = named(&["supportingInfo", "valueReference"]);
    documents.extend(named(&["communicationRequest"]));
    // What is attached to it.
    documents.extend(
        root.all(&["supportingInfo", "valueAttachment"])
            .iter()
            .filter_map(|value| value.get("url")?.text())
            .filter_map(|text| local(&text, base_url).map(|(rtype, id)| (rtype.to_owned(), id.to_owned()))),
    );
    documents.retain(|(rtype, _)| DOCUMENTS.contains(&rtype.as_str()));
    says.holds = documents;
    let request = match rtype {
        "ClaimResponse" => named(&["request"]),
        "ExplanationOfBenefit" => named(&["claim"]),
        _ => Vec::new(),
    };
    let request: Vec<Name> = request.into_iter().filter(|(rtype, _)| rtype == "Claim").collect();
    if rtype == "ClaimResponse" {
        // What was asked for stands in the request alone.
        says.on.clone_from(&request);
    }
    says.holds.extend(request);
    says.holds.sort();
    says.holds.dedup();
}

/// A resource that was just written.
pub struct Written<'a> {
    /// Its key.
    pub key: i64,
    /// Its type.
    pub rtype: &'a str,
    /// Its id.
    pub id: &'a str,
    /// What it says.
    pub says: &'a Says,
    /// Its own state.
    pub pa_state: i64,
    /// The state of the version before, if there was one.
    pub before: Option<i64>,
}

/// What depended on resources that are about to be replaced, because they said so; to be judged anew by [`renew`]. Removes what
/// they wrote.
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

/// Writes what `written` say, and the standing of everything that depends on them now or did before (`freed`). `stands` tells the state
/// of what is known already; `at_ms` (UTC milliseconds) is the time of these versions, and of what comes free by them. Returns
/// the standings of what depends on them.
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
    // Documents may come after the authorization that names them.
    let documents: Vec<Name> = written
        .iter()
        .filter(|one| DOCUMENTS.contains(&one.rtype))
        .map(name)
        .collect();
    dependents.extend(rows::of(db, &documents)?.iter().map(Dependency::dependent));
    // What depends on a request depends on its answer as well.
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

/// Leaves out what refers to ordinary claims: they hold nothing back.
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

/// References to claims that were ordinary until now, of which nothing was kept.
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
                let resource = screen(body, &Limits::record())?;
                let rtype = resource.resource_type();
                let id = resource.root().get("id").and_then(|id| id.text()).unwrap_or_default();
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
    // What was written in this very batch is known already.
    let fresh: BTreeSet<Dependency> = rows::written_by(db, &found.iter().map(|row| row.key).collect::<Vec<_>>())?
        .into_iter()
        .collect();
    found.retain(|row| !fresh.contains(row));
    Ok(found)
}

#[cfg(test)]
mod tests;
