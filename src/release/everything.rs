//! `Patient/$everything`: a member's record as one searchset Bundle, streamed from the store in flat memory.
//!
//! Stored bytes go out untouched between the Bundle's own few. A grant that ends midway ends the stream: the connection is
//! broken off, so that what came cannot be taken for the whole.

use super::{begin, complete, entry, refuse};
use crate::audit::{Action, Entry, Outcome};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::Caller;
use crate::store::disclosure::{self, Leaving, LiveGrant, Window};
use bytes::{BufMut as _, Bytes, BytesMut};

/// Rows read at once, at first; then as many as make about [`PIECE_BYTES`].
const FIRST_ROWS: i64 = 64;
/// Bytes that one piece of the stream aims at.
const PIECE_BYTES: usize = 112 * 1024;

/// What is asked: the window, and the page when pages are wanted.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Types and dates.
    pub window: Window,
    /// Entries on a page; all in one answer when absent.
    pub count: Option<i64>,
    /// The key after which to go on.
    pub after_key: Option<i64>,
}

/// A disclosure in progress. Dropping it early notes that it was broken off.
pub struct Everything {
    ctx: Context,
    partner: String,
    grant: LiveGrant,
    query: Query,
    begun: Option<Entry>,
    links: Box<dyn Fn(i64) -> String + Send + Sync>,
    self_link: String,
    last_key: i64,
    rows_wanted: i64,
    sent_rows: i64,
    sent_bytes: u64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Rows,
    Done,
}

impl Everything {
    /// Checks the grant and makes the intent to disclose durable. `self_link` is the absolute URL of this answer, `links`
    /// makes the URL of the page after a key.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when the member is not there or not granted: one answer for both.
    pub async fn begin(
        ctx: &Context,
        caller: &Caller,
        id: &str,
        query: Query,
        self_link: String,
        links: Box<dyn Fn(i64) -> String + Send + Sync>,
    ) -> Result<Everything, Failure> {
        let now_ms = ctx.clock.now_ms();
        let partner = caller.partner.id.clone();
        let narrowed_away = caller.patient_id.as_deref().is_some_and(|only| only != id);
        let grant = if narrowed_away || !crate::ids::is_fhir_id(id) {
            None
        } else {
            let (partner, id) = (partner.clone(), id.to_owned());
            ctx.store
                .read(move |db| disclosure::live_grant(db, &partner, &id, now_ms))
                .await?
        };
        let Some(grant) = grant else {
            return Err(refuse(ctx, caller, Fault::NotFound).await);
        };
        let begun = entry(Action::DisclosureBegun, caller, &grant);
        begin(ctx, vec![begun.clone()]).await?;
        let first = disclosure::start_of(grant.compartment);
        let last_key = query.after_key.map_or(first, |after| after.max(first));
        Ok(Everything {
            ctx: ctx.clone(),
            partner,
            grant,
            query,
            begun: Some(begun),
            links,
            self_link,
            last_key,
            rows_wanted: FIRST_ROWS,
            sent_rows: 0,
            sent_bytes: 0,
            phase: Phase::Head,
        })
    }

    /// The next piece of the Bundle; `None` after the last.
    ///
    /// # Errors
    /// Those of the store, and [`Fault::NotFound`] when the grant ended meanwhile. The stream must then be broken off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.phase {
            Phase::Done => Ok(None),
            Phase::Head => {
                self.phase = Phase::Rows;
                let mut piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
                piece.put_slice(b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"entry\":[");
                self.rows(piece).await
            }
            Phase::Rows => {
                let piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
                self.rows(piece).await
            }
        }
    }

    /// Ends it before the first piece, for who wants the head of the answer only. It is completed, with no bytes.
    pub fn head_only(mut self) {
        self.phase = Phase::Done;
        self.finish(Outcome {
            class: "ok",
            http: Some(200),
            reason: None,
        });
    }

    async fn rows(&mut self, mut piece: BytesMut) -> Result<Option<Bytes>, Failure> {
        let left = self.query.count.map_or(i64::MAX, |count| count - self.sent_rows);
        let limit = self.rows_wanted.min(left.saturating_add(1));
        let rows = self.load(limit).await?;
        let ended = i64::try_from(rows.len()).unwrap_or(i64::MAX) < limit;
        let page_full = !ended && limit > left;
        let mut bytes = 0;
        let total = rows.len();
        for row in rows.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            if self.sent_rows > 0 {
                piece.put_u8(b',');
            }
            self.last_key = row.key;
            self.sent_rows += 1;
            bytes += self.put_entry(&mut piece, row);
        }
        if total > 0 && !page_full {
            self.rows_wanted = i64::try_from(PIECE_BYTES * total / bytes.max(1))
                .unwrap_or(FIRST_ROWS)
                .clamp(4, 512);
        }
        if ended || page_full {
            if ended {
                self.still_granted().await?;
            }
            self.put_tail(&mut piece, page_full);
            self.phase = Phase::Done;
        }
        self.sent_bytes += piece.len() as u64;
        if self.phase == Phase::Done {
            self.finish(Outcome {
                class: "ok",
                http: Some(200),
                reason: None,
            });
        }
        Ok(Some(piece.freeze()))
    }

    async fn load(&self, limit: i64) -> Result<Vec<Leaving>, Failure> {
        let (partner, grant, window) = (self.partner.clone(), self.grant.clone(), self.query.window.clone());
        let (after, now_ms) = (self.last_key, self.ctx.clock.now_ms());
        self.ctx
            .store
            .read(move |db| disclosure::page(db, &partner, &grant, &window, after, limit, now_ms))
            .await
    }

    /// An empty page is the end only while the grant lives; else it is a withdrawal.
    async fn still_granted(&mut self) -> Result<(), Failure> {
        let (partner, id, now_ms) = (
            self.partner.clone(),
            self.grant.patient_id.clone(),
            self.ctx.clock.now_ms(),
        );
        let live = self
            .ctx
            .store
            .read(move |db| disclosure::live_grant(db, &partner, &id, now_ms))
            .await?;
        if live.is_some() {
            return Ok(());
        }
        self.finish(Outcome {
            class: "failed",
            http: None,
            reason: Some(Fault::NotFound.code()),
        });
        Err(Fault::NotFound.into())
    }

    fn put_entry(&self, piece: &mut BytesMut, row: Leaving) -> usize {
        let before = piece.len();
        piece.put_slice(b"{\"fullUrl\":\"");
        piece.put_slice(self.ctx.payer.base_url.as_bytes());
        piece.put_u8(b'/');
        piece.put_slice(row.rtype.as_bytes());
        piece.put_u8(b'/');
        piece.put_slice(row.id.as_bytes());
        piece.put_slice(b"\",\"resource\":");
        piece.put_slice(&row.bytes);
        piece.put_slice(b",\"search\":{\"mode\":\"match\"}}");
        piece.len() - before
    }

    fn put_tail(&self, piece: &mut BytesMut, more: bool) {
        if self.sent_rows == 0 {
            // FHIR forbids an empty array, so an empty Bundle has no `entry` at all.
            let keep = piece.len() - b",\"entry\":[".len();
            piece.truncate(keep);
        } else {
            piece.put_u8(b']');
        }
        let mut links = vec![serde_json::json!({"relation": "self", "url": self.self_link})];
        if more {
            links.push(serde_json::json!({"relation": "next", "url": (self.links)(self.last_key)}));
        }
        piece.put_slice(b",\"link\":");
        piece.put_slice(serde_json::Value::Array(links).to_string().as_bytes());
        piece.put_u8(b'}');
    }

    fn finish(&mut self, outcome: Outcome) {
        if let Some(begun) = self.begun.take() {
            complete(&self.ctx, begun, outcome, self.sent_bytes);
        }
    }
}

impl Drop for Everything {
    fn drop(&mut self) {
        self.finish(Outcome {
            class: "failed",
            http: None,
            reason: None,
        });
    }
}
