//! Cases: opened with a reason, given exchanges and correlation ids, closed for good. Each act is an entry of the ledger.

use super::scope::{CORRELATION, EXCHANGE, correlation, exchange, wrong};
use crate::audit::{Action, LedgerEvent, Object, OperatorNote, ledger};
use crate::consent::WithdrawnBy;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_one_line;
use crate::secret::member_keys::MemberKeys;
use crate::security::Operator;
use crate::store::evidence_cases::{self as rows, CaseItemRow, CaseRow};
use crate::store::{Db, failed_on_duplicate};

/// Longest name of a case, in characters.
const NAME_MOST: usize = 64;
/// Most items of a case.
const ITEMS_MOST: usize = 1_000;

/// Returns the write that opens a case of this name; it returns the case.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for a name that is none. Of the write: [`Fault::CaseNameTaken`]; those of the database.
pub fn open(
    ctx: &Context,
    name: &str,
    by: WithdrawnBy,
) -> Result<impl FnMut(&mut Db) -> Result<CaseRow, Failure> + Send + use<>, Failure> {
    let name = name.trim().to_owned();
    if !is_one_line(&name) || name.chars().count() > NAME_MOST {
        return Err(wrong("NAME", "Give a name of 1 to 64 characters on one line."));
    }
    let at_us = ctx.clock.now_us();
    let [id, entry_id] = [(); 2].map(|()| ctx.ids.new_id(at_us / 1000));
    Ok(move |db: &mut Db| {
        if rows::find(db, &name)?.is_some() {
            return Err(Fault::CaseNameTaken.into());
        }
        let row = CaseRow {
            id: id.clone(),
            name: name.clone(),
            opened_by: by.operator.clone(),
            opened_ms: at_us / 1000,
            closed_by: None,
            closed_ms: None,
        };
        rows::open(db, &row).map_err(|failure| match failed_on_duplicate(&failure) {
            true => Fault::CaseNameTaken.into(),
            false => failure,
        })?;
        ledger::append(db, &entry(Action::CaseOpened, &id, &by), &entry_id, at_us)?;
        Ok(row)
    })
}

/// Returns the write that adds these exchanges or correlation ids to a case; it returns how many are new. What it has already changes nothing.
///
/// # Errors
/// Of the write: [`Fault::CaseUnknown`]; [`Fault::CaseClosed`]; those of what is no id of anything; those of the database.
pub fn add(
    ctx: &Context,
    case: &str,
    ids: &[String],
    by: WithdrawnBy,
) -> impl FnMut(&mut Db) -> Result<usize, Failure> + Send + 'static {
    let at_us = ctx.clock.now_us();
    let (case, ids) = (case.to_owned(), ids.to_vec());
    let entry_ids: Vec<String> = ids.iter().map(|_| ctx.ids.new_id(at_us / 1000)).collect();
    let keys = ctx.member_keys.clone();
    move |db| {
        let case = find(db, &case)?;
        if !rows::hold_open(db, &case.id)? {
            return Err(Fault::CaseClosed.into());
        }
        if rows::items(db, &case.id)?.len() + ids.len() > ITEMS_MOST {
            return Err(wrong("ID", "Open another case: one has at most 1,000 items."));
        }
        let mut added = 0;
        for (item, entry_id) in ids.iter().zip(&entry_ids) {
            let row = CaseItemRow {
                case_id: case.id.clone(),
                item: item.clone(),
                kind: kind_of(db, item, &keys)?.to_owned(),
                entry_id: entry_id.clone(),
                added_by: by.operator.clone(),
                added_ms: at_us / 1000,
            };
            if rows::add(db, &row)? {
                added += 1;
                ledger::append(db, &entry(Action::CaseAdded, &case.id, &by), entry_id, at_us)?;
            }
        }
        Ok(added)
    }
}

/// Returns the write that closes a case; it returns the case. A case that is closed is not closed again.
///
/// # Errors
/// Of the write: [`Fault::CaseUnknown`]; [`Fault::CaseClosed`]; those of the database.
pub fn close(
    ctx: &Context,
    case: &str,
    by: WithdrawnBy,
) -> impl FnMut(&mut Db) -> Result<CaseRow, Failure> + Send + 'static {
    let at_us = ctx.clock.now_us();
    let (case, entry_id) = (case.to_owned(), ctx.ids.new_id(at_us / 1000));
    move |db| {
        let found = find(db, &case)?;
        if !rows::close(db, &found.id, &by.operator, at_us / 1000)? {
            return Err(Fault::CaseClosed.into());
        }
        ledger::append(db, &entry(Action::CaseClosed, &found.id, &by), &entry_id, at_us)?;
        find(db, &found.id)
    }
}

/// The case of this id or name.
///
/// # Errors
/// [`Fault::CaseUnknown`]; those of the database.
pub fn find(db: &mut Db, given: &str) -> Result<CaseRow, Failure> {
    rows::find(db, given)?.ok_or_else(|| Fault::CaseUnknown.into())
}

/// Whether an id is that of an exchange, or a correlation id.
fn kind_of(db: &mut Db, id: &str, keys: &MemberKeys) -> Result<&'static str, Failure> {
    match exchange(db, id) {
        Ok(_) => Ok(EXCHANGE),
        Err(failure) if failure.fault() == Fault::ExchangeUnknown => correlation(db, id, keys).map(|_| CORRELATION),
        Err(failure) => Err(failure),
    }
}

fn entry(action: Action, case: &str, by: &WithdrawnBy) -> LedgerEvent {
    let mut entry = LedgerEvent::new(action, Operator::actor(by.role), by.correlation.clone());
    entry.object = Some(Object {
        kind: "EvidenceCase",
        id: case.to_owned(),
    });
    entry.note = Some(OperatorNote {
        operator: by.operator.clone(),
        reason: by.reason.clone(),
    });
    entry
}
