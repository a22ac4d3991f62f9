//! Makes what came a part of the member's record: body by body, batch by batch, Provenances last. It may be broken off anywhere and run
//! again: it goes on after the last batch that was stored, and what is stored is recognized by its content.

use super::super::gate::GATE_VERSION;
use super::batch::{Arrived, Pass, prepare, write, write_up_to};
use super::counts::{IngestCounts, counted};
use super::entry::ENTRY_BYTES;
use super::outcome::QUARANTINED;
use super::pages::each_page;
use super::progress::{Progress, STORE, WorkTurn, put};
use super::scope::IngestScope;
use super::spool::{each_entry, span};
use super::state::{DONE, RETRACTED};
use super::writer::IngestWriter;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::fhir::bundle_reader::BundlePiece;
use crate::fhir::prescreen::{ScreenLimits, screen};
use crate::store::ingest::{self as rows, PageRow, ReceivedRow};
use std::iter::Peekable;

/// Most entries of a batch.
pub(super) const ENTRIES: usize = 200;
/// Most bytes of a batch, unless one entry alone is longer.
const BYTES: usize = 4 << 20;

/// The passes in their order, from 1.
const PASSES: [(i64, Pass); 2] = [(1, Pass::Records), (2, Pass::Provenances)];
/// What stands in place of a pass when all are done.
const NO_PASS: i64 = 3;

/// Stores everything that the exchange brought, from where the last attempt of the run ended. Returns `None` when the turn was over before all
/// of it was stored. Blocks this thread.
///
/// # Errors
/// [`Fault::NothingReceived`]; [`Fault::SealBroken`] when a body is gone or was changed; [`Fault::LeaseLost`]; those of the store.
pub fn store(scope: &IngestScope, writer: &IngestWriter, turn: &WorkTurn) -> Result<Option<IngestCounts>, Failure> {
    scope.ctx.store.read_blocking(|db| {
        let row = rows::find(db, scope.exchange_id())?.filter(|row| row.state != RETRACTED);
        scope.same(&row.ok_or(Fault::NothingReceived)?)
    })?;
    let progress = Progress::read(scope, STORE, turn)?;
    for (number, pass) in PASSES.into_iter().filter(|(number, _)| *number >= progress.pass()) {
        let whole = each_page(scope, progress.page_of(number), &mut |page| {
            if pass == Pass::Provenances && has_no_provenance(page) {
                return Ok(true);
            }
            batches(scope, page, progress.entry_of(number, page.page), &mut |batch| {
                writer.go_on()?;
                let ready = prepare(scope, batch, pass)?;
                let (mark, is_over) = (progress.after(number, batch), turn.is_over());
                match ready.is_empty() {
                    true if is_over => put(writer, mark)?,
                    true => {}
                    false => write_up_to(scope, writer, ready, Some(mark))?,
                }
                Ok(!is_over)
            })
        })?;
        if !whole {
            return Ok(None);
        }
    }
    if progress.pass() < NO_PASS {
        let (exchange_id, now_ms) = (scope.exchange_id().to_owned(), scope.ctx.clock.now_ms());
        let done = progress.after(NO_PASS, &[]);
        writer.write_blocking(move |db| {
            rows::set_state(db, &exchange_id, DONE, now_ms)?;
            rows::put_progress(db, &done)
        })?;
        failpoint::pass("ingest", "done");
    }
    counted(&scope.ctx, scope.exchange_id()).map(Some)
}

/// Whether a page certainly has no Provenance. The types of a page that was set aside are not told.
fn has_no_provenance(page: &PageRow) -> bool {
    let mut types = page.types.split(' ').filter_map(|one| one.split_once('='));
    !page.types.is_empty() && types.all(|(rtype, _)| rtype != "Provenance")
}

/// Hands the entries of a body from the number `from` on to `take`, in batches, until it says no. Returns whether it never did. Blocks this
/// thread.
///
/// # Errors
/// Those of [`each_entry`] and of `take`.
pub(super) fn batches(
    scope: &IngestScope,
    page: &PageRow,
    from: i64,
    take: &mut dyn FnMut(&[Arrived]) -> Result<bool, Failure>,
) -> Result<bool, Failure> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let mut is_over = false;
    let went = each_entry(scope, page, &mut |number, piece| {
        if number < from {
            return Ok(());
        }
        let one = arrived(page.page, number, piece);
        let length = one.bytes.as_ref().map_or(0, Vec::len);
        if !batch.is_empty() && (batch.len() == ENTRIES || bytes + length > BYTES) {
            if !take(&batch)? {
                is_over = true;
                // It only ends the reading, and goes no further than this function.
                return Err(Fault::LeaseLost.into());
            }
            batch.clear();
            bytes = 0;
        }
        bytes += length;
        batch.push(one);
        Ok(())
    });
    if is_over {
        return Ok(false);
    }
    went?;
    if batch.is_empty() { Ok(true) } else { take(&batch) }
}

/// An entry of a body as a batch takes it.
fn arrived(page: i64, entry: i64, piece: BundlePiece) -> Arrived {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    match piece {
        BundlePiece::Entry { start, bytes } => Arrived {
            page,
            entry,
            start: number(start),
            length: number(bytes.len() as u64),
            bytes: Some(bytes),
        },
        BundlePiece::TooLong { start, length } => Arrived {
            page,
            entry,
            start: number(start),
            length: number(length),
            bytes: None,
        },
    }
}

/// Judges again what an earlier version of the gate kept apart; `all` tells when the work as a whole was given up. Blocks this thread.
///
/// # Errors
/// As [`store`].
pub fn judge_again(scope: &IngestScope, writer: &IngestWriter, all: &IngestWriter) -> Result<IngestCounts, Failure> {
    judge_again_for(scope, (writer, all), GATE_VERSION)
}

/// Returns the next exchange after `exchange_id` of which something was kept apart by an earlier version of the gate.
///
/// # Errors
/// Those of the store.
pub fn due_again(ctx: &Context, exchange_id: &str) -> Result<Option<String>, Failure> {
    ctx.store
        .read_blocking(|db| rows::quarantined_before(db, GATE_VERSION, RETRACTED, exchange_id))
}

/// [`judge_again`] for what was judged before this version of the gate.
pub(super) fn judge_again_for(
    scope: &IngestScope,
    (writer, all): (&IngestWriter, &IngestWriter),
    before: i64,
) -> Result<IngestCounts, Failure> {
    for pass in [Pass::Records, Pass::Provenances] {
        let mut after = (0, -1);
        loop {
            let limit = i64::try_from(ENTRIES).unwrap_or(i64::MAX);
            let page = scope
                .ctx
                .store
                .read_blocking(|db| rows::received(db, scope.exchange_id(), QUARANTINED, after, limit))?;
            let Some(last) = page.last() else { break };
            after = (last.page, last.entry);
            let mut due = page.iter().filter(|row| row.gate_version < before).peekable();
            while due.peek().is_some() {
                all.go_on()?;
                let (found, broken) = together(scope, &mut due);
                write(scope, writer, prepare(scope, &found, pass)?)?;
                if let Some(failure) = broken {
                    return Err(failure);
                }
            }
        }
    }
    counted(&scope.ctx, scope.exchange_id())
}

/// Takes resources that were kept apart, of one page and as many as one batch has; and why the next one cannot be read.
fn together<'r>(
    scope: &IngestScope,
    due: &mut Peekable<impl Iterator<Item = &'r ReceivedRow>>,
) -> (Vec<Arrived>, Option<Failure>) {
    let (mut found, mut bytes) = (Vec::<Arrived>::new(), 0);
    while let Some(row) = due.peek() {
        let is_other_page = found.last().is_some_and(|last| last.page != row.page);
        let length = usize::try_from(row.length).unwrap_or(usize::MAX).min(ENTRY_BYTES);
        if is_other_page || (!found.is_empty() && bytes + length > BYTES) {
            break;
        }
        match again(scope, row) {
            Ok(one) => found.push(one),
            Err(failure) => return (found, Some(failure)),
        }
        bytes += length;
        due.next();
    }
    (found, None)
}

/// A resource that was kept apart, as it came: in an entry.
fn again(scope: &IngestScope, row: &ReceivedRow) -> Result<Arrived, Failure> {
    const BEFORE: &[u8] = b"{\"resource\":";
    let mut one = Arrived {
        page: row.page,
        entry: row.entry,
        start: row.start,
        length: row.length,
        bytes: None,
    };
    if usize::try_from(row.length).is_ok_and(|length| length <= ENTRY_BYTES) {
        let bytes = span(scope, row.page, row.start, row.length)?;
        // What was kept apart before its resource was found is the whole entry.
        let is_resource =
            screen(&bytes, &ScreenLimits::record()).is_ok_and(|found| found.root().get("resourceType").is_some());
        one.bytes = Some(match is_resource {
            true => [BEFORE, &bytes, b"}"].concat(),
            false => bytes,
        });
        if is_resource {
            one.start -= i64::try_from(BEFORE.len()).unwrap_or(0);
        }
    }
    Ok(one)
}
