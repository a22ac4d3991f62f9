//! Who looked at what: the entries of the ledger that were written before an operator was shown something, newest first.
//!
//! An entry commits to the member that a look was about and does not name it, so that this list names no member.

use super::OpsPage;
use super::ledger::{LedgerItem, item};
use crate::audit::Action;
use crate::error::Failure;
use crate::secret::member_keys::MemberKeys;
use crate::store::{Db, looks, member_keys};

pub use crate::store::looks::LookFilter;

/// A page of looks; operators' reasons are opened with `keys`. A page may hold fewer than asked for while more follow.
///
/// # Errors
/// As [`super::ledger::list`].
pub fn list(db: &mut Db, filter: &LookFilter, keys: &MemberKeys) -> Result<OpsPage<LedgerItem>, Failure> {
    let actions = [Action::OperatorViewed, Action::ReviewViewed].map(Action::code);
    let found = looks::page(db, filter, &actions)?;
    let opener = member_keys::opener(db, keys)?;
    let items: Result<Vec<LedgerItem>, Failure> = found.rows.into_iter().map(|row| item(row, &opener)).collect();
    Ok(OpsPage {
        items: items?,
        next: found.next,
    })
}
