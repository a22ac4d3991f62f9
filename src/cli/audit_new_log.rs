//! `causeway audit new-log`: begins a new log over the entries of the ledger, with a new name and a new key.

use super::asker::CommandAsker;
use super::audit::{AuditArgs, AuditCommand};
use crate::app::wiring;
use crate::audit::log::OpenLog;
use crate::audit::log_files::LogFiles;
use crate::audit::{Action, Actor, LedgerEvent, ledger};
use crate::config::Config;
use crate::error::{Failure, Fault};
use crate::store::{StoreNeed, ledger_tree};
use crate::telemetry::Correlation;
use crate::terminal::{Exit, Out};

/// Begins a new log; the ledger says who did it and why. Waits on this thread.
///
/// # Errors
/// [`Fault::StoreBusy`] while a server has the store; [`Fault::LedgerKey`]; those of the store.
pub fn run(args: &AuditArgs, config: &Config, out: &mut Out) -> Result<Exit, Failure> {
    let AuditCommand::NewLog { reason, operator } = &args.command else {
        return Err(Fault::ParameterInvalid.into());
    };
    let asker = CommandAsker::here(None, config)?;
    let note = asker.operator_note(operator.as_deref(), reason)?;
    let ctx = wiring::open_for(config, StoreNeed::Write, &mut |line| out.note(line))?;
    let no = ctx.store.read_blocking(ledger_tree::log)?.map_or(0, |log| log.no) + 1;
    let now_us = ctx.clock.now_us();
    let entry_id = ctx.ids.new_id(now_us / 1000);
    let actor = Actor {
        kind: "operator",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::LedgerLogBegun, actor, Correlation::internal(entry_id.clone()));
    entry.note = Some(note);
    let files = LogFiles::new(config.ledger_folder());
    let log = OpenLog::begin(&ctx, &files, no, move |db| {
        ledger::append(db, &entry, &entry_id, now_us)
    })?;
    out.note(&format!("log {} begins: {}", log.row.no, log.row.origin));
    Ok(Exit::Done)
}
