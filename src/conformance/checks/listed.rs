//! That what `$everything` shows of a type can also be searched and read.

use super::super::found::{name, search};
use super::super::session::Session;
use super::super::wire::query;
use super::super::{Checked, Stop, fail, guides, parameters, skip};
use serde_json::Value;
use std::collections::BTreeSet;

/// Resources of a type that are looked up again.
const LOOKED_UP: usize = 3;

/// What the record holds of a type can also be read, and searched where it belongs to a patient.
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
    // A search that needs a category finds only what has one of those tried.
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
