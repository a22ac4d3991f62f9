//! `Patient/$everything`: a member's record as one searchset Bundle, streamed from the store in constant memory.
//!
//! Stored resources are copied unchanged into the Bundle; the member's own resources come first, then the shared resources that they refer
//! to, then one Provenance that says who transmits ([`super::transmitter`]). When access is revoked in the middle, the stream fails ([`super::underway`]) and the connection is closed, so that the client cannot
//! take a part for the whole record.

use super::outgoing::Open;
use super::supporting::Supporting;
use super::transmitter;
use super::underway::{AnswerTerms, Underway};
use super::{Begun, Tally, begin, entry, find_and_begin, is_shared, refuse};
use crate::audit::{Action, EntryOutcome};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::bundle::{Bundle, SEARCHSET};
use crate::security::Caller;
use crate::store::Db;
use crate::store::disclosure::{self, DisclosureBasis, LiveGrant};
use crate::store::record_rows::{self, Leaving, Window};
use bytes::{Bytes, BytesMut};

/// Rows of the first read; later reads take as many as make about [`PIECE_BYTES`].
const FIRST_ROWS: i64 = 64;
/// Target size of one piece of the stream in bytes.
const PIECE_BYTES: usize = 112 * 1024;

/// Shared resources that are read at once.
const SUPPORTING_ROWS: usize = 64;

/// The parameters of the request: which resources, and which page if pages were asked for.
#[derive(Clone, Debug, Default)]
pub struct EverythingQuery {
    /// Types and dates of the wanted resources.
    pub window: Window,
    /// Entries on a page; `None` for all in one answer.
    pub count: Option<i64>,
    /// The key of the last row of the page before.
    pub after_key: Option<i64>,
}

/// A disclosure in progress. If it is dropped before its end, the ledger notes that it was broken off.
pub struct Everything {
    ctx: Context,
    underway: Underway,
    grant: LiveGrant,
    query: EverythingQuery,
    links: Box<dyn Fn(i64) -> String + Send + Sync>,
    self_link: String,
    last_key: i64,
    rows_wanted: i64,
    sent_rows: i64,
    /// The resources of the piece that is being made.
    counts: Tally,
    supporting: Supporting,
    phase: Phase,
    stays_open: bool,
    bundle: Bundle,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head,
    Rows,
    /// The shared resources that the rows referred to.
    Supporting,
    /// A page of the shared resources; this many are skipped before it.
    SupportingPage(i64),
    Done,
}

/// Finds the live grant on a member and commits the ledger entry *begun* of the disclosure.
async fn granted(
    ctx: &Context,
    caller: &Caller,
    partner: String,
    id: String,
    now_ms: i64,
) -> Result<Option<(LiveGrant, Begun)>, Failure> {
    if ctx.store.is_remote() {
        let find = move |db: &mut Db, entry: &_| disclosure::live_grant_begun(db, &partner, &id, now_ms, entry);
        return find_and_begin(ctx, caller, find, |grant| grant).await;
    }
    let grant = ctx
        .store
        .read(move |db| disclosure::live_grant(db, &partner, &id, now_ms))
        .await?;
    let Some(grant) = grant else { return Ok(None) };
    let begun = begin(ctx, vec![entry(Action::DisclosureBegun, caller, &grant)]).await?;
    Ok(begun.into_iter().next().map(|begun| (grant, begun)))
}

impl Everything {
    /// Checks the grant and commits the ledger entry *begun*. `terms` are checked while the answer is sent; `self_link` is the absolute URL
    /// of this answer, and `links` makes the URL of the page after a key.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when there is no such member or no live grant: the same answer for both.
    pub async fn begin(
        ctx: &Context,
        caller: &Caller,
        terms: AnswerTerms,
        id: &str,
        query: EverythingQuery,
        self_link: String,
        links: Box<dyn Fn(i64) -> String + Send + Sync>,
    ) -> Result<Everything, Failure> {
        let now_ms = ctx.clock.now_ms();
        let partner = caller.partner.id.clone();
        let narrowed_away = caller.patient_id.as_deref().is_some_and(|only| only != id);
        let found = if narrowed_away || !crate::ids::is_fhir_id(id) {
            None
        } else {
            let (partner, id) = (partner.clone(), id.to_owned());
            granted(ctx, caller, partner, id, now_ms).await?
        };
        let Some((grant, begun)) = found else {
            return Err(refuse(ctx, caller, Fault::NotFound).await);
        };
        let first = record_rows::start_of(grant.compartment);
        let last_key = query.after_key.map_or(first, |after| after.max(first));
        let phase = match query.after_key {
            Some(place) if place < 0 => Phase::SupportingPage(-1 - place),
            _ => Phase::Head,
        };
        Ok(Everything {
            ctx: ctx.clone(),
            underway: Underway::new(ctx, terms, caller, (&grant.id, now_ms), Some(begun)),
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
            stays_open: false,
            bundle: Bundle::default(),
        })
    }

    /// The next piece of the Bundle; `None` after the last one.
    ///
    /// # Errors
    /// Those of the store; or the reason why the answer must stop, such as [`Fault::NotFound`] when the grant ended meanwhile. The caller
    /// must then close the connection.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.phase != Phase::Done {
            self.underway.may_go_on()?;
        }
        match self.phase {
            Phase::Done => Ok(None),
            Phase::Head => {
                self.phase = Phase::Rows;
                let mut piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
                self.bundle = Bundle::begin(&mut piece, SEARCHSET);
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

    /// Keeps the disclosure open after its last piece, because the answer is converted to another form. [`Self::into_open`] then returns
    /// what has to be ended.
    pub fn stay_open(&mut self) {
        self.stays_open = true;
    }

    /// The disclosure that has to be ended after the last piece, if [`Self::stay_open`] was called.
    pub fn into_open(self) -> Option<Open> {
        self.stays_open.then(|| Open::new(self.underway))
    }

    /// Ends the disclosure before the first piece, because only the headers are sent (HEAD). It is recorded as completed, with no bytes.
    pub fn head_only(self) {
        self.underway.end(EntryOutcome {
            class: "ok",
            http: Some(200),
            reason: None,
        });
    }

    async fn rows(&mut self, mut piece: BytesMut) -> Result<Option<Bytes>, Failure> {
        let left = self.query.count.map_or(i64::MAX, |count| {
            // A page has room for the record of who transmits, unless it has room for one entry only.
            let taken = i64::from(count > 1 && self.wants_transmitter());
            count - taken - self.sent_rows
        });
        let limit = self.rows_wanted.min(left.saturating_add(1));
        let rows = self.rows_after(limit).await?;
        let ended = i64::try_from(rows.len()).unwrap_or(i64::MAX) < limit;
        let page_full = !ended && limit > left;
        let brings_others = self.brings_others();
        let mut bytes = 0;
        let total = rows.len();
        for row in rows.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
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
        // Without shared resources the answer ends here. An empty Bundle removes its `entry` array again, which must not have been sent
        // yet.
        if ended && brings_others && self.query.count.is_none() && !self.supporting.is_empty() {
            self.phase = Phase::Supporting;
        } else if ended || page_full {
            let none_named = self.query.after_key.is_none() && self.supporting.is_empty();
            let next = if page_full {
                Some(self.last_key)
            } else {
                // Earlier pages may have referred to shared resources.
                (brings_others && !none_named).then_some(-1)
            };
            self.end(&mut piece, next);
        }
        self.piece(piece)
    }

    /// Whether shared resources are among the wanted types.
    fn brings_others(&self) -> bool {
        let types = &self.query.window.types;
        types.is_empty() || types.iter().any(|rtype| is_shared(rtype))
    }

    /// The next shared resources that were referred to; also notes the resources that they refer to.
    async fn supporting(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
        self.underway.judge_in_time().await?;
        let rows = self.load_supporting().await?;
        match rows {
            None => self.end(&mut piece, None),
            Some(rows) => {
                for row in rows {
                    self.sent_rows += 1;
                    self.put_entry(&mut piece, &row, "include");
                }
            }
        }
        self.piece(piece)
    }

    /// A page of the shared resources. The record is read again for its references, because a page link does not hold them.
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
        self.bundle = Bundle::begin(&mut piece, SEARCHSET);
        let (mut seen, mut more) = (0, false);
        let count = self.query.count.unwrap_or(i64::MAX);
        while let Some(rows) = self.load_supporting().await? {
            for row in rows {
                seen += 1;
                more = seen > left_out.saturating_add(count);
                if seen <= left_out || more {
                    continue;
                }
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

    /// The next shared resources that were referred to, in a fixed order; `None` when there are no more.
    async fn load_supporting(&mut self) -> Result<Option<Vec<Leaving>>, Failure> {
        let names = self.supporting.take(SUPPORTING_ROWS);
        if names.is_empty() {
            return Ok(None);
        }
        let window = self.query.window.clone();
        let rows = self
            .load_by(move |db| record_rows::shared_rows(db, &names, &window))
            .await?;
        for row in &rows {
            self.supporting.note(&row.bytes, &self.ctx.payer.base_url);
        }
        Ok(Some(rows))
    }

    /// Whether the answer has the record of who transmits when anything is sent: the first page of a record does, if Provenance is among the
    /// wanted types.
    fn wants_transmitter(&self) -> bool {
        let types = &self.query.window.types;
        let is_wanted = types.is_empty() || types.iter().any(|rtype| rtype == "Provenance");
        is_wanted && self.query.after_key.is_none()
    }

    fn end(&mut self, piece: &mut BytesMut, next: Option<i64>) {
        if self.sent_rows > 0 && self.wants_transmitter() {
            let made = transmitter::of_record(&self.ctx.payer, &self.grant);
            self.counts.add(&made.rtype);
            let full_url: [&str; 5] = [&self.ctx.payer.base_url, "/", &made.rtype, "/", &made.id];
            self.bundle.found(piece, &full_url, made.bytes(), "include");
        }
        self.put_tail(piece, next);
        self.phase = Phase::Done;
    }

    fn piece(&mut self, piece: BytesMut) -> Result<Option<Bytes>, Failure> {
        let counts = std::mem::take(&mut self.counts);
        let is_end = self.phase == Phase::Done && !self.stays_open;
        self.underway.send(piece.len(), counts, is_end)?;
        Ok(Some(piece.freeze()))
    }

    /// The next rows. An empty result is the end of the record only if the grant, consent and registration under which it was read are
    /// still valid; otherwise the answer would silently lack a part of the record.
    async fn rows_after(&self, limit: i64) -> Result<Vec<Leaving>, Failure> {
        loop {
            let basis = self.underway.basis();
            let asked_under = basis.partner_version;
            let rows = self.load(basis, limit).await?;
            if !rows.is_empty() {
                self.underway.was_judged();
                return Ok(rows);
            }
            if self.underway.judge().await? == asked_under {
                return Ok(rows);
            }
        }
    }

    async fn load(&self, basis: DisclosureBasis, limit: i64) -> Result<Vec<Leaving>, Failure> {
        let (grant, window) = (self.grant.clone(), self.query.window.clone());
        let after = self.last_key;
        self.load_by(move |db| record_rows::page(db, &basis, &grant, &window, after, limit))
            .await
    }

    /// Runs a read of rows. A page of the shared resources reads the whole record again, so its reads wait for the partner's turn and leave
    /// the thread to others meanwhile.
    async fn load_by<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        match self.phase {
            Phase::SupportingPage(_) => self.ctx.store.read_in_turn(&self.underway.basis().partner, work).await,
            _ => self.ctx.store.read(work).await,
        }
    }

    fn put_entry(&mut self, piece: &mut BytesMut, row: &Leaving, mode: &'static str) -> usize {
        self.counts.add(&row.rtype);
        let before = piece.len();
        let full_url: [&str; 5] = [&self.ctx.payer.base_url, "/", &row.rtype, "/", &row.id];
        self.bundle.found(piece, &full_url, &row.bytes, mode);
        piece.len() - before
    }

    /// The links come after the entries, because only then is it known whether there is a next page.
    fn put_tail(&mut self, piece: &mut BytesMut, next: Option<i64>) {
        let mut links = vec![("self", self.self_link.clone())];
        links.extend(next.map(|place| ("next", (self.links)(place))));
        self.bundle.close_entries(piece);
        self.bundle.links(piece, &links);
        self.bundle.end(piece);
    }
}
