//! Match decisions as operators see them.

use super::detail::DecisionDetail;
use super::{OpsPage, View, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::secret::member_keys::MemberKeys;
use crate::store::ops_queries::{self, StoredDecision};
use crate::store::{Db, correlations};
use serde::Serialize;
use serde_json::Value;

pub use crate::store::ops_queries::DecisionFilter;

/// A decision.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DecisionItem {
    /// Its id.
    pub id: String,
    /// Who asked.
    pub partner: String,
    /// The exchange it belongs to.
    pub exchange_id: Option<String>,
    /// The correlation id of the request.
    pub correlation_id: String,
    /// Our id of the request.
    pub request_id: String,
    /// What was asked, such as `member-match`.
    pub kind: String,
    /// What was decided.
    pub outcome: String,
    /// Code of the fault that was answered.
    pub reason: Option<String>,
    /// The rules that decided.
    pub policy_version: String,
    /// The consent on record.
    pub consent_id: Option<String>,
    /// The grant that was made or renewed.
    pub grant_id: Option<String>,
    /// The record of what was compared, as it is stored; [`DecisionItem::detail`] reads it.
    pub detail: Value,
    /// When it was taken.
    pub created_at: String,
    /// The same, UTC milliseconds.
    #[serde(skip)]
    pub created_ms: i64,
    /// The member, in the full view.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<Option<String>>,
}

impl DecisionItem {
    /// What was compared, and what it weighed.
    ///
    /// # Errors
    /// As [`DecisionDetail::of`].
    pub fn detail(&self) -> Result<DecisionDetail, Failure> {
        DecisionDetail::of(&self.detail)
    }
}

/// A page of decisions; callers' correlation ids are opened with `keys`.
///
/// # Errors
/// [`Fault::StoreDamaged`] for a detail that is no JSON; [`Fault::SealKeys`] when the keys of a sealed correlation id cannot be had; those of the
/// database.
pub fn list(
    db: &mut Db,
    filter: &DecisionFilter,
    view: View,
    keys: &MemberKeys,
) -> Result<OpsPage<DecisionItem>, Failure> {
    let forms = correlations::forms_of(db, keys, filter.correlation.as_deref())?;
    let mut rows = ops_queries::decisions(db, filter, forms.as_deref())?;
    correlations::open(db, keys, &mut rows)?;
    page(rows, filter.limit, |row| row.id.clone(), |row| item(row, view))
}

/// One decision.
///
/// # Errors
/// [`Fault::NotFound`]; those of [`list`].
pub fn one(db: &mut Db, id: &str, view: View, keys: &MemberKeys) -> Result<DecisionItem, Failure> {
    let row = ops_queries::decision(db, id)?.ok_or_else(none)?;
    item(correlations::open_one(db, keys, row)?, view)
}

/// There is no such decision; the remedy is an operator's.
pub fn none() -> Failure {
    Failure::new(Fault::NotFound)
        .remedy("Find its id by partner or correlation id: `causeway match list`, or GET /ops/v1/decisions.")
}

fn item(row: StoredDecision, view: View) -> Result<DecisionItem, Failure> {
    Ok(DecisionItem {
        detail: serde_json::from_str(&row.detail).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?,
        id: row.id,
        partner: row.partner_id,
        exchange_id: row.exchange_id,
        correlation_id: row.correlation_id,
        request_id: row.request_id,
        kind: row.kind,
        outcome: row.outcome,
        reason: row.reason,
        policy_version: row.policy_version,
        consent_id: row.consent_id,
        grant_id: row.grant_id,
        created_at: rfc3339_ms(row.created_ms),
        created_ms: row.created_ms,
        patient_id: view.full(row.patient_id),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::decision as table;
    use crate::store::{Store, StoreOptions, StoreUrl};
    use diesel::prelude::*;

    #[test]
    fn decisions_come_in_pages_oldest_first_and_hide_patients_from_support() {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
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
        let read = |filter: &DecisionFilter, view| {
            store
                .read_blocking(|db| list(db, filter, view, &MemberKeys::default()))
                .expect("page")
        };
        let ids = |page: &OpsPage<DecisionItem>| page.items.iter().map(|item| item.id.clone()).collect::<Vec<_>>();
        let first = read(&filter, View::WithoutPatients);
        assert_eq!(
            (ids(&first), first.next.as_deref()),
            (vec!["d1".into(), "d2".into()], Some("d2"))
        );
        let text = serde_json::to_string(&first.items[0]).expect("JSON");
        assert_eq!(
            text,
            "{\"id\":\"d1\",\"partner\":\"new-payer\",\"exchange_id\":null,\"correlation_id\":\"c\",\"request_id\":\"r\",\
             \"kind\":\"member-match\",\"outcome\":\"matched\",\"reason\":null,\"policy_version\":\"v\",\"consent_id\":null,\
             \"grant_id\":null,\"detail\":{\"candidates\":[]},\"created_at\":\"1970-01-01T00:00:01.000Z\"}"
        );
        filter.cursor = first.next;
        let second = read(&filter, View::Full);
        assert_eq!((ids(&second), second.next.clone()), (vec!["d3".into()], None));
        assert_eq!(second.items[0].patient_id, Some(Some("p1".to_owned())));
        let one = |id: &'static str| store.read_blocking(|db| one(db, id, View::Full, &MemberKeys::default()));
        assert_eq!(one("d0").expect("decision").outcome, "matched");
        assert_eq!(one("d9").expect_err("none").fault(), Fault::NotFound);
    }
}
