//! The beginning of a disclosure: its ledger entry *begun* is committed, or the entry that it was refused. Nothing may be sent before.

use super::lost_ends::{EntryIds, close_unsent};
use super::version;
use crate::audit::{Action, ConsentNote, EntryOutcome, LedgerEvent, Object, RestCall, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::Caller;
use crate::store::Db;
use crate::store::begun::Unfilled;
use crate::store::disclosure::LiveGrant;
use crate::telemetry::metrics as families;
use crate::telemetry::spans::{self, SpanKey, SpanName};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::Span;

/// The *begun* entry of a disclosure by `call` under `grant`.
pub(super) fn entry(call: RestCall, caller: &Caller, grant: &LiveGrant) -> LedgerEvent {
    let mut entry = LedgerEvent::new(Action::DisclosureBegun, caller.actor(), caller.correlation.clone());
    entry.interaction = Some(call);
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
pub(super) struct BegunDisclosure {
    pub(super) entry: LedgerEvent,
    pub(super) id: String,
    /// The span of the answer, which ends when the ends of all its disclosures are written.
    pub(super) span: Span,
}

/// Commits the *begun* entries of disclosures. Nothing may be sent before this returns.
pub(super) async fn begin(ctx: &Context, entries: Vec<LedgerEvent>) -> Result<Vec<BegunDisclosure>, Failure> {
    let now_us = ctx.clock.now_us();
    // One span for all of them: they are of one answer, and a file may have thousands of members.
    let span = match entries.is_empty() {
        true => Span::none(),
        false => spans::open(SpanName::Release),
    };
    let begun: Vec<BegunDisclosure> = entries
        .into_iter()
        .map(|entry| BegunDisclosure {
            id: ctx.ids.new_id(now_us / 1000),
            entry,
            span: span.clone(),
        })
        .collect();
    let rows = begun
        .iter()
        .map(|begun| ledger::row(&begun.entry, &begun.id, now_us))
        .collect();
    match ctx.store.append(rows).await {
        Ok(()) => Ok(begun),
        Err(failure) => {
            spans::fail(&span);
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
pub(super) async fn find_and_begin<T: Send + 'static>(
    ctx: &Context,
    caller: &Caller,
    call: RestCall,
    mut find: impl FnMut(&mut Db, &Unfilled) -> Result<Option<T>, Failure> + Send + 'static,
    grant: impl Fn(&T) -> &LiveGrant,
) -> Result<Option<(T, BegunDisclosure)>, Failure> {
    let now_us = ctx.clock.now_us();
    let span = spans::open(SpanName::Release);
    let (ids, blank) = (ctx.ids.clone(), entry(call, caller, &LiveGrant::default()));
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
    if found.is_err() {
        spans::fail(&span);
    }
    let found = found.map_err(|failure| match failure.fault() {
        Fault::StoreUnavailable | Fault::StoreSlow => failure,
        _ => unrecorded(failure),
    })?;
    let Some((found, id)) = found else {
        spans::forget(&span);
        return Ok(None);
    };
    let entry = entry(call, caller, grant(&found));
    Ok(Some((found, BegunDisclosure { entry, id, span })))
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

/// Records that nothing was disclosed, and returns `fault`. "No grant" and "no such resource" both come here.
pub(super) async fn refuse(ctx: &Context, caller: &Caller, call: RestCall, fault: Fault) -> Failure {
    metrics::counter!(families::DISCLOSURES, "outcome" => "refused").increment(1);
    let mut entry = LedgerEvent::new(Action::DisclosureRefused, caller.actor(), caller.correlation.clone());
    entry.interaction = Some(call);
    entry.outcome = EntryOutcome {
        class: "refused",
        http: Some(fault.row().http),
        reason: Some(fault.code()),
    };
    version::cite(&mut entry);
    match begin(ctx, vec![entry]).await {
        Ok(begun) => {
            for one in begun {
                spans::put(&one.span, SpanKey::Outcome, "refused");
                spans::put(&one.span, SpanKey::Fault, fault.code());
            }
            Failure::new(fault).noted()
        }
        Err(failure) => failure,
    }
}
