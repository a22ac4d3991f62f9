//! Checks that the resources in `$everything` can also be found by search and read.

use super::super::found::{name, search};
use super::super::session::Session;
use super::super::stop::{Checked, Stop, fail, skip};
use super::super::wire::query;
use super::super::{guides, parameters};
use serde_json::Value;
use std::collections::BTreeSet;

/// How many resources of a type are looked up.
const LOOKED_UP: usize = 3;

/// Checks that resources of this type in the record can be read, and found by search if they belong to a patient.
pub(super) async fn listed(session: &mut Session, rtype: &str) -> Checked {
    let patient = session.patient().await?;
    let record = session.everything().await?;
    let held: Vec<&Value> = record.iter().filter(|one| one["resourceType"] == rtype).collect();
    if held.is_empty() {
        return skip(format!("the record holds no {rtype}"));
    }
    for one in held.iter().take(LOOKED_UP) {
        session.get(&name(one)).await?.status(200)?.resource(rtype)?;
    }
    if guides::is_shared(rtype) || matches!(rtype, "Provenance" | "Patient") {
        return Ok(());
    }
    let searches = guides::first_searches(rtype);
    let mut found = BTreeSet::new();
    for extra in searches.clone() {
        let mut pairs = vec![("patient", patient.as_str())];
        pairs.extend(extra);
        found.extend(search(session, rtype, &pairs).await?.ids());
    }
    // A search that needs a category finds only resources with one of the tested categories.
    let fits = |one: &Value| {
        searches.iter().any(|extra| {
            let mut pairs = extra.iter();
            pairs.all(|(key, value)| parameters::find(rtype, key).is_some_and(|by| !by.contradicts(one, value)))
        })
    };
    let due: Vec<String> = held.iter().filter(|one| fits(one)).map(|one| name(one)).collect();
    if let Some(missing) = due.iter().find(|one| !found.contains(*one)) {
        return fail(format!("{missing} is in the record and not found by patient"));
    }
    if due.is_empty() {
        let tried: Vec<String> = searches.iter().map(|extra| query(extra)).collect();
        return Err(Stop::Data(format!(
            "the record holds {} {rtype}, and none that the searches of the guides can find (patient with {})",
            held.len(),
            tried.join(" or ")
        )));
    }
    Ok(())
}
