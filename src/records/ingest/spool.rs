//! Bodies as they were received: sealed piece by piece while they arrive, and read again as often as needed.
//!
//! A body counts only when it came to its end; its last pieces, its row and the state of its part are one transaction. What a broken
//! connection left behind is removed when the next body begins.

use super::entry::{self, ENTRY_BYTES};
use super::pages::each_page;
use super::parts::{LandedPage, PartState, RecordPart, link_place};
use super::scope::IngestScope;
use super::writer::IngestWriter;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::fhir::bundle_reader::{BundlePiece, BundleReader};
use crate::secret::{Sha256, sha256};
use crate::security::vault::{SealedPiece, SealedPieces};
use crate::store::ingest::{self as rows, PageRow, PartRow, PieceRow};
use std::collections::BTreeMap;

/// Length of a piece before it is sealed. It must never change: places in bodies are found by it.
pub(super) const PIECE_BYTES: usize = 256 << 10;
/// How many pieces one transaction writes.
const TOGETHER: usize = 4;

/// The name of a body; the number of a piece follows it.
fn body_name(page: i64) -> String {
    format!("body/{page}")
}

/// A body that is arriving.
pub struct PageWriter {
    writer: IngestWriter,
    exchange_id: String,
    part: RecordPart,
    link: [u8; 32],
    page: i64,
    pieces: SealedPieces,
    ready: Vec<PieceRow>,
    bytes: u64,
    digest: Sha256,
    bundle: BundleReader,
    entries: u64,
    /// Entries of any kind, and how many there may be.
    found: u64,
    most: u64,
    types: BTreeMap<String, u64>,
    date_ms: Option<i64>,
}

impl PageWriter {
    /// Begins the next body of `part`, which is fetched from `link`.
    ///
    /// # Errors
    /// [`Fault::PartnerPagesLoop`] when this exchange has a body from the same link; those of the store.
    pub async fn begin(
        scope: &IngestScope,
        writer: &IngestWriter,
        part: RecordPart,
        link: &str,
    ) -> Result<PageWriter, Failure> {
        let (exchange_id, link) = (scope.exchange_id().to_owned(), sha256(link.as_bytes()));
        let page = writer
            .write(move |db| match rows::has_link(db, &exchange_id, &link)? {
                true => Err(Failure::new(Fault::PartnerPagesLoop)),
                false => rows::begin_page(db, &exchange_id),
            })
            .await?;
        failpoint::pass("ingest", "page-begun");
        Ok(PageWriter {
            writer: writer.clone(),
            exchange_id: scope.exchange_id().to_owned(),
            part,
            link,
            page,
            pieces: SealedPieces::new(scope.seal.clone(), &body_name(page), PIECE_BYTES, 0),
            ready: Vec::new(),
            bytes: 0,
            digest: Sha256::default(),
            bundle: BundleReader::new(ENTRY_BYTES),
            entries: 0,
            found: 0,
            most: u64::MAX,
            types: BTreeMap::new(),
            date_ms: None,
        })
    }

    /// Takes no more entries than this.
    pub fn at_most(&mut self, entries: u64) {
        self.most = entries;
    }

    /// Notes the partner's time of the answer, UTC milliseconds.
    pub fn dated(&mut self, date_ms: Option<i64>) {
        self.date_ms = date_ms;
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Fault::PartnerTooMuch`] when there are too many entries; those of [`BundleReader::feed`]; those of the store.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let (entries, types, found, most) = (&mut self.entries, &mut self.types, &mut self.found, self.most);
        self.bundle.feed(bytes, &mut |piece| {
            *found += 1;
            if *found > most {
                return Err(Fault::PartnerTooMuch.into());
            }
            let (rtype, is_of_record) = look(&piece);
            *entries += u64::from(is_of_record);
            *types.entry(rtype).or_default() += 1;
            Ok(())
        })?;
        self.bytes += bytes.len() as u64;
        self.digest.update(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (later, piece) = self.pieces.take(rest)?;
            rest = later;
            self.keep(piece);
            if self.ready.len() == TOGETHER {
                let ready = std::mem::take(&mut self.ready);
                self.writer.write(move |db| rows::put_pieces(db, &ready)).await?;
                failpoint::pass("ingest", "pieces-kept");
            }
        }
        Ok(())
    }

    fn keep(&mut self, piece: Option<SealedPiece>) {
        self.ready.extend(piece.map(|piece| PieceRow {
            exchange_id: self.exchange_id.clone(),
            page: self.page,
            piece: i64::try_from(piece.number).unwrap_or(i64::MAX),
            sealed: piece.sealed,
        }));
    }

    /// Ends the body, which came at `now_ms` (UTC milliseconds).
    ///
    /// # Errors
    /// [`Fault::NotJson`] when it is cut off; [`Fault::PartnerNotFhir`] when it is no Bundle; [`Fault::PartnerPagesLoop`] when the part has
    /// this very body already; those of the store.
    pub async fn finish(mut self, now_ms: i64) -> Result<LandedPage, Failure> {
        let last = self.pieces.rest()?;
        self.keep(last);
        let head = self.bundle.end()?;
        if head.resource_type != "Bundle" {
            return Err(Failure::new(Fault::PartnerNotFhir).at("Bundle"));
        }
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let digest = self.digest.finish();
        let types: Vec<String> = self
            .types
            .iter()
            .map(|(rtype, count)| format!("{rtype}={count}"))
            .collect();
        let page = PageRow {
            exchange_id: self.exchange_id.clone(),
            page: self.page,
            part: self.part.name.clone(),
            bytes: number(self.bytes),
            sha256: digest.to_vec(),
            link_sha256: self.link.to_vec(),
            entries: number(head.entries),
            types: types.join(" "),
            date_ms: self.date_ms,
            received_ms: now_ms,
        };
        let entries = self.part.entries + self.entries;
        // A later page may not take back what an earlier one has promised.
        let expected = head.total.max(self.part.expected);
        let part = RecordPart {
            state: match (&head.next, expected) {
                (Some(_), _) => PartState::Open,
                (None, Some(expected)) if entries < expected => PartState::Short,
                (None, _) => PartState::Whole,
            },
            reason: None,
            pages: self.part.pages + 1,
            entries,
            expected,
            next: head.next,
            name: self.part.name,
        };
        let next = part
            .next
            .as_deref()
            .map(|link| self.pieces.seal().seal(&link_place(&part.name), link.as_bytes()));
        let row = PartRow {
            exchange_id: self.exchange_id,
            part: part.name.clone(),
            state: part.state.code().to_owned(),
            reason: None,
            pages: number(part.pages),
            entries: number(entries),
            expected: expected.map(number),
            sealed_next: next.transpose()?,
            updated_ms: now_ms,
        };
        let (ready, own) = (self.ready, self.writer.clone());
        self.writer
            .write(move |db| {
                if rows::has_body(db, &page.exchange_id, &page.part, &page.sha256)? {
                    return Err(Failure::new(Fault::PartnerPagesLoop));
                }
                rows::put_pieces(db, &ready)?;
                rows::put_page(db, &page)?;
                rows::put_part(db, &row)?;
                own.got_on(db)?;
                failpoint::pass("ingest", "before-page");
                Ok(())
            })
            .await?;
        failpoint::pass("ingest", "page-landed");
        Ok(LandedPage {
            bytes: self.bytes,
            entries: head.entries,
            sha256: digest,
            part,
        })
    }
}

/// Returns the type of an entry's resource, and whether it counts as one of the record: not when it was only included, or is a message
/// about the answer.
fn look(piece: &BundlePiece) -> (String, bool) {
    let unknown = || ("*".to_owned(), true);
    let BundlePiece::Entry { bytes, .. } = piece else {
        return unknown();
    };
    match entry::look(bytes) {
        Ok(Some(found)) => {
            // Only words of R4 become names of counts.
            let rtype = found.rtype.unwrap_or("*");
            (rtype.to_owned(), !found.is_extra && rtype != "OperationOutcome")
        }
        _ => unknown(),
    }
}

/// What came in all, as far as it came to its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Resources by type; `*` for those of no known type.
    pub types: BTreeMap<String, u64>,
    /// Bytes.
    pub bytes: u64,
    /// The partner's time when it gave the first body, UTC milliseconds; ours when the partner's clock is ahead. `None` when that body did not
    /// say its time: a later one's would leave out what changed in between.
    pub as_of_ms: Option<i64>,
}

/// Returns what came in all. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub fn arrivals(scope: &IngestScope) -> Result<Arrivals, Failure> {
    let mut all = Arrivals::default();
    let mut is_first = true;
    each_page(scope, 0, &mut |page| {
        if std::mem::take(&mut is_first) {
            all.as_of_ms = as_of_ms(page);
        }
        // A page without a link was set aside: what it brought comes again, and counts once.
        if !page.link_sha256.is_empty() {
            all.bytes += u64::try_from(page.bytes).unwrap_or(0);
        }
        for (rtype, count) in page.types.split(' ').filter_map(|one| one.split_once('=')) {
            *all.types.entry(rtype.to_owned()).or_default() += count.parse::<u64>().unwrap_or(0);
        }
        Ok(true)
    })?;
    all.types.remove("OperationOutcome");
    Ok(all)
}

/// From when on changes are asked for after a record that began with this body. A clock of the partner that is ahead, by however much, would
/// leave changes out.
fn as_of_ms(first: &PageRow) -> Option<i64> {
    first.date_ms.map(|date_ms| date_ms.min(first.received_ms))
}

/// How much is kept of an exchange, with what was fetched twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolSize {
    /// Bodies.
    pub pages: u64,
    /// Entries of them.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Returns how much is kept of an exchange. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub fn size(scope: &IngestScope) -> Result<SpoolSize, Failure> {
    size_by(scope, None)
}

/// Returns how much is kept of a part since it began. Blocks this thread.
///
/// # Errors
/// Those of the store.
pub fn size_of_part(scope: &IngestScope, part: &str) -> Result<SpoolSize, Failure> {
    size_by(scope, Some(part))
}

fn size_by(scope: &IngestScope, part: Option<&str>) -> Result<SpoolSize, Failure> {
    let (pages, bytes, entries) = scope
        .ctx
        .store
        .read_blocking(|db| rows::sums(db, scope.exchange_id(), part))?;
    let number = |count: i64| u64::try_from(count).unwrap_or(0);
    Ok(SpoolSize {
        pages: number(pages),
        entries: number(entries),
        bytes: number(bytes),
    })
}

/// Hands the entries of a body to `take`, one after another: their number, from 0, and what was found. Blocks this thread.
///
/// # Errors
/// [`Fault::SealBroken`] when a piece is missing or changed; those of `take` and of the store.
pub(super) fn each_entry(
    scope: &IngestScope,
    page: &PageRow,
    take: &mut dyn FnMut(i64, BundlePiece) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut bundle = BundleReader::new(ENTRY_BYTES);
    let (mut digest, mut left, mut number) = (Sha256::default(), page.bytes, 0);
    let mut piece = 0;
    while left > 0 {
        let bytes = plain(scope, page.page, piece)?;
        left -= i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        digest.update(&bytes);
        bundle.feed(&bytes, &mut |found| {
            number += 1;
            take(number - 1, found)
        })?;
        piece += 1;
    }
    match left == 0 && digest.finish() == *page.sha256 {
        true => Ok(()),
        false => Err(Fault::SealBroken.into()),
    }
}

/// Returns `length` bytes from `start` of a body. Blocks this thread.
///
/// # Errors
/// [`Fault::SealBroken`]; those of the store.
pub(super) fn span(scope: &IngestScope, page: i64, start: i64, length: i64) -> Result<Vec<u8>, Failure> {
    let broken = |_| Failure::new(Fault::SealBroken);
    let start = usize::try_from(start).map_err(broken)?;
    let length = usize::try_from(length).map_err(broken)?;
    let mut found = Vec::with_capacity(length.min(ENTRY_BYTES));
    let (mut piece, mut skip) = (start / PIECE_BYTES, start % PIECE_BYTES);
    while found.len() < length {
        let bytes = plain(scope, page, i64::try_from(piece).map_err(broken)?)?;
        let part = bytes
            .get(skip..)
            .filter(|part| !part.is_empty())
            .ok_or(Fault::SealBroken)?;
        found.extend_from_slice(&part[..part.len().min(length - found.len())]);
        (piece, skip) = (piece + 1, 0);
    }
    Ok(found)
}

fn plain(scope: &IngestScope, page: i64, piece: i64) -> Result<Vec<u8>, Failure> {
    let sealed = scope
        .ctx
        .store
        .read_blocking(|db| rows::piece(db, scope.exchange_id(), page, piece))?
        .ok_or(Fault::SealBroken)?;
    scope.seal.open(&format!("{}/{piece}", body_name(page)), &sealed)
}
