//! How much of a record is read and sent at once: so many rows, and so many bytes. A row that is too large for that goes by itself.
//!
//! Nothing here asks the store; it decides what is asked of it.

use crate::store::measured::{MeasuredRow, fitting, most_of_each};

/// Rows of the first read; later reads take as many as make about [`PIECE_BYTES`].
const FIRST_ROWS: i64 = 64;
/// Target size of one piece of the stream in bytes.
pub const PIECE_BYTES: usize = 112 * 1024;
/// Most bytes of the rows of one piece; only a single row may have more.
const PIECE_MOST: usize = 256 * 1024;
/// Most bytes of the rows of one read.
pub const READ_BYTES: usize = 2 * 1024 * 1024;
/// A row of more bytes takes room of its own before it is read: as many smaller ones as a partner has connections are little.
const PROMPT_BYTES: usize = 128 * 1024;

/// A row of a record that is sent.
pub struct Leaving {
    pub key: i64,
    pub rtype: String,
    pub id: String,
    pub bytes: Vec<u8>,
    /// Whether a part of it was cut.
    pub is_cut: bool,
}

/// What the next read brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextRead {
    /// Most rows.
    pub rows: i64,
    /// The largest size whose bytes come with their row.
    pub most: i32,
    /// The bytes for which room has to be asked before.
    pub asks_room: Option<usize>,
}

/// What a piece has room for.
#[derive(Clone, Copy, Debug)]
pub struct PieceLimits {
    /// Rows that the page still takes.
    pub rows: usize,
    /// Bytes that the piece takes.
    pub bytes: usize,
    /// Bytes that the page still takes.
    pub page_bytes: usize,
    /// Whether the page has no row yet, so that the next one goes on it however large it is.
    pub is_page_empty: bool,
}

impl PieceLimits {
    /// Those of an answer that is no page.
    pub const STREAM: PieceLimits = PieceLimits {
        rows: usize::MAX,
        bytes: PIECE_MOST,
        page_bytes: usize::MAX,
        is_page_empty: true,
    };
}

/// What comes after the rows of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsEnd {
    /// Maybe more rows, in the next piece.
    Piece,
    /// More rows, on the next page.
    Page,
    /// No more rows.
    Record,
}

/// The rows of a piece.
pub struct PieceRows {
    pub rows: Vec<Leaving>,
    pub end: RowsEnd,
}

/// The reads of one record.
#[derive(Debug)]
pub struct Reads {
    rows: i64,
    /// The size of the next row, which is too large to come with others.
    large: Option<usize>,
}

impl Default for Reads {
    fn default() -> Reads {
        Reads {
            rows: FIRST_ROWS,
            large: None,
        }
    }
}

impl Reads {
    /// The next read, of no more than `rows` rows.
    pub fn next(&self, rows: i64) -> NextRead {
        match self.large {
            Some(bytes) => NextRead {
                rows: 1,
                most: i32::try_from(bytes).unwrap_or(i32::MAX),
                asks_room: (bytes > PROMPT_BYTES).then_some(bytes),
            },
            None => {
                let rows = self.rows.min(rows);
                NextRead {
                    rows,
                    most: most_of_each(rows, READ_BYTES),
                    asks_room: None,
                }
            }
        }
    }

    /// Notes how many bytes so many rows took.
    pub fn took(&mut self, rows: usize, bytes: usize) {
        if rows > 0 {
            self.rows = i64::try_from(PIECE_BYTES * rows / bytes.max(1))
                .unwrap_or(FIRST_ROWS)
                .clamp(4, 512);
        }
    }

    /// The rows that go together of those that were read. When there are none though the piece ends, the first row is too large to have
    /// come, and the next read brings it alone. `is_last`: the read found all rows that are left.
    pub fn cut(&mut self, found: Vec<MeasuredRow>, limits: PieceLimits, is_last: bool) -> PieceRows {
        let total = found.len();
        let is_page_full = !limits.is_page_empty && found.first().is_some_and(|first| first.size() > limits.page_bytes);
        let fit = match is_page_full {
            true => 0,
            false => fitting(found.iter().map(MeasuredRow::size), limits.bytes.min(limits.page_bytes)),
        };
        self.large = None;
        let mut rows = Vec::new();
        for row in found.into_iter().take(fit.min(limits.rows)) {
            let size = row.size();
            let Some(bytes) = row.bytes else {
                self.large = Some(size);
                break;
            };
            rows.push(Leaving {
                key: row.key,
                rtype: row.rtype,
                id: row.id,
                bytes,
                is_cut: row.is_cut,
            });
        }
        let end = if rows.len() == total {
            if is_last { RowsEnd::Record } else { RowsEnd::Piece }
        } else if is_page_full || rows.len() == limits.rows {
            RowsEnd::Page
        } else {
            RowsEnd::Piece
        };
        PieceRows { rows, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(sizes: &[usize], most: i32) -> Vec<MeasuredRow> {
        let row = |(at, size): (usize, &usize)| {
            let size = i32::try_from(*size).expect("a size");
            MeasuredRow {
                key: at as i64,
                rtype: "Observation".into(),
                id: at.to_string(),
                size,
                bytes: (size <= most).then(|| vec![0; usize::try_from(size).expect("a size")]),
                is_cut: false,
            }
        };
        sizes.iter().enumerate().map(row).collect()
    }

    fn page(rows: usize, page_bytes: usize, is_page_empty: bool) -> PieceLimits {
        PieceLimits {
            rows,
            page_bytes,
            is_page_empty,
            ..PieceLimits::STREAM
        }
    }

    #[test]
    fn t_b07_a_read_is_bounded_in_bytes_and_a_large_row_is_read_alone_with_room() {
        let mut reads = Reads::default();
        let first = reads.next(i64::MAX);
        assert_eq!((first.rows, first.most, first.asks_room), (64, 32 * 1024, None));
        let cut = reads.cut(found(&[10, 20, 5 << 20, 10], first.most), PieceLimits::STREAM, true);
        assert_eq!((cut.rows.len(), cut.end), (2, RowsEnd::Piece));
        // The next read begins with the large one, of which it only learns the size.
        reads.took(2, 30);
        let next = reads.next(i64::MAX);
        assert_eq!(next.rows, 512);
        let cut = reads.cut(found(&[5 << 20, 10], next.most), PieceLimits::STREAM, true);
        assert_eq!((cut.rows.len(), cut.end), (0, RowsEnd::Piece));
        let alone = reads.next(i64::MAX);
        assert_eq!((alone.rows, alone.asks_room), (1, Some(5 << 20)));
        let cut = reads.cut(found(&[5 << 20], alone.most), PieceLimits::STREAM, false);
        assert_eq!((cut.rows.len(), cut.end), (1, RowsEnd::Piece));
        assert_eq!(reads.next(i64::MAX).asks_room, None, "it goes on as before");
    }

    #[test]
    fn a_page_ends_at_its_rows_and_at_its_bytes() {
        let cut = |sizes: &[usize], limits, is_last| {
            let cut = Reads::default().cut(found(sizes, i32::MAX), limits, is_last);
            (cut.rows.len(), cut.end)
        };
        assert_eq!(cut(&[1, 1], page(2, 100, true), true), (2, RowsEnd::Record));
        assert_eq!(cut(&[1, 1, 1], page(2, 100, true), false), (2, RowsEnd::Page));
        assert_eq!(cut(&[1, 1], page(2, 100, true), false), (2, RowsEnd::Piece));
        assert_eq!(cut(&[1], page(0, 100, false), false), (0, RowsEnd::Page));
        assert_eq!(cut(&[60, 60], page(9, 100, true), true), (1, RowsEnd::Piece));
        assert_eq!(cut(&[60], page(9, 40, false), true), (0, RowsEnd::Page));
        assert_eq!(cut(&[500], page(9, 100, true), true), (1, RowsEnd::Record));
        assert_eq!(cut(&[], page(9, 100, true), true), (0, RowsEnd::Record));
    }
}
