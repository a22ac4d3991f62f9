//! Who received something of what an exchange had stored, when that is taken out again.
//!
//! The ledger has the types of what was disclosed, not the single resources: a disclosure is listed when it was of the same member, at a time
//! when the exchange's resources were stored, and had a type that the exchange had brought. One whose end is not known is listed too.

use super::disclosures::{self, DisclosureFilter, DisclosureItem, Under};
use crate::error::Failure;
use crate::exchange::steps::StepName;
use crate::records::ingest::{is_withdrawn, stored_types};
use crate::store::exchanges::{AttemptRow, ExchangeRow};
use crate::store::ops_queries::LIMIT_MAX;
use crate::store::{Db, entries};
use serde::Serialize;
use std::collections::BTreeMap;

/// The ledger's word for what is out of the store.
const RETRACTED: &str = "exchange.retracted";
/// Disclosures that are looked through, at most.
const MOST: i64 = 1_000;

/// A disclosure that may have carried resources of an exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceivedItem {
    /// Id of the ledger entry that began the disclosure.
    pub disclosure_id: String,
    /// Who received it.
    pub partner: Option<String>,
    /// When it began.
    pub at: String,
    /// How it ended: `completed`, `incomplete` or `begun`.
    pub outcome: &'static str,
    /// Resources of the types that the exchange had brought; none when the end is not known.
    pub resources: BTreeMap<String, u64>,
    /// Under what it was.
    #[serde(flatten)]
    pub under: Under,
}

/// The disclosures since the exchange stored, oldest first, until it was taken out, and whether more follow that were not looked at; `None`
/// while nobody asked to take it out.
///
/// # Errors
/// Those of the database.
pub(super) fn of(
    db: &mut Db,
    row: &ExchangeRow,
    attempts: &[AttemptRow],
) -> Result<Option<(Vec<ReceivedItem>, bool)>, Failure> {
    let taken_out_us = entries::last_of_exchange(db, &row.id, RETRACTED)?;
    if taken_out_us.is_none() && entries::last_of_exchange(db, &row.id, "exchange.retract-asked")?.is_none() {
        return Ok(None);
    }
    let stores = attempts.iter().filter(|attempt| attempt.step == StepName::Store.code());
    let (Some(from_ms), Some(member)) = (stores.map(|attempt| attempt.started_ms).min(), &row.member_id) else {
        return Ok(Some((Vec::new(), false)));
    };
    let types = stored_types(db, &row.id)?;
    let mut filter = DisclosureFilter {
        member: member.clone(),
        from_ms: Some(from_ms),
        to_ms: taken_out_us.map(|us| us / 1000 + 1),
        limit: LIMIT_MAX,
        ..DisclosureFilter::default()
    };
    let mut found = Vec::new();
    for _ in 0..MOST / LIMIT_MAX {
        let rows = entries::begun(db, &filter)?;
        let page = disclosures::told(db, &filter, rows)?;
        found.extend(page.items.into_iter().filter_map(|one| received(one, &types)));
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            break;
        }
    }
    Ok(Some((found, filter.cursor.is_some())))
}

/// Whether what the exchange stored is taken out again: `pending` while that goes on, then `done`; `None` when it stays.
///
/// # Errors
/// Those of the database.
pub(super) fn retraction(db: &mut Db, exchange_id: &str) -> Result<Option<&'static str>, Failure> {
    if !is_withdrawn(db, exchange_id)? {
        return Ok(None);
    }
    let done = entries::last_of_exchange(db, exchange_id, RETRACTED)?;
    Ok(Some(if done.is_some() { "done" } else { "pending" }))
}

fn received(item: DisclosureItem, types: &[String]) -> Option<ReceivedItem> {
    let mut resources = item.resources.unwrap_or_default();
    resources.retain(|rtype, _| types.contains(rtype));
    (item.outcome == "begun" || !resources.is_empty()).then_some(ReceivedItem {
        disclosure_id: item.id,
        partner: item.partner,
        at: item.at,
        outcome: item.outcome,
        resources,
        under: item.under,
    })
}
