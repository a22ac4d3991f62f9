//! All rows of one side of a comparison, held small: the texts of all rows in one string, and 24 bytes for each row. Pure.
//!
//! A row costs about 100 bytes with usual ids, and at most 408 whatever a partner sends; at most [`ROWS_MAX`] are taken.

use super::row::{ReconcileOutcome, ReconcileRow};
use crate::clock::parse_rfc3339_ms;
use std::cmp::Ordering;

/// Most rows of a side.
pub const ROWS_MAX: usize = 1_000_000;

/// Whose file a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsOf {
    /// This payer.
    Us,
    /// The partner.
    Partner,
}

/// A row without its texts.
#[derive(Clone, Copy, Debug)]
struct HeldRow {
    /// Where its texts begin: the correlation id, then the exchange id, then the receipt.
    at: u32,
    lengths: [u8; 3],
    /// Whether this payer asked.
    by_us: bool,
    is_bulk: bool,
    is_acknowledged: bool,
    outcome: ReconcileOutcome,
    started_ms: i64,
    line: u32,
}

/// A row as the comparison reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideRow<'a> {
    /// Whether this payer asked the partner, and not the other way round.
    pub by_us: bool,
    /// The id that both payers have.
    pub correlation_id: &'a str,
    /// The id of the side whose row it is.
    pub exchange_id: &'a str,
    /// The receipt, if it has one.
    pub receipt: Option<&'a str>,
    /// Whether the receipt was acknowledged.
    pub is_acknowledged: bool,
    /// Whether it is of a bulk exchange.
    pub is_bulk: bool,
    /// How it stands.
    pub outcome: ReconcileOutcome,
    /// When it began, UTC milliseconds.
    pub started_ms: i64,
}

/// The rows of one side.
#[derive(Debug)]
pub struct SideRows {
    of: RowsOf,
    most: usize,
    text: String,
    rows: Vec<HeldRow>,
    duplicates: u64,
}

impl SideRows {
    /// A side without rows, which takes [`ROWS_MAX`].
    pub fn new(of: RowsOf) -> SideRows {
        SideRows::of_at_most(of, ROWS_MAX)
    }

    /// A side without rows, which takes so many.
    pub(super) fn of_at_most(of: RowsOf, most: usize) -> SideRows {
        SideRows {
            of,
            most,
            text: String::new(),
            rows: Vec::new(),
            duplicates: 0,
        }
    }

    /// Adds a row that stands on this line. Returns false, and adds nothing, when it has all that it takes, or the row was not checked
    /// ([`ReconcileRow::wrong`]).
    pub fn add(&mut self, row: &ReconcileRow, line: u64) -> bool {
        let receipt = row.receipt.as_deref().unwrap_or_default();
        let texts = [row.correlation_id.as_str(), row.exchange_id.as_str(), receipt];
        let lengths = texts.map(|text| u8::try_from(text.len()).ok());
        let ([Some(first), Some(second), Some(third)], Ok(at)) = (lengths, u32::try_from(self.text.len())) else {
            return false;
        };
        let Some(started_ms) = parse_rfc3339_ms(&row.started_at).filter(|_| self.rows.len() < self.most) else {
            return false;
        };
        texts.iter().for_each(|text| self.text.push_str(text));
        let is_outbound = row.direction == "outbound";
        self.rows.push(HeldRow {
            at,
            lengths: [first, second, third],
            by_us: is_outbound == (self.of == RowsOf::Us),
            is_bulk: row.kind == "bulk",
            is_acknowledged: row.acknowledged_at.is_some(),
            outcome: row.outcome,
            started_ms,
            line: u32::try_from(line).unwrap_or(u32::MAX),
        });
        true
    }

    /// Brings the rows into the order of [`SideRows::groups`], and counts and drops rows that are about the same exchange as another one: the
    /// last of them in the file stays.
    pub fn settle(&mut self) {
        let (text, before) = (std::mem::take(&mut self.text), self.rows.len());
        let row = |held: &HeldRow| shown(&text, held);
        let key = |held: &HeldRow| {
            let row = shown(&text, held);
            (row.by_us, row.correlation_id, row.exchange_id)
        };
        self.rows
            .sort_unstable_by(|a, b| key(a).cmp(&key(b)).then(b.line.cmp(&a.line)));
        self.rows.dedup_by(|later, kept| key(&*later) == key(&*kept));
        self.duplicates = (before - self.rows.len()) as u64;
        self.rows.sort_unstable_by(|a, b| {
            place(&row(a))
                .cmp(&place(&row(b)))
                .then(a.started_ms.cmp(&b.started_ms))
                .then(a.line.cmp(&b.line))
        });
        self.text = text;
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows were dropped because another one is about the same exchange.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// When the first and the last of its rows began, UTC milliseconds.
    pub fn span(&self) -> Option<(i64, i64)> {
        let each = || self.rows.iter().map(|held| held.started_ms);
        each().min().zip(each().max())
    }

    /// The groups of rows with the same asker and the same correlation id, in the order of [`place`]. Call [`SideRows::settle`] first.
    pub fn groups(&self) -> SideGroups<'_> {
        SideGroups { side: self, next: 0 }
    }
}

/// Who asked, and the correlation id: what a row of one side and a row of the other have in common.
pub fn place<'a>(row: &SideRow<'a>) -> (bool, &'a str) {
    (row.by_us, row.correlation_id)
}

/// The row with its texts.
fn shown<'a>(text: &'a str, held: &HeldRow) -> SideRow<'a> {
    let begins = held.at as usize;
    let [first, second, third] = held.lengths.map(usize::from);
    let piece = |from: usize, length: usize| text.get(from..from + length).unwrap_or_default();
    SideRow {
        by_us: held.by_us,
        correlation_id: piece(begins, first),
        exchange_id: piece(begins + first, second),
        receipt: (third > 0).then(|| piece(begins + first + second, third)),
        is_acknowledged: held.is_acknowledged,
        is_bulk: held.is_bulk,
        outcome: held.outcome,
        started_ms: held.started_ms,
    }
}

/// Walks over the groups of a side.
pub struct SideGroups<'a> {
    side: &'a SideRows,
    next: usize,
}

/// What the rows of a group say together: the last of them, in the order of time, says how it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideGroup<'a> {
    /// The last row, with the last receipt of all; acknowledged, and of a bulk exchange, when one of the rows is.
    pub last: SideRow<'a>,
    /// When the first of them began, UTC milliseconds.
    pub first_ms: i64,
}

impl<'a> Iterator for SideGroups<'a> {
    type Item = SideGroup<'a>;

    fn next(&mut self) -> Option<SideGroup<'a>> {
        let side = self.side;
        let first = shown(&side.text, side.rows.get(self.next)?);
        self.next += 1;
        let mut last = first;
        while let Some(held) = side.rows.get(self.next) {
            let row = shown(&side.text, held);
            if place(&row).cmp(&place(&first)) != Ordering::Equal {
                break;
            }
            last = SideRow {
                receipt: row.receipt.or(last.receipt),
                is_acknowledged: row.is_acknowledged || last.is_acknowledged,
                is_bulk: row.is_bulk || last.is_bulk,
                ..row
            };
            self.next += 1;
        }
        Some(SideGroup {
            last,
            first_ms: first.started_ms,
        })
    }
}
