//! The parts of an erasure, in their order. Each is a transaction of its own, or a few, and may be done again.
//!
//! What opens the ledger goes first, while it is still known under which names the ledger knows the member. The record follows, and at
//! the end the ledger once more, for what was written meanwhile: an answer that was on its way when the rights were ended has its end on record
//! a moment later.

use super::kind::ERASE;
use super::report::counts_of;
use super::words::{ErasureReason, LegalBasis};
use crate::audit::correlation_sealing::{demand_all, destroy_of, destroy_unused};
use crate::audit::packet_sealing::destroy_erased;
use crate::audit::{Action, Actor, EntryOutcome, LedgerEvent, Object, OperatorNote, ledger};
use crate::bulk::files::BulkFiles;
use crate::bulk::job::cancel_for;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::exchange::follow_up::TAKE_BACK;
use crate::exchange::kind::EXCHANGE;
use crate::failpoint;
use crate::jobs;
use crate::records::erased::{RecordEraser, count_roster_anew};
use crate::secret::member_keys::{KeySlot, KeyStart};
use crate::store::erasures::{self, ErasureRow};
use crate::store::retention::holds;
use crate::store::{
    Db, bulk, bulk_receipts, erased_correlations, erased_decided, erased_entries, erased_record, evidence, group_ends,
    member_keys,
};
use crate::telemetry::Correlation;
use std::time::Duration;

/// The keys of what the ledger says about the member are destroyed.
const KEYS_GONE: &str = "keys-gone";
/// What opens the ledger is closed.
const LEDGER_CLOSED: &str = "ledger-closed";
/// The files of bulk jobs are gone.
const FILES_GONE: &str = "files-gone";
/// The exchanges are gone.
const EXCHANGES_GONE: &str = "exchanges-gone";
/// A part of the resources is gone.
const SOME_GONE: &str = "some-gone";
/// The record is gone, and everything that was decided about the member.
const RECORD_GONE: &str = "record-gone";
/// All is erased, and the entry of it is written and not committed.
const BEFORE_ERASED: &str = "before-erased";
/// It is committed.
const ERASED: &str = "erased";

/// The points at which [`crate::failpoint`] can kill an erasure.
pub const POINTS: [&str; 8] = [
    KEYS_GONE,
    LEDGER_CLOSED,
    FILES_GONE,
    EXCHANGES_GONE,
    SOME_GONE,
    RECORD_GONE,
    BEFORE_ERASED,
    ERASED,
];

/// Entries that one transaction closes.
const TOGETHER: i64 = 500;
/// How long answers on their way are given to end: rights are checked twice a second (`release::underway`).
const LET_END: Duration = Duration::from_secs(2);

fn pass(point: &str) {
    failpoint::pass(ERASE.name, point);
}

/// Does all parts; the row says then that the member is erased, and no longer who it was.
pub(super) fn erase(ctx: &Context, files: &BulkFiles, row: &ErasureRow, patient: &str) -> Result<(), Failure> {
    let (names, values) = ctx.store.read_blocking(|db| {
        Ok((
            erased_entries::names_of(db, patient)?,
            erased_record::values_of(db, patient)?,
        ))
    })?;
    destroy_keys(ctx, &names)?;
    pass(KEYS_GONE);
    close(ctx, patient, &names, &values)?;
    forget_keys(ctx, &names)?;
    destroy_keys_of_packets(ctx)?;
    pass(LEDGER_CLOSED);
    if row.with_record == 1 {
        drop_files(ctx, files, row, patient)?;
        pass(FILES_GONE);
        drop_exchanges(ctx, patient)?;
        pass(EXCHANGES_GONE);
        drop_record(ctx, patient)?;
        count_roster_anew(ctx)?;
        pass(RECORD_GONE);
        std::thread::sleep(LET_END);
        destroy_keys(ctx, &names)?;
        close(ctx, patient, &names, &values)?;
        forget_keys(ctx, &names)?;
        destroy_keys_of_packets(ctx)?;
    }
    conclude(ctx, row)
}

/// What the store knows of the keys under which something about a member is sealed.
struct OwnKeys {
    mark: [u8; 32],
    /// By what the database knows the member's names.
    codes: Vec<String>,
    slots: Vec<KeySlot>,
}

/// The keys of these names; `None` when the store knows no key at all.
fn own_keys(ctx: &Context, names: &[String]) -> Result<Option<OwnKeys>, Failure> {
    if !ctx.store.read_blocking(member_keys::has_any)? {
        return Ok(None);
    }
    let mark = ctx.store.read_blocking(member_keys::known_mark)?;
    let mark = mark.ok_or(Fault::StoreDamaged)?;
    let reader = ctx.member_keys.ready(&mark, KeyStart::Never)?;
    let codes = names.iter().map(|name| reader.code(name));
    let codes: Vec<String> = codes.collect::<Result<_, _>>()?;
    let slots = ctx.store.read_blocking(|db| member_keys::slots_of(db, &codes))?;
    Ok(Some(OwnKeys {
        mark,
        codes,
        slots: slots.into_values().collect(),
    }))
}

/// Refuses where the file of keys is missing, or older than the store and without a key of the member, or of a correlation id, which may be the
/// member's: what is sealed could not be erased.
///
/// # Errors
/// [`Fault::SealKeys`]; those of the store.
pub(super) fn demand_keys(ctx: &Context, patient: &str) -> Result<(), Failure> {
    let names = ctx.store.read_blocking(|db| erased_entries::names_of(db, patient))?;
    let Some(own) = own_keys(ctx, &names)? else {
        return Ok(());
    };
    ctx.member_keys.demand(&own.mark, &own.slots)?;
    demand_all(ctx)
}

/// Destroys the keys under which something about these names is sealed, and returns the codes by which the database knows them. They are gone for
/// good before anything is deleted, so that what a crash leaves in the database cannot be opened; and the database names them until all is
/// closed, so that whoever goes on finds them again.
fn destroy_keys(ctx: &Context, names: &[String]) -> Result<Vec<String>, Failure> {
    let Some(own) = own_keys(ctx, names)? else {
        return Ok(Vec::new());
    };
    ctx.member_keys.destroy(&own.mark, &own.slots)?;
    Ok(own.codes)
}

/// Takes the keys of these names out of the database, after those were destroyed that somebody made while the entries were closed.
fn forget_keys(ctx: &Context, names: &[String]) -> Result<(), Failure> {
    let codes = destroy_keys(ctx, names)?;
    match codes.is_empty() {
        true => Ok(()),
        false => ctx.store.write_blocking(move |db| member_keys::forget(db, &codes)),
    }
}

/// Destroys the keys of the packets whose bytes were just erased. Where one was, the database knows until it is gone.
fn destroy_keys_of_packets(ctx: &Context) -> Result<(), Failure> {
    destroy_erased(ctx, &|write| ctx.store.write_blocking(write))
}

/// Closes the entries about the member.
fn close(ctx: &Context, patient: &str, names: &[String], values: &[String]) -> Result<(), Failure> {
    let (own, plain) = (names.to_vec(), values.to_vec());
    ctx.store
        .write_blocking(move |db| erased_correlations::close_correlations(db, &own, &plain).map(drop))?;
    // After those that stand plain: an id is only ever moved from plain to sealed.
    destroy_of(ctx, values, &|write| ctx.store.write_alone_blocking(write))?;
    loop {
        let own = names.to_vec();
        if ctx
            .store
            .write_blocking(move |db| erased_entries::close(db, &own, TOGETHER))?
            == 0
        {
            break;
        }
    }
    let own = patient.to_owned();
    ctx.store.write_blocking(move |db| {
        // Packets of evidence open entries too.
        evidence::erase_of(db, &own)?;
        holds::forget(db, &own)?;
        erased_entries::close_shares(db, &own).map(drop)
    })?;
    // The correlation ids of the entries that were closed, where nothing else has them.
    destroy_unused(ctx, &|write| ctx.store.write_alone_blocking(write))
}

/// Ends the runs of partners whose files may have something of the member, and removes the files.
fn drop_files(ctx: &Context, files: &BulkFiles, row: &ErasureRow, patient: &str) -> Result<(), Failure> {
    for id in ctx.store.read_blocking(|db| erased_record::bulk_jobs(db, patient))? {
        let note = OperatorNote {
            operator: row.operator.clone(),
            reason: "erasure of a member".to_owned(),
        };
        match cancel_for(ctx, &id, note) {
            // It was canceled before.
            Err(failure) if failure.fault() == Fault::JobUnknown => {}
            other => other?,
        }
        files.remove(&id)?;
        let own = id.clone();
        let drop_some = move |db: &mut Db| group_ends::drop_strangers(db, &own);
        while ctx.store.write_blocking(drop_some.clone())? {}
        ctx.store.write_blocking(move |db| {
            bulk::forget(db, &id)?;
            bulk_receipts::forget(db, &id)
        })?;
    }
    Ok(())
}

/// Deletes the exchanges about the member, and what they brought as received.
fn drop_exchanges(ctx: &Context, patient: &str) -> Result<(), Failure> {
    for id in ctx.store.read_blocking(|db| erased_record::exchanges(db, patient))? {
        let own = id.clone();
        let drop_some = move |db: &mut Db| erased_record::drop_bodies(db, &own);
        while ctx.store.write_blocking(drop_some.clone())? {}
        ctx.store.write_blocking(move |db| {
            // Nobody writes a result of its jobs any more.
            jobs::hold(db, &EXCHANGE, &id)?;
            jobs::hold(db, &TAKE_BACK, &id)?;
            erased_record::drop_exchange(db, &id)
        })?;
    }
    Ok(())
}

/// Deletes the record, and everything that was decided about the member.
fn drop_record(ctx: &Context, patient: &str) -> Result<(), Failure> {
    let eraser = RecordEraser::open(ctx)?;
    let compartment = ctx
        .store
        .read_blocking(|db| erased_record::compartment(db, patient))?
        .map(|(no, _)| no);
    loop {
        while let Some(no) = compartment {
            let own = eraser.clone();
            if !ctx.store.write_alone_blocking(move |db| own.some(db, no))? {
                break;
            }
            pass(SOME_GONE);
        }
        let own = patient.to_owned();
        let is_gone = ctx.store.write_blocking(move |db| {
            erased_decided::drop_decided(db, &own)?;
            match compartment {
                Some(no) => erased_record::drop_compartment(db, no),
                None => Ok(true),
            }
        })?;
        if is_gone {
            return Ok(());
        }
    }
}

/// Notes that the member is erased, with the entry of it.
fn conclude(ctx: &Context, row: &ErasureRow) -> Result<(), Failure> {
    let now_us = ctx.clock.now_us();
    let (entry, own) = (entry(row)?, row.clone());
    ctx.store.write_blocking(move |db| {
        if erasures::set_erased(db, &own.id)? {
            ledger::append(db, &entry, &own.entry_id, now_us)?;
        }
        pass(BEFORE_ERASED);
        Ok(())
    })?;
    pass(ERASED);
    Ok(())
}

/// The entry of an erasure. It says nothing that leads to the member.
fn entry(row: &ErasureRow) -> Result<LedgerEvent, Failure> {
    let by = Actor {
        kind: "operator",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::MemberErased, by, Correlation::internal(row.entry_id.clone()));
    entry.object = Some(Object {
        kind: "Erasure",
        id: row.id.clone(),
    });
    entry.outcome = EntryOutcome {
        class: "ok",
        http: None,
        reason: ErasureReason::parse(&row.reason).map(ErasureReason::code),
    };
    entry.legal_basis = row
        .legal_basis
        .as_deref()
        .and_then(LegalBasis::parse)
        .map(LegalBasis::code);
    entry.counts = counts_of(row)?;
    entry.note = Some(OperatorNote {
        operator: row.operator.clone(),
        reason: String::new(),
    });
    Ok(entry)
}
