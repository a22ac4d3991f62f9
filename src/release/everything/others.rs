//! The shared resources that a record refers to, as the end of its stream or as pages of their own.

use super::rows::{Leaving, PIECE_BYTES, PieceLimits, PieceRows, READ_BYTES, RowsEnd};
use super::{Everything, SEARCHSET};
use crate::error::Failure;
use crate::fhir::bundle::Bundle;
use crate::release::supporting::ResourceName;
use crate::store::record_rows;
use bytes::{Bytes, BytesMut};

/// Shared resources that are read at once.
const SUPPORTING_ROWS: i64 = 64;
/// About how many bytes of shared resources a page of them has; it is one piece.
const SUPPORTING_PAGE_BYTES: usize = 512 * 1024;

impl Everything {
    /// The next shared resources that were referred to; also notes the resources that they refer to.
    pub(super) async fn supporting(
        &mut self,
        room: &mut impl AsyncFnMut(usize) -> Result<(), Failure>,
    ) -> Result<Option<Bytes>, Failure> {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
        self.underway.judge_in_time().await?;
        let rows = self.load_supporting(room).await?;
        match rows {
            None => self.end(&mut piece, None),
            Some(rows) => {
                for row in rows {
                    self.put_entry(&mut piece, &row, "include");
                }
            }
        }
        self.piece(piece)
    }

    /// A page of the shared resources. The record is read again for its references, because a page link does not hold them.
    pub(super) async fn supporting_page(
        &mut self,
        left_out: i64,
        room: &mut impl AsyncFnMut(usize) -> Result<(), Failure>,
    ) -> Result<Option<Bytes>, Failure> {
        let only_read = PieceLimits {
            bytes: READ_BYTES,
            ..PieceLimits::STREAM
        };
        loop {
            let PieceRows { rows, end } = self.rows_after(only_read, room).await?;
            for row in &rows {
                self.last_key = row.key;
                self.supporting.note(&row.bytes, &self.ctx.payer.base_url);
            }
            if end == RowsEnd::Record {
                break;
            }
        }
        let mut piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
        self.bundle = Bundle::begin(&mut piece, SEARCHSET);
        let count = self.query.count.unwrap_or(i64::MAX);
        let most = self.query.most_bytes.unwrap_or(usize::MAX).min(SUPPORTING_PAGE_BYTES);
        let (mut seen, mut more) = (0, false);
        'page: while let Some(rows) = self.load_supporting(room).await? {
            for row in rows {
                if seen < left_out {
                    seen += 1;
                    continue;
                }
                let is_full = self.sent_rows > 0 && self.sent_bytes + row.bytes.len() > most;
                if self.sent_rows >= count || is_full {
                    more = true;
                    break 'page;
                }
                seen += 1;
                self.put_entry(&mut piece, &row, "include");
            }
        }
        // It may have waited for room.
        self.underway.judge_in_time().await?;
        self.end(&mut piece, more.then_some(-1 - seen));
        self.piece(piece)
    }

    /// The next shared resources that were referred to, in a fixed order; `None` when there are no more.
    async fn load_supporting(
        &mut self,
        room: &mut impl AsyncFnMut(usize) -> Result<(), Failure>,
    ) -> Result<Option<Vec<Leaving>>, Failure> {
        loop {
            let read = self.supporting_reads.next(SUPPORTING_ROWS);
            let names = self.supporting.take(usize::try_from(read.rows).unwrap_or(1));
            if names.is_empty() {
                return Ok(None);
            }
            if let Some(bytes) = read.asks_room {
                room(bytes).await?;
            }
            let window = self.query.window.clone();
            let found = self
                .load_by(move |db| record_rows::shared_rows(db, &names, &window, read.most))
                .await?;
            let is_none = found.is_empty();
            let there: Vec<ResourceName> = found.iter().map(|row| (row.rtype.clone(), row.id.clone())).collect();
            let PieceRows { rows, .. } = self.supporting_reads.cut(found, PieceLimits::STREAM, true);
            self.supporting.put_back(there.into_iter().skip(rows.len()));
            if rows.is_empty() && !is_none {
                // The first one is too large to have come with others.
                continue;
            }
            for row in &rows {
                self.supporting.note(&row.bytes, &self.ctx.payer.base_url);
            }
            return Ok(Some(rows));
        }
    }
}
