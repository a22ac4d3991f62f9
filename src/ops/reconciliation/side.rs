//! All rows of one side of a comparison, held small: the texts of all rows in one string, and 24 bytes for each row. Pure.
//!
//! A row costs about 100 bytes with usual ids, and at most 408 whatever a partner sends; at most [`ROWS_MAX`] are taken.

use super::row::{ReconcileOutcome, ReconcileRow};
use crate::clock::parse_rfc3339_ms;
use std::ops::Range;

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
                .then_with(|| row(a).exchange_id.cmp(row(b).exchange_id))
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

    /// The groups of rows with the same asker and the same correlation id, in the order of [`place`]; `period` is in UTC milliseconds. Call
    /// [`SideRows::settle`] first.
    pub fn groups(&self, period: Range<i64>) -> SideGroups<'_> {
        SideGroups {
            side: self,
            next: 0,
            period,
        }
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
    period: Range<i64>,
}

/// What the rows of a group say together. Rows that began outside the period say nothing where another one began in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideGroup<'a> {
    /// The last row in the order of time, with the last receipt of all; acknowledged, and of a bulk exchange, when one of the rows is.
    pub last: SideRow<'a>,
    /// How many rows say this.
    pub rows: u64,
    /// How many of these the other side must have a row for, if this is the side that asked: those that did not end otherwise.
    pub wanted: u64,
    /// How many rows it has, outside the period too.
    pub all: u64,
    /// Whether one of them began in the period.
    pub is_in_period: bool,
}

impl<'a> SideRow<'a> {
    /// This row after an earlier one of its group.
    fn after(self, before: SideRow<'a>) -> SideRow<'a> {
        SideRow {
            receipt: self.receipt.or(before.receipt),
            is_acknowledged: self.is_acknowledged || before.is_acknowledged,
            is_bulk: self.is_bulk || before.is_bulk,
            ..self
        }
    }
}

/// The rows of a group inside the period, or outside of it.
#[derive(Clone, Copy, Default)]
struct GroupPart<'a> {
    rows: u64,
    wanted: u64,
    last: Option<SideRow<'a>>,
}

impl<'a> GroupPart<'a> {
    fn add(&mut self, row: SideRow<'a>) {
        let is_over = matches!(row.outcome, ReconcileOutcome::Unasked | ReconcileOutcome::Ended);
        self.rows += 1;
        self.wanted += u64::from(!is_over);
        self.last = Some(self.last.map_or(row, |before| row.after(before)));
    }
}

impl<'a> Iterator for SideGroups<'a> {
    type Item = SideGroup<'a>;

    fn next(&mut self) -> Option<SideGroup<'a>> {
        let side = self.side;
        let first = shown(&side.text, side.rows.get(self.next)?);
        let (mut inside, mut outside) = (GroupPart::default(), GroupPart::default());
        while let Some(held) = side.rows.get(self.next) {
            let row = shown(&side.text, held);
            if place(&row) != place(&first) {
                break;
            }
            match self.period.contains(&row.started_ms) {
                true => inside.add(row),
                false => outside.add(row),
            }
            self.next += 1;
        }
        let is_in_period = inside.rows > 0;
        let said = if is_in_period { inside } else { outside };
        Some(SideGroup {
            last: said.last.unwrap_or(first),
            rows: said.rows,
            wanted: said.wanted,
            all: inside.rows + outside.rows,
            is_in_period,
        })
    }
}
