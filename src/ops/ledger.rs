//! The ledger as auditors see it: entries as they are hashed, with what stands beside them.

use super::{OpsPage, page};
use crate::clock::rfc3339_ms;
use crate::error::{Failure, Fault};
use crate::secret::member_keys::{MemberKeys, ValueOpener};
use crate::store::ops_queries::{self, LedgerEntry};
use crate::store::{Db, correlations, member_keys};
use serde::Serialize;
use serde_json::{Map, Value};

pub use crate::store::ops_queries::LedgerFilter;

/// An entry, with its id, its place and the time of its append.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LedgerItem {
    /// Its id.
    pub id: String,
    /// Its place in the ledger; none until it was sequenced.
    pub index: Option<i64>,
    /// When it was appended.
    pub at: String,
    /// The members of the entry, as they are hashed; and the correlation id, where the entry only commits to it.
    #[serde(flatten)]
    pub entry: Map<String, Value>,
    /// Who acted, where an operator did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Why, in the operator's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl LedgerItem {
    /// A text of the entry; `outcome.class` is asked for as `["outcome", "class"]`.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        let (first, rest) = path.split_first()?;
        let value = self.entry.get(*first)?;
        rest.iter().try_fold(value, |value, name| value.get(name))?.as_str()
    }
}

/// A page of ledger entries; operators' reasons and callers' correlation ids are opened with `keys`.
///
/// # Errors
/// [`Fault::StoreDamaged`] for an entry that is no JSON object; [`Fault::SealKeys`] when the keys of a sealed reason cannot be had; those of
/// the database.
pub fn list(db: &mut Db, filter: &LedgerFilter, keys: &MemberKeys) -> Result<OpsPage<LedgerItem>, Failure> {
    let forms = correlations::forms_of(db, keys, filter.correlation.as_deref())?;
    let mut rows = ops_queries::ledger(db, filter, forms.as_deref())?;
    correlations::open(db, keys, &mut rows)?;
    let opener = member_keys::opener(db, keys)?;
    page(rows, filter.limit, |row| row.id.clone(), |row| item(row, &opener))
}

/// An entry as it is shown.
///
/// # Errors
/// As [`list`].
pub(super) fn item(row: LedgerEntry, opener: &ValueOpener) -> Result<LedgerItem, Failure> {
    let note = row
        .reason
        .map(|reason| opener.note(&row.id, reason, row.sealed.as_deref()))
        .transpose()?;
    let mut entry: Map<String, Value> =
        serde_json::from_slice(&row.entry).map_err(|error| Failure::new(Fault::StoreDamaged).because(error))?;
    // After an erasure the row has this server's own id of the request in its place.
    entry
        .entry("correlation_id")
        .or_insert_with(|| Value::String(row.correlation_id));
    Ok(LedgerItem {
        id: row.id,
        index: row.index,
        at: rfc3339_ms(row.at_us / 1000),
        entry,
        operator: row.operator,
        note: note.filter(|reason| !reason.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor, LedgerEvent, Object, ledger as append};
    use crate::store::{Store, StoreOptions, StoreUrl};
    use crate::telemetry::Correlation;
    use serde_json::json;

    #[test]
    fn ledger_items_are_entries_with_id_index_and_time_and_no_subject() {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let mut entry = LedgerEvent::new(
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
        let page = store
            .read_blocking(|db| list(db, &filter, &MemberKeys::default()))
            .expect("page");
        assert_eq!(page.items.len(), 1);
        assert_eq!(page.items[0].text(&["outcome", "class"]), Some("ok"));
        assert_eq!(page.items[0].text(&["outcome", "class", "more"]), None);
        let text = serde_json::to_string(&page.items[0]).expect("JSON");
        assert!(
            text.starts_with(
                "{\"id\":\"e2\",\"index\":null,\"at\":\"1970-01-01T00:00:02.000Z\",\"action\":\"member-match.matched\","
            ),
            "{text}"
        );
        assert!(text.ends_with(",\"v\":1}") && !text.contains("p-secret"), "{text}");
        let item: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&item["action"], &item["outcome"]["class"]),
            (&json!("member-match.matched"), &json!("ok"))
        );
    }
}
