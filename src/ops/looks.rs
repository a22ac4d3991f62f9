//! Who looked at what: the entries of the ledger that were written before an operator was shown something, newest first.
//!
//! An entry commits to the member that a look was about and does not name it, so that this list names no member.

use super::OpsPage;
use super::ledger::{LedgerItem, item};
use crate::audit::Action;
use crate::error::Failure;
use crate::secret::member_keys::MemberKeys;
use crate::store::{Db, correlations, looks, member_keys};

pub use crate::store::looks::LookFilter;

/// A page of looks; operators' reasons and callers' correlation ids are opened with `keys`. A page may hold fewer than asked for while more follow.
///
/// # Errors
/// As [`super::ledger::list`].
pub fn list(db: &mut Db, filter: &LookFilter, keys: &MemberKeys) -> Result<OpsPage<LedgerItem>, Failure> {
    let actions = [Action::OperatorViewed, Action::ReviewViewed].map(Action::code);
    let mut found = looks::page(db, filter, &actions)?;
    correlations::open(db, keys, &mut found.rows)?;
    let opener = member_keys::opener(db, keys)?;
    let items: Result<Vec<LedgerItem>, Failure> = found.rows.into_iter().map(|row| item(row, &opener)).collect();
    Ok(OpsPage {
        items: items?,
        next: found.next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Actor, LedgerEvent, OperatorNote, ledger as append};
    use crate::store::{Store, StoreOptions, StoreUrl};
    use crate::telemetry::Correlation;

    #[test]
    fn somebody_who_looked_once_is_found_behind_many_looks_and_acts_of_others() {
        let folder = tempfile::tempdir().expect("folder");
        let url = StoreUrl::Sqlite(folder.path().join("t.db"));
        let store = Store::open(&url, &StoreOptions::default()).expect("store");
        let noted = |action: Action, operator: &str| {
            let actor = Actor {
                kind: "operator",
                ..Actor::default()
            };
            let mut entry = LedgerEvent::new(action, actor, Correlation::internal("r".into()));
            entry.note = Some(OperatorNote {
                operator: operator.to_owned(),
                reason: "a test".to_owned(),
            });
            entry
        };
        let (rare, look, act) = (
            noted(Action::OperatorViewed, "rare"),
            noted(Action::OperatorViewed, "many"),
            noted(Action::JobReplayed, "many"),
        );
        let insert = move |db: &mut Db| {
            append::append(db, &rare, "e0000", 1)?;
            (1..=1_200_i64).try_for_each(|n| {
                let entry = if n % 2 == 0 { &look } else { &act };
                append::append(db, entry, &format!("e{n:04}"), n * 1_000)
            })
        };
        store.write_blocking(insert).expect("entries");
        let ask = |operator: &str, cursor: Option<String>| {
            let filter = LookFilter {
                operator: Some(operator.to_owned()),
                cursor,
                limit: 100,
                ..LookFilter::default()
            };
            store
                .read_blocking(|db| list(db, &filter, &MemberKeys::default()))
                .expect("a page")
        };
        let found = ask("rare", None);
        let ids: Vec<&str> = found.items.iter().map(|one| one.id.as_str()).collect();
        assert_eq!((ids, found.next), (vec!["e0000"], None));
        let (mut ids, mut cursor): (Vec<String>, _) = (Vec::new(), None);
        loop {
            let page = ask("many", cursor);
            ids.extend(page.items.into_iter().map(|one| one.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(ids.len(), 600, "looks alone, and each of them");
        assert!(ids.is_sorted_by(|one, next| one > next), "{ids:?}");
    }
}
