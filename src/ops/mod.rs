//! Read models for operators and auditors: decisions, grants and the ledger as JSON items, a page at a time.
//!
//! Reads only. Which role may see what is the caller's to decide and comes in as a [`View`]; nothing here shows a name, a
//! birth date or a member number, but to reviewers in `reviews` and `links`, and a Patient id only where the view allows it.

pub mod consents;
pub mod disclosures;
pub mod explain;
pub mod faults;
pub mod links;
pub mod policies;
pub mod reviews;
pub mod trace;
pub mod viewed;

use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::ops_queries::{self, Decision, Grant, LIMIT_MAX, LedgerEntry};
use serde_json::{Map, Value, json};

pub use crate::store::ops_queries::{DecisionFilter, GrantFilter, LedgerFilter};

/// How much of an item may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Without the ids of Patients (role `support`).
    WithoutPatients,
    /// With them.
    Full,
}

/// Items in the order of time, and the cursor of the next page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The items.
    pub items: Vec<Value>,
    /// Id of the last item, when there are more.
    pub next: Option<String>,
}

/// A page of decisions.
///
/// # Errors
/// Those of the database.
pub fn decisions(db: &mut Db, filter: &DecisionFilter, view: View) -> Result<Page, Failure> {
    let rows = ops_queries::decisions(db, filter)?;
    page(rows, filter.limit, |row| row.id.clone(), |row| decision_item(row, view))
}

/// One decision.
///
/// # Errors
/// [`Fault::NotFound`]; those of the database.
pub fn decision(db: &mut Db, id: &str, view: View) -> Result<Value, Failure> {
    decision_item(ops_queries::decision(db, id)?.ok_or_else(no_decision)?, view)
}

/// There is no such decision; the remedy is an operator's.
pub fn no_decision() -> Failure {
    Failure::new(Fault::NotFound)
        .remedy("Find its id by partner or correlation id: `causeway match list`, or GET /ops/v1/decisions.")
}

/// A page of grants, live or not.
///
/// # Errors
/// Those of the database.
pub fn grants(db: &mut Db, filter: &GrantFilter, view: View) -> Result<Page, Failure> {
    let rows = ops_queries::grants(db, filter)?;
    page(
        rows,
        filter.limit,
        |row| row.id.clone(),
        |row| Ok(grant_item(row, view)),
    )
}

/// A page of ledger entries: the entry itself with its id, its index and the time of its append.
///
/// # Errors
/// [`Fault::StoreDamaged`] for an entry that is no JSON object; those of the database.
pub fn ledger(db: &mut Db, filter: &LedgerFilter) -> Result<Page, Failure> {
    let rows = ops_queries::ledger(db, filter)?;
    page(rows, filter.limit, |row| row.id.clone(), ledger_item)
}

fn page<T>(
    mut rows: Vec<T>,
    limit: i64,
    id: impl Fn(&T) -> String,
    item: impl FnMut(T) -> Result<Value, Failure>,
) -> Result<Page, Failure> {
    let limit = usize::try_from(limit.clamp(1, LIMIT_MAX)).unwrap_or(1);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(id);
    Ok(Page {
        items: rows.into_iter().map(item).collect::<Result<_, _>>()?,
        next,
    })
}

fn decision_item(row: Decision, view: View) -> Result<Value, Failure> {
    let detail: Value =
        serde_json::from_str(&row.detail).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
    let mut item = json!({
        "id": row.id, "partner": row.partner_id, "exchange_id": row.exchange_id, "correlation_id": row.correlation_id,
        "request_id": row.request_id, "kind": row.kind, "outcome": row.outcome, "reason": row.reason,
        "policy_version": row.policy_version, "consent_id": row.consent_id, "grant_id": row.grant_id,
        "detail": detail, "created_at": rfc3339_ms(row.created_ms),
    });
    if view == View::Full {
        item["patient_id"] = row.patient_id.into();
    }
    Ok(item)
}

fn grant_item(row: Grant, view: View) -> Value {
    let mut item = json!({
        "id": row.id, "partner": row.partner_id, "consent_id": row.consent_id, "decision_id": row.decision_id,
        "sensitive": row.sensitive != 0, "valid_from": rfc3339_ms(row.valid_from_ms), "valid_until": rfc3339_ms(row.valid_until_ms),
        "created_at": rfc3339_ms(row.created_ms), "renewed_at": rfc3339_ms(row.renewed_ms),
        "revoked_at": row.revoked_ms.map(rfc3339_ms), "revoked_by": row.revoked_by,
    });
    if view == View::Full {
        item["patient_id"] = row.patient_id.into();
        item["revoked_reason"] = row.revoked_why.into();
    }
    item
}

fn ledger_item(row: LedgerEntry) -> Result<Value, Failure> {
    let mut item = Map::new();
    item.insert("id".into(), row.id.into());
    item.insert("index".into(), row.index.into());
    item.insert("at".into(), rfc3339_ms(row.at_us / 1000).into());
    let entry: Map<String, Value> =
        serde_json::from_slice(&row.entry).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
    item.extend(entry);
    if let Some(operator) = row.operator {
        item.insert("operator".into(), operator.into());
    }
    if let Some(reason) = row.reason.filter(|reason| !reason.is_empty()) {
        item.insert("note".into(), reason.into());
    }
    Ok(Value::Object(item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, Entry, Object, ledger as append};
    use crate::store::schema::decision as table;
    use crate::store::{Store, StoreOptions, StoreUrl};
    use crate::telemetry::Correlation;
    use diesel::prelude::*;

    fn with_store(work: impl FnOnce(&Store)) {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        work(&Store::open(&url, &StoreOptions::default()).expect("store"));
    }

    #[test]
    fn decisions_come_in_pages_oldest_first_and_hide_patients_from_support() {
        with_store(|store| {
            let insert = |db: &mut Db| {
                for n in 0..5i64 {
                    diesel::insert_into(table::table)
                        .values((
                            table::id.eq(format!("d{n}")),
                            table::partner_id.eq(if n == 4 { "other" } else { "new-payer" }),
                            table::correlation_id.eq("c"),
                            table::request_id.eq("r"),
                            table::kind.eq("member-match"),
                            table::outcome.eq("matched"),
                            table::patient_id.eq("p1"),
                            table::policy_version.eq("v"),
                            table::detail.eq("{\"candidates\":[]}"),
                            table::created_ms.eq(n * 1000),
                        ))
                        .execute(db)?;
                }
                Ok(())
            };
            store.write_blocking(insert).expect("insert");
            let mut filter = DecisionFilter {
                partner: Some("new-payer".into()),
                since_ms: Some(1000),
                limit: 2,
                ..Default::default()
            };
            let read =
                |filter: &DecisionFilter, view| store.read_blocking(|db| decisions(db, filter, view)).expect("page");
            let ids = |page: &Page| {
                page.items
                    .iter()
                    .map(|item| item["id"].as_str().unwrap_or("").to_owned())
                    .collect::<Vec<_>>()
            };
            let first = read(&filter, View::WithoutPatients);
            assert_eq!(
                (ids(&first), first.next.as_deref()),
                (vec!["d1".into(), "d2".into()], Some("d2"))
            );
            assert!(first.items[0].get("patient_id").is_none());
            assert_eq!(first.items[0]["created_at"], "1970-01-01T00:00:01.000Z");
            filter.cursor = first.next;
            let second = read(&filter, View::Full);
            assert_eq!((ids(&second), second.next.clone()), (vec!["d3".into()], None));
            assert_eq!(second.items[0]["patient_id"], "p1");
            let one = |id: &'static str| store.read_blocking(|db| decision(db, id, View::Full));
            assert_eq!(one("d0").expect("decision")["outcome"], "matched");
            assert_eq!(one("d9").expect_err("none").fault(), Fault::NotFound);
        });
    }

    #[test]
    fn ledger_items_are_entries_with_id_index_and_time_and_no_subject() {
        with_store(|store| {
            let mut entry = Entry::new(
                Action::MatchMatched,
                Actor {
                    kind: "system",
                    ..Actor::default()
                },
                Correlation::internal("r".into()),
            );
            entry.object = Some(Object {
                kind: "Patient",
                id: "p-secret".into(),
            });
            let insert = move |db: &mut Db| {
                (1..=3).try_for_each(|n: i64| append::append(db, &entry, &format!("e{n}"), n * 1_000_000))
            };
            store.write_blocking(insert).expect("insert");
            let filter = LedgerFilter {
                from_ms: Some(2000),
                to_ms: Some(3000),
                limit: 9,
                ..Default::default()
            };
            let page = store.read_blocking(|db| ledger(db, &filter)).expect("page");
            assert_eq!(page.items.len(), 1);
            let item = &page.items[0];
            assert_eq!(
                (&item["id"], &item["index"], &item["at"]),
                (&json!("e2"), &Value::Null, &json!("1970-01-01T00:00:02.000Z"))
            );
            assert_eq!(
                (&item["action"], &item["outcome"]["class"]),
                (&json!("member-match.matched"), &json!("ok"))
            );
            assert!(!item.to_string().contains("p-secret"));
        });
    }
}
