//! Goes through the bodies of an exchange, a few rows at a time, so that memory does not grow with their number. It reads only.

use super::scope::IngestScope;
use crate::error::Failure;
use crate::store::ingest::{self as rows, PageRow};

/// How many rows are read at once.
const TOGETHER: i64 = 100;

/// Hands the pages from the number `from` on to `take`, in their order, until it says no. Returns whether it never did. Blocks this thread.
///
/// # Errors
/// Those of `take` and of the store.
pub(super) fn each_page(
    scope: &IngestScope,
    from: i64,
    take: &mut dyn FnMut(&PageRow) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let mut from = from;
    loop {
        let read = scope
            .ctx
            .store
            .read_blocking(|db| rows::pages_from(db, scope.exchange_id(), from, TOGETHER))?;
        let Some(last) = read.last() else { return Ok(true) };
        from = last.page + 1;
        for page in &read {
            if !take(page)? {
                return Ok(false);
            }
        }
    }
}
