//! One incoming request: who asks, when it came in, and the ledger entries that describe it.
//!
//! An entry holds digests and commitments, never a value of the request or of a record.

use crate::audit::{Action, EntryOutcome, LedgerEvent};
use crate::context::Context;
use crate::error::{Failure, Fault, text_for};
use crate::fhir::outcome;
use crate::secret::{random, sha256};
use crate::security::Caller;
use crate::store::activations::ERROR_TEXTS;
use crate::store::matching::LedgerRow;
use std::sync::OnceLock;

/// An incoming request.
pub(super) struct Arrival<'a> {
    pub(super) ctx: &'a Context,
    pub(super) caller: &'a Caller,
    digest: [u8; 32],
    at_us: i64,
    /// Id of the ledger entry that says the request came in.
    begun: String,
    /// The time of the decision, and the ids of the later entries in the order of [`EntryPlace`]. Set when the first of them is built.
    decided: OnceLock<(i64, [String; 3])>,
}

/// The ledger entries of one request, in the order in which they are appended.
#[derive(Clone, Copy, Debug)]
pub(super) enum EntryPlace {
    /// The request came in.
    Begun,
    /// The request was decided.
    Decided,
    /// A review was opened with the decision.
    Opened,
    /// A consent was put on record.
    Recorded,
}

impl<'a> Arrival<'a> {
    pub(super) fn new(ctx: &'a Context, caller: &'a Caller, body: &[u8]) -> Self {
        let at_us = ctx.clock.now_us();
        Arrival {
            ctx,
            caller,
            digest: sha256(body),
            at_us,
            begun: ctx.ids.new_id(at_us / 1000),
            decided: OnceLock::new(),
        }
    }

    /// When the request came in, UTC milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        self.at_us / 1000
    }

    pub(super) fn partner_id(&self) -> &str {
        &self.caller.partner.id
    }

    /// Makes an entry with the caller and the digest of the request, without an outcome.
    pub(super) fn entry(&self, action: Action) -> LedgerEvent {
        let mut entry = LedgerEvent::new(action, self.caller.actor(), self.caller.correlation.clone());
        entry.request_digest = Some(self.digest);
        entry
    }

    /// The ledger row that says the request came in.
    pub(super) fn begun(&self) -> LedgerRow {
        self.row(&self.entry(Action::MatchBegun), EntryPlace::Begun)
    }

    /// The entry of a refusal that is answered with `body`.
    pub(super) fn refused(&self, fault: Fault, body: &[u8]) -> LedgerEvent {
        let mut entry = self.entry(Action::MatchRefused);
        refuse(&mut entry, fault, body);
        entry.tables.extend(cited_texts(self.texts(), fault));
        entry
    }

    /// The body of a refusal, with what the partner is told besides.
    pub(super) fn body_of(&self, failure: &Failure) -> Vec<u8> {
        outcome::bytes_with(failure, &self.ctx.payer.base_url, self.texts())
    }

    /// What the partner is told besides the remedies of faults.
    pub(super) fn texts(&self) -> Option<&str> {
        self.caller.partner.error_texts.as_deref()
    }

    /// The ledger row of an answer that is repeated under its idempotency key.
    pub(super) fn replayed(&self, status: u16, body: &[u8]) -> LedgerRow {
        let mut entry = self.entry(Action::MatchBegun);
        entry.outcome = EntryOutcome {
            class: "ok",
            http: Some(status),
            reason: Some("replayed"),
        };
        entry.response_digest = Some(sha256(body));
        self.row(&entry, EntryPlace::Begun)
    }

    /// Turns an entry into a row, with the id and the time that belong to its place.
    pub(super) fn row(&self, entry: &LedgerEvent, place: EntryPlace) -> LedgerRow {
        let later = |at: usize| {
            let (decided_us, ids) = self.decided.get_or_init(|| {
                let decided_us = self.ctx.clock.now_us().max(self.at_us + 1);
                (decided_us, [0; 3].map(|_| self.ctx.ids.new_id(decided_us / 1000)))
            });
            (ids[at].clone(), *decided_us)
        };
        let (id, at_us) = match place {
            EntryPlace::Begun => (self.begun.clone(), self.at_us),
            EntryPlace::Decided => later(0),
            EntryPlace::Opened => later(1),
            EntryPlace::Recorded => later(2),
        };
        ledger_row(entry, id, at_us)
    }
}

/// The digest of the texts, where they have one for this fault: it is what the entry of a refusal cites.
pub(super) fn cited_texts(texts: Option<&str>, fault: Fault) -> Option<(&'static str, [u8; 32])> {
    let texts = texts.filter(|texts| text_for(texts, fault.code()).is_some())?;
    Some((ERROR_TEXTS, sha256(texts.as_bytes())))
}

/// Gives `entry` the outcome of a refusal by `fault` that is answered with `body`.
pub(super) fn refuse(entry: &mut LedgerEvent, fault: Fault, body: &[u8]) {
    let row = fault.row();
    entry.outcome = EntryOutcome {
        class: "refused",
        http: Some(row.http),
        reason: Some(row.code),
    };
    entry.response_digest = Some(sha256(body));
}

/// The row of an entry with this id and time (UTC microseconds).
pub(super) fn ledger_row(entry: &LedgerEvent, id: String, at_us: i64) -> LedgerRow {
    let salt: [u8; 32] = random();
    LedgerRow {
        id,
        at_us,
        action: entry.action.code(),
        partner_id: entry.partner.clone(),
        correlation_id: entry.correlation.correlation_id.clone(),
        request_id: entry.correlation.own_request_id().map(str::to_owned),
        entry: entry.bytes(at_us, &salt),
        subject: entry.object.as_ref().map(|object| object.id.clone()),
        salt: salt.to_vec(),
    }
}
