//! Exchanges of both directions in one list: those that we began, and those that other payers began.

use super::exchanges::{self, ExchangeDetail, ExchangeFilter, ExchangeItem};
use super::inbound::{self, ExchangeView, InboundPage};
use super::{OpsPage, page};
use crate::error::{Failure, Fault};
use crate::store::Db;
use crate::store::ops_queries::LIMIT_MAX;

/// Which direction to list; both when `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// We ask.
    Outbound,
    /// We are asked.
    Inbound,
}

impl Direction {
    /// The direction with this name in `causeway states`.
    pub fn parse(name: &str) -> Option<Direction> {
        match name {
            "outbound" => Some(Direction::Outbound),
            "inbound" => Some(Direction::Inbound),
            _ => None,
        }
    }
}

/// A page of exchanges, oldest first. A page may hold fewer than asked for while more follow.
///
/// # Errors
/// Those of the database.
pub fn list(
    db: &mut Db,
    filter: &ExchangeFilter,
    direction: Option<Direction>,
    shown: ExchangeView,
) -> Result<OpsPage<ExchangeItem>, Failure> {
    let limit = filter.limit.clamp(1, LIMIT_MAX);
    let wanted = usize::try_from(limit).unwrap_or(1) + 1;
    let theirs = match direction {
        Some(Direction::Outbound) => InboundPage::default(),
        _ => inbound::page(db, filter, wanted, &shown)?,
    };
    let ours = match direction {
        Some(Direction::Inbound) => Vec::new(),
        _ => exchanges::rows(db, filter, shown.view, shown.now_ms)?,
    };
    let mut items = ours;
    items.extend(theirs.items);
    items.sort_by(|a, b| a.id.cmp(&b.id));
    // Beyond the last match that was looked at nobody knows what follows.
    if let Some(upto) = &theirs.upto {
        items.retain(|item| item.id <= *upto);
        if items.len() < wanted {
            return Ok(OpsPage {
                items,
                next: theirs.upto,
            });
        }
    }
    page(items, limit, |item| item.id.clone(), Ok)
}

/// One exchange with its timeline.
///
/// # Errors
/// [`Fault::ExchangeUnknown`]; those of the database.
pub fn one(db: &mut Db, id: &str, shown: ExchangeView) -> Result<ExchangeDetail, Failure> {
    match exchanges::one(db, id, shown.view, shown.now_ms) {
        Err(failure) if failure.fault() == Fault::ExchangeUnknown => {
            inbound::one(db, id, &shown)?.ok_or_else(|| Fault::ExchangeUnknown.into())
        }
        other => other,
    }
}
