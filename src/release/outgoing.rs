//! The bytes of an answer while they are sent, with the disclosures that the answer makes.
//!
//! An answer of one piece is sent at once, and its disclosure ends then. A larger answer is sent piece by piece and checked like a record
//! ([`super::underway`]): when access is revoked meanwhile, it ends, and the ledger has the number of bytes that were sent.

use super::underway::{AnswerTerms, Underway};
use super::{BegunDisclosure, MembersBehind, SentPart, Tally, complete};
use crate::audit::EntryOutcome;
use crate::context::Context;
use crate::error::Failure;
use crate::security::Caller;
use crate::store::disclosure::LiveGrant;
use bytes::Bytes;
use std::sync::Arc;

/// Bytes that are sent at once.
pub const PIECE_BYTES: usize = 32 * 1024;

const DONE: EntryOutcome = EntryOutcome {
    class: "ok",
    http: Some(200),
    reason: None,
};

/// Disclosures that were begun together and of which nothing was sent yet. If this is dropped, nothing was sent.
pub struct Disclosure {
    ctx: Context,
    caller: Caller,
    begun_ms: i64,
    parts: Vec<Part>,
    /// Of whom it tells besides the members of its grants.
    behind: Option<Arc<MembersBehind>>,
}

/// One of these disclosures, and what of it is to be sent.
struct Part {
    grant_ids: Vec<String>,
    begun: BegunDisclosure,
    bytes: u64,
    tally: Tally,
}

impl Disclosure {
    /// An empty list of disclosures, under what was found live at this time (UTC milliseconds). An answer about no member has no other: it
    /// is checked like the others while it is sent, and the ledger has nothing of it.
    pub(super) fn new(ctx: &Context, caller: &Caller, begun_ms: i64) -> Disclosure {
        Disclosure {
            ctx: ctx.clone(),
            caller: caller.clone(),
            begun_ms,
            parts: Vec::new(),
            behind: None,
        }
    }

    /// It ends when the access to one of these members ends, too.
    pub(super) fn tells_of(&mut self, behind: MembersBehind) {
        self.behind = Some(Arc::new(behind));
    }

    /// Adds a disclosure that was begun under a grant, or without one for a count over all members.
    pub(super) fn add(&mut self, grant: Option<&LiveGrant>, begun: BegunDisclosure, bytes: u64, tally: Tally) {
        self.add_under(
            grant.map(|grant| grant.id.clone()).into_iter().collect(),
            begun,
            bytes,
            tally,
        );
    }

    /// Adds a disclosure that was begun under all of these grants.
    pub(super) fn add_under(&mut self, grant_ids: Vec<String>, begun: BegunDisclosure, bytes: u64, tally: Tally) {
        self.parts.push(Part {
            grant_ids,
            begun,
            bytes,
            tally,
        });
    }

    /// Says how many bytes of each are to be sent, in the order in which they were added.
    pub(super) fn resize(&mut self, bytes: &[u64]) {
        for (part, bytes) in self.parts.iter_mut().zip(bytes) {
            part.bytes = *bytes;
        }
    }

    /// Checks the disclosures from now on while bytes of them are sent.
    fn watched(mut self, terms: AnswerTerms, stays_open: bool) -> Watched {
        let (mut begun, mut shares) = (Vec::new(), Vec::new());
        for part in std::mem::take(&mut self.parts) {
            begun.push((part.grant_ids, part.begun));
            shares.push(Share {
                bytes: part.bytes,
                counted: 0,
                tally: part.tally,
            });
        }
        let mut underway = Underway::of_all(&self.ctx, terms, &self.caller, self.begun_ms, begun);
        if let Some(behind) = self.behind.take() {
            underway.tells_of(behind);
        }
        Watched {
            underway,
            shares,
            stays_open,
        }
    }

    /// Ends the disclosures; `sent` says what was sent.
    pub fn ends(mut self, sent: SentPart) {
        for part in std::mem::take(&mut self.parts) {
            let outcome = EntryOutcome {
                http: Some(sent.http()),
                ..DONE
            };
            let tally = match sent {
                SentPart::Whole => part.tally,
                SentPart::Part(_) | SentPart::Head(_) => Tally::default(),
            };
            complete(&self.ctx, part.begun, outcome, sent.bytes(part.bytes), tally);
        }
    }
}

impl Drop for Disclosure {
    fn drop(&mut self) {
        for part in std::mem::take(&mut self.parts) {
            let outcome = EntryOutcome {
                class: "failed",
                http: None,
                reason: None,
            };
            complete(&self.ctx, part.begun, outcome, 0, Tally::default());
        }
    }
}

/// The bytes of an answer while they are sent.
pub struct Outgoing {
    rest: Bytes,
    size: usize,
    watched: Option<Watched>,
}

struct Watched {
    underway: Underway,
    shares: Vec<Share>,
    /// Whether the disclosure stays open after the last piece, because the answer is converted to another form.
    stays_open: bool,
}

/// The part of one disclosure in the bytes of the answer.
struct Share {
    bytes: u64,
    counted: u64,
    tally: Tally,
}

impl Outgoing {
    /// Bytes that disclose nothing about a member.
    pub fn plain(bytes: impl Into<Bytes>) -> Outgoing {
        let rest = bytes.into();
        Outgoing {
            size: rest.len(),
            rest,
            watched: None,
        }
    }

    /// The bytes of an answer that makes this disclosure. `terms` is called only when the answer has to be checked while it is sent.
    /// `stays_open`: the disclosure does not end with the last piece, but with what [`Self::into_open`] returns.
    pub fn new(
        disclosure: Option<Disclosure>,
        bytes: impl Into<Bytes>,
        terms: impl FnOnce() -> AnswerTerms,
        stays_open: bool,
    ) -> Outgoing {
        let mut outgoing = Outgoing::plain(bytes);
        let Some(disclosure) = disclosure else {
            return outgoing;
        };
        if outgoing.size == 0 || (outgoing.size <= PIECE_BYTES && !stays_open) {
            disclosure.ends(SentPart::Whole);
            return outgoing;
        }
        outgoing.watched = Some(disclosure.watched(terms(), stays_open));
        outgoing
    }

    /// The number of bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether the answer is checked while it is sent, and may be ended early.
    pub fn is_watched(&self) -> bool {
        self.watched.is_some()
    }

    /// Returns all bytes of an answer that is not checked while it is sent.
    ///
    /// # Errors
    /// The answer itself, when it is checked.
    pub fn into_bytes(self) -> Result<Bytes, Outgoing> {
        match self.watched {
            None => Ok(self.rest),
            Some(_) => Err(self),
        }
    }

    /// The next piece; `None` after the last one. Each disclosure counts its bytes in proportion to the bytes that were sent.
    pub fn next_piece(&mut self) -> Option<Result<Bytes, Failure>> {
        if self.rest.is_empty() {
            return None;
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        let (gone, is_last) = (self.size - self.rest.len(), self.rest.is_empty());
        if let Some(watched) = &mut self.watched
            && let Err(failure) = watched.send(gone, self.size, is_last)
        {
            self.rest = Bytes::new();
            return Some(Err(failure));
        }
        Some(Ok(piece))
    }

    /// The disclosure that has to be ended after the last piece, if it stays open.
    pub fn into_open(self) -> Option<Open> {
        let watched = self.watched?;
        watched.stays_open.then_some(Open(watched.underway))
    }
}

/// Bytes that come piece by piece from elsewhere, with the disclosures that they make.
pub struct WatchedStream {
    watched: Watched,
    size: usize,
    gone: usize,
}

impl WatchedStream {
    /// An answer of `size` bytes that makes this disclosure.
    pub fn new(disclosure: Disclosure, size: usize, terms: AnswerTerms) -> WatchedStream {
        WatchedStream {
            watched: disclosure.watched(terms, false),
            size,
            gone: 0,
        }
    }

    /// Counts the next piece. Each disclosure counts its bytes in proportion to the bytes that were sent; they end with the last piece.
    ///
    /// # Errors
    /// The reason why the piece must not be sent: access was taken away meanwhile.
    pub fn pass(&mut self, bytes: usize) -> Result<(), Failure> {
        self.gone = self.size.min(self.gone + bytes);
        self.watched.send(self.gone, self.size, self.gone == self.size)
    }
}

/// Bytes that come piece by piece, nobody knows how many, with the disclosures that they make.
pub(super) struct GrowingStream(Watched);

impl GrowingStream {
    /// An answer that makes these disclosures. `stays_open`: they do not end with the last piece, but with what [`Self::end`] returns.
    pub(super) fn new(disclosure: Disclosure, terms: AnswerTerms, stays_open: bool) -> GrowingStream {
        GrowingStream(disclosure.watched(terms, stays_open))
    }

    /// Checks the disclosures, unless that was done a moment ago.
    ///
    /// # Errors
    /// The reason why nothing more may be sent; the disclosures are then ended. Those of the store.
    pub(super) async fn judge(&self) -> Result<(), Failure> {
        self.0.underway.judge_in_time().await
    }

    /// Counts the next piece: the bytes of each disclosure, in the order in which they were added.
    ///
    /// # Errors
    /// The reason why the piece must not be sent.
    pub(super) fn pass(&mut self, bytes: &[u64]) -> Result<(), Failure> {
        let shares = self.0.shares.iter_mut().zip(bytes);
        let counts = shares.map(|(share, bytes)| match *bytes {
            0 => (0, Tally::default()),
            bytes => (bytes, std::mem::take(&mut share.tally)),
        });
        let counts = counts.collect();
        self.0.underway.send_all(counts, false)
    }

    /// Ends the disclosures as completely sent, or returns them when they stay open.
    ///
    /// # Errors
    /// The reason why they were ended before.
    pub(super) fn end(self) -> Result<Option<Open>, Failure> {
        self.0.underway.may_go_on()?;
        let open = Open(self.0.underway);
        match self.0.stays_open {
            true => Ok(Some(open)),
            false => {
                open.ends();
                Ok(None)
            }
        }
    }
}

impl Watched {
    fn send(&mut self, gone: usize, size: usize, is_last: bool) -> Result<(), Failure> {
        let counts = self.shares.iter_mut().map(|share| {
            let until = match is_last {
                true => share.bytes,
                false => {
                    u64::try_from(u128::from(share.bytes) * gone as u128 / size.max(1) as u128).unwrap_or(share.bytes)
                }
            };
            let bytes = until - share.counted;
            share.counted = until;
            (bytes, std::mem::take(&mut share.tally))
        });
        let counts = counts.collect();
        self.underway.send_all(counts, is_last && !self.stays_open)
    }
}

/// A disclosure whose bytes were all read, and which has not ended. If it is dropped, its reader broke it off.
pub struct Open(Underway);

impl Open {
    pub(super) fn new(underway: Underway) -> Open {
        Open(underway)
    }

    /// Whether it may continue.
    ///
    /// # Errors
    /// The reason why it may not; the disclosure is then ended.
    pub fn may_go_on(&self) -> Result<(), Failure> {
        self.0.may_go_on()
    }

    /// Ends it as completely sent.
    pub fn ends(self) {
        self.0.end(DONE);
    }
}
