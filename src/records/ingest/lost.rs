//! Bodies and links that were kept and cannot be read any more: their parts are opened anew, so that they are fetched again. A damaged body
//! stays where it is, and nothing that is stored is touched.

use super::outcome::LOST;
use super::pages::each_page;
use super::parts::{anew, link_place};
use super::scope::IngestScope;
use super::spool::each_entry;
use super::writer::IngestWriter;
use crate::error::{Failure, Fault};
use crate::secret::sha256;
use crate::store::ingest as rows;
use std::collections::BTreeSet;

/// How many pages one transaction marks.
const TOGETHER: usize = 50;

/// Opens the parts anew of which a body, or the link by which they go on, cannot be read. Returns how many bodies cannot. Blocks this
/// thread.
///
/// # Errors
/// [`Fault::LeaseLost`]; those of the store.
pub fn open_lost(scope: &IngestScope, writer: &IngestWriter) -> Result<usize, Failure> {
    let mut parts = scope
        .ctx
        .store
        .read_blocking(|db| rows::parts(db, scope.exchange_id()))?;
    parts.retain(|part| {
        let link = part.sealed_next.as_deref();
        link.is_some_and(|link| scope.seal.open(&link_place(&part.part), link).is_err())
    });
    let mut lost: Vec<(i64, String)> = Vec::new();
    each_page(scope, 0, &mut |page| {
        writer.go_on()?;
        match each_entry(scope, page, &mut |_, _| Ok(())) {
            Ok(()) => {}
            Err(failure) if failure.fault() == Fault::SealBroken => lost.push((page.page, page.part.clone())),
            Err(failure) => return Err(failure),
        }
        Ok(true)
    })?;
    // After a crash between two of these transactions the next attempt finds the rest.
    for pages in lost.chunks(TOGETHER) {
        let (pages, exchange_id, now_ms) = (pages.to_vec(), scope.exchange_id().to_owned(), scope.now_ms());
        writer.write_blocking(move |db| {
            for (page, _) in &pages {
                rows::lose_page(db, &exchange_id, *page, &sha256(b""), LOST)?;
            }
            let parts: BTreeSet<&str> = pages.iter().map(|(_, part)| part.as_str()).collect();
            parts
                .into_iter()
                .try_for_each(|part| anew(db, &exchange_id, part, now_ms))
        })?;
    }
    if !parts.is_empty() {
        let (exchange_id, now_ms) = (scope.exchange_id().to_owned(), scope.now_ms());
        writer.write_blocking(move |db| {
            parts
                .iter()
                .try_for_each(|part| anew(db, &exchange_id, &part.part, now_ms))
        })?;
    }
    Ok(lost.len())
}

/// Seals again what an exchange is about, in place of what cannot be read.
///
/// # Errors
/// [`Fault::LeaseLost`]; those of the store.
pub async fn seal_again(scope: &IngestScope, writer: &IngestWriter) -> Result<(), Failure> {
    let (exchange_id, sealed) = (scope.exchange_id().to_owned(), scope.sealed_about()?);
    writer.write(move |db| rows::set_about(db, &exchange_id, &sealed)).await
}
