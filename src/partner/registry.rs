//! Changes of the registry: each is one transaction with the row and its ledger entry. These functions block their thread.

use super::registration::Registration;
use crate::audit::{Action, Actor, LedgerEvent, Object, OperatorNote, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::store::guesses::{self, Tallied};
use crate::store::partners::{self, PartnerRow};
use crate::store::{Db, failed_on_duplicate, tokens};
use crate::telemetry::Correlation;

/// Adds a partner. `by` says who does it, and why.
///
/// # Errors
/// [`Fault::PartnerInvalid`] when its id, client id or certificate name is taken; those of the store.
pub fn add(ctx: &Context, registration: &Registration, by: OperatorNote) -> Result<PartnerRow, Failure> {
    let now_ms = ctx.clock.now_ms();
    let row = PartnerRow {
        created_ms: now_ms,
        updated_ms: now_ms,
        ..registration.row.clone()
    };
    let added = row.clone();
    change(ctx, Action::PartnerAdded, &row.id, by, move |db| {
        if partners::by_id(db, &added.id)?.is_some() {
            return Err(taken(
                "id",
                "This partner is registered already; use `causeway partner rotate` to change it.",
            ));
        }
        partners::insert(db, &added).map_err(named_taken)
    })?;
    Ok(row)
}

/// Replaces a partner's registration, and revokes its tokens that were obtained with keys it no longer has.
///
/// # Errors
/// [`Fault::PartnerUnknown`]; as [`add`].
pub fn rotate(ctx: &Context, registration: &Registration, by: OperatorNote) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let row = PartnerRow {
        updated_ms: now_ms,
        ..registration.row.clone()
    };
    let kept = registration.thumbprints.clone();
    change(ctx, Action::PartnerRotated, &registration.row.id, by, move |db| {
        if !partners::replace(db, &row).map_err(named_taken)? {
            return Err(Fault::PartnerUnknown.into());
        }
        tokens::revoke_other_keys(db, &row.id, &kept, now_ms).map(drop)
    })
}

/// Suspends a partner: within a second it gets no more tokens, and those it has are refused. The reason is stored with it.
///
/// # Errors
/// [`Fault::PartnerUnknown`]; those of the store.
pub fn suspend(ctx: &Context, id: &str, by: OperatorNote) -> Result<(), Failure> {
    let reason = Some(by.reason.clone());
    set_status(ctx, id, Action::PartnerSuspended, by, "suspended", reason)
}

/// Ends a suspension.
///
/// # Errors
/// As [`suspend`].
pub fn resume(ctx: &Context, id: &str, by: OperatorNote) -> Result<(), Failure> {
    set_status(ctx, id, Action::PartnerResumed, by, "active", None)
}

/// Lets a partner match again: deletes the counts of the guessing guard about it, including its lock.
///
/// # Errors
/// [`Fault::PartnerUnknown`]; those of the store.
pub fn unlock(ctx: &Context, id: &str, note: OperatorNote) -> Result<(), Failure> {
    let partner = id.to_owned();
    let mut entry = entry(ctx, Action::PartnerUnlocked, id);
    entry.note = Some(note);
    append_with(ctx, entry, move |db| {
        partners::by_id(db, &partner)?.ok_or(Fault::PartnerUnknown)?;
        guesses::forget(db, &partner)
    })
}

/// Returns the partner's counts in the guessing guard.
///
/// # Errors
/// Those of the store.
pub fn tallied(ctx: &Context, id: &str) -> Result<Tallied, Failure> {
    let now_ms = ctx.clock.now_ms();
    ctx.store.read_blocking(|db| guesses::tallied(db, id, now_ms))
}

/// Returns the partner with this id.
///
/// # Errors
/// [`Fault::PartnerUnknown`]; those of the store.
pub fn find(ctx: &Context, id: &str) -> Result<PartnerRow, Failure> {
    ctx.store
        .read_blocking(|db| partners::by_id(db, id))?
        .ok_or_else(|| Fault::PartnerUnknown.into())
}

/// Returns all partners.
///
/// # Errors
/// Those of the store.
pub fn list(ctx: &Context) -> Result<Vec<PartnerRow>, Failure> {
    ctx.store.read_blocking(partners::list)
}

fn set_status(
    ctx: &Context,
    id: &str,
    action: Action,
    by: OperatorNote,
    status: &'static str,
    reason: Option<String>,
) -> Result<(), Failure> {
    let (now_ms, partner) = (ctx.clock.now_ms(), id.to_owned());
    change(ctx, action, id, by, move |db| {
        match partners::set_status(db, &partner, status, reason.as_deref(), now_ms)? {
            true => Ok(()),
            false => Err(Fault::PartnerUnknown.into()),
        }
    })
}

fn change(
    ctx: &Context,
    action: Action,
    id: &str,
    by: OperatorNote,
    work: impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let mut entry = entry(ctx, action, id);
    entry.note = Some(by);
    append_with(ctx, entry, work)
}

fn entry(ctx: &Context, action: Action, id: &str) -> LedgerEvent {
    let actor = Actor {
        kind: "operator",
        id: Some("host".into()),
        ..Actor::default()
    };
    let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
    let mut entry = LedgerEvent::new(action, actor, correlation);
    entry.partner = Some(id.to_owned());
    entry.object = Some(Object {
        kind: "partner",
        id: id.to_owned(),
    });
    entry
}

fn append_with(
    ctx: &Context,
    entry: LedgerEvent,
    mut work: impl FnMut(&mut Db) -> Result<(), Failure> + Send + 'static,
) -> Result<(), Failure> {
    let at_us = ctx.clock.now_us();
    let entry_id = ctx.ids.new_id(at_us / 1000);
    let ends_rights = matches!(entry.action, Action::PartnerSuspended | Action::PartnerRotated);
    let write = move |db: &mut Db| {
        work(db)?;
        ledger::append(db, &entry, &entry_id, at_us)
    };
    match ends_rights {
        true => ctx.store.reserved().write_blocking(write),
        false => ctx.store.write_blocking(write),
    }
}

fn taken(field: &str, remedy: &str) -> Failure {
    Failure::new(Fault::PartnerInvalid).at(field).remedy(remedy)
}

fn named_taken(failure: Failure) -> Failure {
    if failed_on_duplicate(&failure) {
        taken(
            "client_id",
            "Another partner has this client_id or certificate_uri; each must be unique.",
        )
    } else {
        failure
    }
}
