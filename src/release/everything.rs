//! `Patient/$everything`: a member's record as one searchset Bundle, streamed from the store in flat memory.
//!
//! Stored bytes go out untouched between the Bundle's own few; after the member's own come the shared resources they name. What is
//! taken away midway ends the stream ([`super::underway`]): the connection is broken off, so that what came cannot be taken for
//! the whole.

use super::supporting::Supporting;
use super::underway::{Terms, Underway};
use super::{Tally, begin, entry, is_shared, refuse};
use crate::audit::{Action, Outcome};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::Caller;
use crate::store::disclosure::{self, Basis, Leaving, LiveGrant, Window};
use bytes::{BufMut as _, Bytes, BytesMut};

/// Rows read at once, at first; then as many as make about [`PIECE_BYTES`].
const FIRST_ROWS: i64 = 64;
/// Bytes that one piece of the stream aims at.
const PIECE_BYTES: usize = 112 * 1024;

/// Shared resources read at once.
const SUPPORTING_ROWS: usize = 64;
const HEAD: &[u8] = b"{\"resourceType\":\"Bundle\",\"type\":\"searchset\"";

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
    underway: Underway,
    grant: LiveGrant,
    query: Query,
    links: Box<dyn Fn(i64) -> String + Send + Sync>,
    self_link: String,
    last_key: i64,
    rows_wanted: i64,
    sent_rows: i64,
    /// Of the piece that is being made.
    counts: Tally,
    supporting: Supporting,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Rows,
    /// The shared resources that the rows named.
    Supporting,
    /// A page of them, this many left out before it.
    SupportingPage(i64),
    Done,
}

impl Everything {
    /// Checks the grant and makes the intent to disclose durable. `terms` hold while it goes out; `self_link` is the absolute URL of this answer, `links`
    /// makes the URL of the page after a key.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when the member is not there or not granted: one answer for both.
    pub async fn begin(
        ctx: &Context,
        caller: &Caller,
        terms: Terms,
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
        let begun = begin(ctx, vec![entry(Action::DisclosureBegun, caller, &grant)]).await?;
        let first = disclosure::start_of(grant.compartment);
        let last_key = query.after_key.map_or(first, |after| after.max(first));
        let phase = match query.after_key {
            Some(place) if place < 0 => Phase::SupportingPage(-1 - place),
            _ => Phase::Head,
        };
        Ok(Everything {
            ctx: ctx.clone(),
            underway: Underway::new(ctx, terms, caller, (&grant.id, now_ms), begun.into_iter().next()),
            grant,
            query,
            links,
            self_link,
            last_key,
            rows_wanted: FIRST_ROWS,
            sent_rows: 0,
            counts: Tally::default(),
            supporting: Supporting::default(),
            phase,
        })
    }

    /// The next piece of the Bundle; `None` after the last.
    ///
    /// # Errors
    /// Those of the store; why the answer may not go on, such as [`Fault::NotFound`] when the grant ended meanwhile. The stream must
    /// then be broken off.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.phase != Phase::Done {
            self.underway.may_go_on()?;
        }
        match self.phase {
            Phase::Done => Ok(None),
            Phase::Head => {
                self.phase = Phase::Rows;
                let mut piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
                piece.put_slice(HEAD);
                self.rows(piece).await
            }
            Phase::Supporting => self.supporting().await,
            Phase::SupportingPage(left_out) => self.supporting_page(left_out).await,
            Phase::Rows => {
                let piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
                self.rows(piece).await
            }
        }
    }

    /// Ends it before the first piece, for who wants the head of the answer only. It is completed, with no bytes.
    pub fn head_only(self) {
        self.underway.end(Outcome {
            class: "ok",
            http: Some(200),
            reason: None,
        });
    }

    async fn rows(&mut self, mut piece: BytesMut) -> Result<Option<Bytes>, Failure> {
        let left = self.query.count.map_or(i64::MAX, |count| count - self.sent_rows);
        let limit = self.rows_wanted.min(left.saturating_add(1));
        let rows = self.rows_after(limit).await?;
        let ended = i64::try_from(rows.len()).unwrap_or(i64::MAX) < limit;
        let page_full = !ended && limit > left;
        let brings_others = self.brings_others();
        let mut bytes = 0;
        let total = rows.len();
        for row in rows.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            self.put_sign(&mut piece);
            self.last_key = row.key;
            self.sent_rows += 1;
            if brings_others {
                self.supporting.note(&row.bytes, &self.ctx.payer.base_url);
            }
            bytes += self.put_entry(&mut piece, &row, "match");
        }
        if total > 0 && !page_full {
            self.rows_wanted = i64::try_from(PIECE_BYTES * total / bytes.max(1))
                .unwrap_or(FIRST_ROWS)
                .clamp(4, 512);
        }
        // With nothing named the answer ends here: an empty Bundle takes its `entry` back, which must not have left yet.
        if ended && brings_others && self.query.count.is_none() && !self.supporting.is_empty() {
            self.phase = Phase::Supporting;
        } else if ended || page_full {
            let none_named = self.query.after_key.is_none() && self.supporting.is_empty();
            let next = if page_full {
                Some(self.last_key)
            } else {
                // Earlier pages may have named some.
                (brings_others && !none_named).then_some(-1)
            };
            self.end(&mut piece, next);
        }
        self.piece(piece)
    }

    /// Whether shared resources are among the types that are wanted.
    fn brings_others(&self) -> bool {
        let types = &self.query.window.types;
        types.is_empty() || types.iter().any(|rtype| is_shared(rtype))
    }

    /// The next of the shared resources that were named, and what these name.
    async fn supporting(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
        self.underway.judge().await?;
        let rows = self.load_supporting().await?;
        match rows {
            None => self.end(&mut piece, None),
            Some(rows) => {
                for row in rows {
                    self.put_sign(&mut piece);
                    self.sent_rows += 1;
                    self.put_entry(&mut piece, &row, "include");
                }
            }
        }
        self.piece(piece)
    }

    /// A page of the shared resources. The record is read again for what it names: a page link carries no list.
    async fn supporting_page(&mut self, left_out: i64) -> Result<Option<Bytes>, Failure> {
        loop {
            let rows = self.rows_after(FIRST_ROWS).await?;
            let Some(last) = rows.last() else { break };
            self.last_key = last.key;
            for row in &rows {
                self.supporting.note(&row.bytes, &self.ctx.payer.base_url);
            }
        }
        let mut piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
        piece.put_slice(HEAD);
        let (mut seen, mut more) = (0, false);
        let count = self.query.count.unwrap_or(i64::MAX);
        while let Some(rows) = self.load_supporting().await? {
            for row in rows {
                seen += 1;
                more = seen > left_out.saturating_add(count);
                if seen <= left_out || more {
                    continue;
                }
                self.put_sign(&mut piece);
                self.sent_rows += 1;
                self.put_entry(&mut piece, &row, "include");
            }
            if more {
                break;
            }
        }
        let next = more.then(|| -1 - left_out - count);
        self.end(&mut piece, next);
        self.piece(piece)
    }

    /// Some of the shared resources that were named, in a settled order; `None` when there are no more.
    async fn load_supporting(&mut self) -> Result<Option<Vec<Leaving>>, Failure> {
        let names = self.supporting.take(SUPPORTING_ROWS);
        if names.is_empty() {
            return Ok(None);
        }
        let window = self.query.window.clone();
        let rows = self
            .ctx
            .store
            .read(move |db| disclosure::shared_rows(db, &names, &window))
            .await?;
        for row in &rows {
            self.supporting.note(&row.bytes, &self.ctx.payer.base_url);
        }
        Ok(Some(rows))
    }

    fn end(&mut self, piece: &mut BytesMut, next: Option<i64>) {
        self.put_tail(piece, next);
        self.phase = Phase::Done;
    }

    fn piece(&mut self, piece: BytesMut) -> Result<Option<Bytes>, Failure> {
        let counts = std::mem::take(&mut self.counts);
        self.underway.send(piece.len(), counts, self.phase == Phase::Done)?;
        Ok(Some(piece.freeze()))
    }

    /// The next rows. That there are none is the end of the record only if all that they were asked under still stands: else the
    /// record would be cut unseen.
    async fn rows_after(&self, limit: i64) -> Result<Vec<Leaving>, Failure> {
        loop {
            let basis = self.underway.basis();
            let asked_under = basis.partner_version;
            let rows = self.load(basis, limit).await?;
            if !rows.is_empty() || self.underway.judge().await? == asked_under {
                return Ok(rows);
            }
        }
    }

    async fn load(&self, basis: Basis, limit: i64) -> Result<Vec<Leaving>, Failure> {
        let (grant, window) = (self.grant.clone(), self.query.window.clone());
        let after = self.last_key;
        self.ctx
            .store
            .read(move |db| disclosure::page(db, &basis, &grant, &window, after, limit))
            .await
    }

    fn put_entry(&mut self, piece: &mut BytesMut, row: &Leaving, mode: &str) -> usize {
        self.counts.add(&row.rtype);
        let before = piece.len();
        piece.put_slice(b"{\"fullUrl\":\"");
        piece.put_slice(self.ctx.payer.base_url.as_bytes());
        piece.put_u8(b'/');
        piece.put_slice(row.rtype.as_bytes());
        piece.put_u8(b'/');
        piece.put_slice(row.id.as_bytes());
        piece.put_slice(b"\",\"resource\":");
        piece.put_slice(&row.bytes);
        piece.put_slice(b",\"search\":{\"mode\":\"");
        piece.put_slice(mode.as_bytes());
        piece.put_slice(b"\"}}");
        piece.len() - before
    }

    /// What stands before an entry. FHIR forbids an empty array, so `entry` begins with the first one, whichever piece has it.
    fn put_sign(&self, piece: &mut BytesMut) {
        piece.put_slice(if self.sent_rows == 0 { b",\"entry\":[" } else { b"," });
    }

    fn put_tail(&self, piece: &mut BytesMut, next: Option<i64>) {
        if self.sent_rows > 0 {
            piece.put_u8(b']');
        }
        let mut links = vec![serde_json::json!({"relation": "self", "url": self.self_link})];
        if let Some(place) = next {
            links.push(serde_json::json!({"relation": "next", "url": (self.links)(place)}));
        }
        piece.put_slice(b",\"link\":");
        piece.put_slice(serde_json::Value::Array(links).to_string().as_bytes());
        piece.put_u8(b'}');
    }
}
