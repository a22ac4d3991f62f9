//! Removes bodies that are not needed any more, some pieces in each transaction. It may be broken off anywhere and run again.

use super::writer::IngestWriter;
use crate::error::Failure;
use crate::store::Db;
use crate::store::ingest as rows;

/// How many pieces one transaction removes.
const TOGETHER: i64 = 64;

/// Removes what an exchange spooled and did not store. Originals of what is stored or kept apart stay.
///
/// # Errors
/// Those of the store.
pub async fn forget_unstored(writer: &IngestWriter, exchange_id: &str) -> Result<(), Failure> {
    let mut from = Some(0);
    while let Some(page) = from {
        let own = exchange_id.to_owned();
        from = writer.write(move |db| some(db, &own, page, true)).await?;
    }
    Ok(())
}

/// Removes all bodies of an exchange. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub(super) fn forget_bodies(writer: &IngestWriter, exchange_id: &str) -> Result<(), Failure> {
    let mut from = Some(0);
    while let Some(page) = from {
        let own = exchange_id.to_owned();
        from = writer.write_blocking(move |db| some(db, &own, page, false))?;
    }
    Ok(())
}

/// Removes some pieces from this page on. Returns the page at which it goes on; `None` when nothing is left to be removed.
fn some(db: &mut Db, exchange_id: &str, from: i64, keeps_received: bool) -> Result<Option<i64>, Failure> {
    let Some(page) = rows::next_with_pieces(db, exchange_id, from)? else {
        rows::forget_links(db, exchange_id)?;
        return Ok(None);
    };
    if keeps_received && rows::has_received_on(db, exchange_id, page)? {
        return Ok(Some(page + 1));
    }
    match rows::forget_pieces(db, exchange_id, page, TOGETHER)? {
        true => Ok(Some(page)),
        false => Ok(Some(page + 1)),
    }
}
