//! What is released, and why: the only module that turns a caller's grant into bytes.
//!
//! Each disclosure is committed to the ledger before its first byte is sent, and completed afterward with the number of bytes that were
//! sent. This module does not authorize by itself: the queries do (`store::disclosure`). It never parses member data.

mod everything;
mod filled;
#[cfg(test)]
mod fuzz_tests;
mod kinds;
mod lost_ends;
mod outgoing;
mod page_link;
mod read;
mod search;
mod sent;
mod supporting;
mod transmitter;
mod underway;
mod version;

pub use everything::{Everything, EverythingQuery};
pub use filled::filled_types;
pub use kinds::{SHARED, is_searchable, is_served, is_shared};
pub use lost_ends::close_lost;
pub use outgoing::{Disclosure, Open, Outgoing, PIECE_BYTES};
pub use page_link::{PageLinks, SearchPage};
pub use read::{read, read_and_make};
pub use search::{FoundPage, PageStart, SORTED_MAX, START, search};
pub use sent::SentPart;
pub use transmitter::PageTransmitter;
pub use underway::AnswerTerms;
pub use version::POLICY;

use crate::audit::{Action, ConsentNote, EntryOutcome, LedgerEvent, Object, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::Caller;
use crate::store::Db;
use crate::store::begun::Unfilled;
use crate::store::disclosure::LiveGrant;
use crate::telemetry::metrics as families;
use lost_ends::{EntryIds, close_unsent};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A ledger entry of a disclosure under `grant`.
fn entry(action: Action, caller: &Caller, grant: &LiveGrant) -> LedgerEvent {
    let mut entry = LedgerEvent::new(action, caller.actor(), caller.correlation.clone());
    entry.object = Some(Object {
        kind: "Patient",
        id: grant.patient_id.clone(),
    });
    entry.consent = Some(ConsentNote {
        id: grant.consent_id.clone(),
        decision: "permit",
        rule: if grant.sensitive == 1 { "sensitive" } else { "regular" },
    });
    version::cite(&mut entry);
    entry
}

/// A disclosure whose *begun* entry is committed and whose end has not been written.
struct Begun {
    entry: LedgerEvent,
    id: String,
}

/// How many resources of each type were sent.
#[derive(Clone, Debug, Default)]
struct Tally(BTreeMap<String, u64>);

impl Tally {
    fn add(&mut self, rtype: &str) {
        match self.0.get_mut(rtype) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(rtype.to_owned(), 1)),
        }
    }

    fn join(&mut self, other: Tally) {
        for (rtype, count) in other.0 {
            *self.0.entry(rtype).or_insert(0) += count;
        }
    }
}

/// Commits the *begun* entries of disclosures. Nothing may be sent before this returns.
async fn begin(ctx: &Context, entries: Vec<LedgerEvent>) -> Result<Vec<Begun>, Failure> {
    let now_us = ctx.clock.now_us();
    let begun: Vec<Begun> = entries
        .into_iter()
        .map(|entry| Begun {
            id: ctx.ids.new_id(now_us / 1000),
            entry,
        })
        .collect();
    let rows = begun
        .iter()
        .map(|begun| ledger::row(&begun.entry, &begun.id, now_us))
        .collect();
    match ctx.store.append(rows).await {
        Ok(()) => Ok(begun),
        Err(failure) => {
            let begins = begun
                .into_iter()
                .filter(|one| one.entry.action == Action::DisclosureBegun);
            let ids = begins.map(|one| EntryIds {
                begun: one.id,
                end: ctx.ids.new_id(now_us / 1000),
            });
            close_unsent(ctx, ids.collect());
            Err(unrecorded(failure))
        }
    }
}

/// Finds the resource and commits the *begun* entry of its disclosure in one statement, for a database server. `find` appends the entry
/// when it finds something; `grant` returns the grant of the result. Nothing is begun when nothing is found.
async fn find_and_begin<T: Send + 'static>(
    ctx: &Context,
    caller: &Caller,
    mut find: impl FnMut(&mut Db, &Unfilled) -> Result<Option<T>, Failure> + Send + 'static,
    grant: impl Fn(&T) -> &LiveGrant,
) -> Result<Option<(T, Begun)>, Failure> {
    let now_us = ctx.clock.now_us();
    let (ids, blank) = (
        ctx.ids.clone(),
        entry(Action::DisclosureBegun, caller, &LiveGrant::default()),
    );
    let tried = Arc::new(Mutex::new(Vec::new()));
    let (own, unanswered) = (ctx.clone(), Arc::clone(&tried));
    let found = ctx
        .store
        .write_once(move |db| {
            // A new id each time the statement is sent, because an earlier attempt may have been committed.
            let id = ids.new_id(now_us / 1000);
            let both = EntryIds {
                begun: id.clone(),
                end: ids.new_id(now_us / 1000),
            };
            locked(&unanswered).push(both.clone());
            let found = find(db, &ledger::unfilled(&blank, &id, now_us))?;
            if locked(&unanswered).pop().is_none() {
                // The caller got an error before this answer came.
                close_unsent(&own, vec![both]);
            }
            Ok(found.map(|found| (found, id)))
        })
        .await;
    close_unsent(ctx, std::mem::take(&mut *locked(&tried)));
    let found = found.map_err(|failure| match failure.fault() {
        Fault::StoreUnavailable | Fault::StoreSlow => failure,
        _ => unrecorded(failure),
    })?;
    Ok(found.map(|(found, id)| {
        let entry = entry(Action::DisclosureBegun, caller, grant(&found));
        (found, Begun { entry, id })
    }))
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unrecorded(failure: Failure) -> Failure {
    match failure.fault() {
        Fault::Overloaded => failure,
        _ => Failure::new(Fault::AuditUnavailable).because(failure),
    }
}

/// Writes how a disclosure ended. Does not wait: the entry is written together with those of other requests and kept until the store takes
/// it. A missing end entry means "may have been disclosed".
fn complete(ctx: &Context, begun: Begun, outcome: EntryOutcome, bytes: u64, tally: Tally) {
    let how = if outcome.class == "ok" {
        "completed"
    } else {
        "broken-off"
    };
    metrics::counter!(families::DISCLOSURES, "outcome" => how).increment(1);
    metrics::counter!(families::DISCLOSED_BYTES).increment(bytes);
    let mut entry = begun.entry;
    entry.action = Action::DisclosureCompleted;
    entry.outcome = outcome;
    entry.bytes = Some(bytes);
    entry.counts = tally.0;
    entry.begun = Some(begun.id);
    let now_us = ctx.clock.now_us();
    // The same id for every attempt, so that an entry that was written already is not written again.
    let id = ctx.ids.new_id(now_us / 1000);
    ctx.store.append_later(ledger::row(&entry, &id, now_us));
}

/// Records that nothing was disclosed, and returns `fault`. "No grant" and "no such resource" both come here.
async fn refuse(ctx: &Context, caller: &Caller, fault: Fault) -> Failure {
    metrics::counter!(families::DISCLOSURES, "outcome" => "refused").increment(1);
    let mut entry = LedgerEvent::new(Action::DisclosureRefused, caller.actor(), caller.correlation.clone());
    entry.outcome = EntryOutcome {
        class: "refused",
        http: Some(fault.row().http),
        reason: Some(fault.code()),
    };
    version::cite(&mut entry);
    match begin(ctx, vec![entry]).await {
        Ok(_) => Failure::new(fault).noted(),
        Err(failure) => failure,
    }
}
