//! `Patient/$everything`: a member's record as one searchset Bundle, streamed from the store in constant memory: a large resource takes
//! room before it is read.
//!
//! Stored resources are copied unchanged into the Bundle; the member's own resources come first, then the shared resources that they refer
//! to, then one Provenance that says who transmits ([`super::transmitter`]). When access is revoked in the middle, the stream fails ([`super::underway`]) and the connection is closed, so that the client cannot
//! take a part for the whole record.

mod others;
pub(super) mod rows;

use super::outgoing::Open;
use super::supporting::Supporting;
use super::transmitter;
use super::underway::{AnswerTerms, Underway};
use super::{BegunDisclosure, Tally, begin, entry, find_and_begin, is_shared, refuse};
use crate::audit::{EntryOutcome, RestCall};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::bundle::{Bundle, SEARCHSET};
use crate::security::Caller;
use crate::store::Db;
use crate::store::disclosure::{self, DisclosureBasis, LiveGrant};
use crate::store::record_rows::{self, RecordPage, RowsAsked, Window};
use bytes::{Bytes, BytesMut};
use rows::{Leaving, PIECE_BYTES, PieceLimits, PieceRows, Reads, RowsEnd};

/// The parameters of the request: which resources, and which page if pages were asked for.
#[derive(Clone, Debug, Default)]
pub struct EverythingQuery {
    /// Types and dates of the wanted resources.
    pub window: Window,
    /// Entries on a page; `None` for all in one answer.
    pub count: Option<i64>,
    /// About how many bytes of resources a page may have; a single larger resource is still sent.
    pub most_bytes: Option<usize>,
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
    /// The key up to which nothing more of the window is to be found.
    walked_to: i64,
    reads: Reads,
    sent_rows: i64,
    sent_bytes: usize,
    /// The resources of the piece that is being made.
    counts: Tally,
    supporting: Supporting,
    supporting_reads: Reads,
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
) -> Result<Option<(LiveGrant, BegunDisclosure)>, Failure> {
    if ctx.store.is_remote() {
        let find = move |db: &mut Db, entry: &_| disclosure::live_grant_begun(db, &partner, &id, now_ms, entry);
        return find_and_begin(ctx, caller, RestCall::Operation, find, |grant| grant).await;
    }
    let grant = ctx
        .store
        .read(move |db| disclosure::live_grant(db, &partner, &id, now_ms))
        .await?;
    let Some(grant) = grant else { return Ok(None) };
    let begun = begin(ctx, vec![entry(RestCall::Operation, caller, &grant)]).await?;
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
            return Err(refuse(ctx, caller, RestCall::Operation, Fault::NotFound).await);
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
            walked_to: last_key,
            reads: Reads::default(),
            sent_rows: 0,
            sent_bytes: 0,
            counts: Tally::default(),
            supporting: Supporting::default(),
            supporting_reads: Reads::default(),
            phase,
            stays_open: false,
            bundle: Bundle::default(),
        })
    }

    /// The next piece of the Bundle; `None` after the last one. It may be empty. `room` is asked for the memory that a large resource takes,
    /// before it is read, and may wait.
    ///
    /// # Errors
    /// Those of the store and of `room`; or the reason why the answer must stop, such as [`Fault::NotFound`] when the grant ended meanwhile.
    /// The caller must then close the connection.
    pub async fn next(
        &mut self,
        mut room: impl AsyncFnMut(usize) -> Result<(), Failure>,
    ) -> Result<Option<Bytes>, Failure> {
        if self.phase != Phase::Done {
            self.underway.may_go_on()?;
        }
        match self.phase {
            Phase::Done => Ok(None),
            Phase::Head => {
                self.phase = Phase::Rows;
                let mut piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
                self.bundle = Bundle::begin(&mut piece, SEARCHSET);
                self.rows(piece, &mut room).await
            }
            Phase::Supporting => self.supporting(&mut room).await,
            Phase::SupportingPage(left_out) => self.supporting_page(left_out, &mut room).await,
            Phase::Rows => {
                let piece = BytesMut::with_capacity(PIECE_BYTES + 4096);
                self.rows(piece, &mut room).await
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

    async fn rows(
        &mut self,
        mut piece: BytesMut,
        room: &mut impl AsyncFnMut(usize) -> Result<(), Failure>,
    ) -> Result<Option<Bytes>, Failure> {
        let left = self.query.count.map_or(i64::MAX, |count| {
            // A page has room for the record of who transmits, unless it has room for one entry only.
            let taken = i64::from(count > 1 && self.wants_transmitter());
            count - taken - self.sent_rows
        });
        let limits = PieceLimits {
            rows: usize::try_from(left).unwrap_or(usize::MAX),
            page_bytes: self.page_bytes_left(),
            is_page_empty: self.sent_rows == 0,
            ..PieceLimits::STREAM
        };
        let PieceRows { rows, end } = self.rows_after(limits, room).await?;
        let (ended, page_full) = (end == RowsEnd::Record, end == RowsEnd::Page);
        let brings_others = self.brings_others();
        let (before, total) = (piece.len(), rows.len());
        // No more than it takes, because a large row would double what the piece has.
        piece.reserve(rows.iter().map(|row| row.bytes.len() + 256).sum::<usize>() + 4096);
        for row in rows {
            self.last_key = row.key;
            if brings_others {
                self.supporting.note(&row.bytes, &self.ctx.payer.base_url);
            }
            self.put_entry(&mut piece, &row, "match");
        }
        self.reads.took(total, piece.len() - before);
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

    /// How many bytes of resources the page still takes.
    fn page_bytes_left(&self) -> usize {
        let most = self.query.most_bytes.unwrap_or(usize::MAX);
        most.saturating_sub(self.sent_bytes)
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

    /// The next rows. That none are found is the end of the record only if the grant, consent and registration under which they were read
    /// are still valid; otherwise the answer would silently lack a part of the record.
    async fn rows_after(
        &mut self,
        limits: PieceLimits,
        room: &mut impl AsyncFnMut(usize) -> Result<(), Failure>,
    ) -> Result<PieceRows, Failure> {
        let one_more = i64::try_from(limits.rows).map_or(i64::MAX, |rows| rows.saturating_add(1));
        loop {
            let read = self.reads.next(one_more);
            if let Some(bytes) = read.asks_room {
                room(bytes).await?;
                self.underway.may_go_on()?;
            }
            let basis = self.underway.basis();
            let asked_under = basis.partner_version;
            let asked = RowsAsked {
                after_key: self.last_key.max(self.walked_to),
                rows: read.rows,
                most: read.most,
            };
            let RecordPage { rows: found, walked_to } = self.load(basis, asked).await?;
            if !found.is_empty() {
                self.underway.was_judged();
                let is_short = i64::try_from(found.len()).is_ok_and(|count| count < read.rows);
                let is_last = is_short && walked_to.is_none();
                let piece = self.reads.cut(found, limits, is_last);
                if !piece.rows.is_empty() || piece.end != RowsEnd::Piece {
                    return Ok(piece);
                }
            } else if self.underway.judge().await? == asked_under {
                match walked_to {
                    Some(walked_to) => self.walked_to = walked_to,
                    None => return Ok(self.reads.cut(found, limits, true)),
                }
            }
        }
    }

    async fn load(&self, basis: DisclosureBasis, asked: RowsAsked) -> Result<RecordPage, Failure> {
        let (grant, window) = (self.grant.clone(), self.query.window.clone());
        self.load_by(move |db| record_rows::page(db, &basis, &grant, &window, asked))
            .await
    }

    /// Runs a read of rows. A page of the shared resources reads the whole record again, and a window may leave out most of it, so such
    /// reads wait for the partner's turn and leave the thread to others meanwhile. Its other reads have their turns on the threads that
    /// answer.
    async fn load_by<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Db) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let walks = matches!(self.phase, Phase::SupportingPage(_)) || self.query.window != Window::default();
        match walks {
            true => self.ctx.store.read_in_turn(&self.underway.basis().partner, work).await,
            false => {
                self.ctx
                    .store
                    .read_while_quick(&self.underway.basis().partner, work)
                    .await
            }
        }
    }

    fn put_entry(&mut self, piece: &mut BytesMut, row: &Leaving, mode: &'static str) {
        self.counts.add_one(&row.rtype, row.is_cut);
        self.sent_rows += 1;
        self.sent_bytes += row.bytes.len();
        let full_url: [&str; 5] = [&self.ctx.payer.base_url, "/", &row.rtype, "/", &row.id];
        self.bundle.found(piece, &full_url, &row.bytes, mode);
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
