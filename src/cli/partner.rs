//! `causeway partner`: the registry at the command line.

use super::asker::CommandAsker;
use super::report::report;
use crate::consent::REASON_MAX;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_one_line;
use crate::ops::partners::RegisteredPartner;
use crate::partner::{self, Finding, Registration, registry};
use crate::security::keyring::Keyring;
use crate::store::partners::PartnerRow;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Register, show, suspend and check partners.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  causeway partner add --file partner.toml
  causeway partner show new-payer --json
  causeway partner suspend new-payer --reason 'key lost'
  causeway partner rotate new-payer --file partner.toml
  causeway partner check new-payer")]
pub struct PartnerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PartnerCommand,
}

/// What to do with partners.
#[derive(Subcommand, Clone, Debug)]
pub enum PartnerCommand {
    /// Register a partner.
    #[command(after_help = "Example:\n  causeway partner add --file partner.toml")]
    Add {
        /// The registration, a TOML file; files that it names are in its folder.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Show one partner.
    #[command(after_help = "Example:\n  causeway partner show new-payer --json")]
    Show {
        /// Its id.
        id: String,
    },
    /// List all partners.
    List,
    /// Suspend a partner: it gets no tokens, and those it has are invalid within a second.
    #[command(after_help = "Example:\n  causeway partner suspend new-payer --reason 'key lost'")]
    Suspend {
        /// Its id.
        id: String,
        /// Why; kept with the partner.
        #[arg(long)]
        reason: String,
    },
    /// Let a suspended partner in again.
    Resume {
        /// Its id.
        id: String,
    },
    /// Let a partner match members again after the guessing guard locked it, and reset its counts.
    #[command(
        after_help = "Example:\n  causeway partner unlock new-payer --reason 'their export was wrong; corrected'"
    )]
    Unlock {
        /// Its id.
        id: String,
        /// Why; kept with the ledger entry.
        #[arg(long)]
        reason: String,
        /// Who decides this: an operator id, not a name; your user id on this host by default.
        #[arg(long)]
        operator: Option<String>,
    },
    /// Replace a partner's registration and keys; tokens obtained with a removed key are revoked.
    #[command(after_help = "Example:\n  causeway partner rotate new-payer --file partner.toml")]
    Rotate {
        /// Its id.
        id: String,
        /// The new registration, a TOML file with the same id.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Check a registration: status, NPI, certificate name, and keys, which are fetched if they are at a URL.
    Check {
        /// Its id.
        id: String,
    },
}

/// Runs the command. Files are relative to `cwd`. Waits on this thread.
///
/// # Errors
/// Those of the store; what the user can mend is printed and told by the exit code.
pub fn run(
    args: &PartnerArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    perform(&args.command, ctx, cwd, asker, out).or_else(|failure| {
        // An id that is taken is no wrong usage: another would do.
        let is_taken = |field: &String| field == "id" || field == "client_id";
        if failure.fault() == Fault::PartnerInvalid && failure.expressions().iter().any(is_taken) {
            report(&failure, out);
            return Ok(Exit::Failed);
        }
        Err(failure)
    })
}

fn perform(
    command: &PartnerCommand,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match command {
        PartnerCommand::Add { file } => {
            let registration = read(&cwd.join(file), asker, out)?;
            let row = registry::add(ctx, &registration, asker.note(""))?;
            out.note(&format!("added partner {}", row.id));
            tell(out, row);
        }
        PartnerCommand::Show { id } => {
            let row = registry::find(ctx, id)?;
            let tallied = registry::tallied(ctx, id)?;
            out.value(&RegisteredPartner::of(row, Some(&tallied)));
        }
        PartnerCommand::List => list(registry::list(ctx)?, out),
        PartnerCommand::Suspend { id, reason } => {
            registry::suspend(ctx, id, asker.note(one_line(reason)?))?;
            out.note(&format!("suspended partner {id}"));
            tell(out, registry::find(ctx, id)?);
        }
        PartnerCommand::Resume { id } => {
            registry::resume(ctx, id, asker.note(""))?;
            out.note(&format!("resumed partner {id}"));
            tell(out, registry::find(ctx, id)?);
        }
        PartnerCommand::Unlock { id, reason, operator } => {
            let note = asker.operator_note(operator.as_deref(), reason)?;
            registry::unlock(ctx, id, note)?;
            out.note(&format!("unlocked the matching of partner {id}"));
            tell(out, registry::find(ctx, id)?);
        }
        PartnerCommand::Rotate { id, file } => {
            let registration = read(&cwd.join(file), asker, out)?;
            if registration.row.id != *id {
                let remedy = format!("The file registers {}, not {id}.", registration.row.id);
                return Err(Failure::new(Fault::PartnerInvalid).at("file").remedy(remedy));
            }
            registry::rotate(ctx, &registration, asker.note(""))?;
            out.note(&format!("rotated partner {id}"));
            tell(out, registry::find(ctx, id)?);
        }
        PartnerCommand::Check { id } => return check(&registry::find(ctx, id)?, out),
    }
    Ok(Exit::Done)
}

/// A reason that fits on one line of a table.
fn one_line(reason: &str) -> Result<&str, Failure> {
    let reason = reason.trim();
    if reason.chars().count() > REASON_MAX || !is_one_line(reason) {
        let remedy = format!("Say why, in 1 to {REASON_MAX} characters on one line.");
        return Err(Failure::new(Fault::ParameterInvalid).at("--reason").remedy(remedy));
    }
    Ok(reason)
}

fn read(path: &Path, asker: &CommandAsker, out: &mut Out) -> Result<Registration, Failure> {
    let registration = Registration::read(path, asker.on_loopback)?;
    for warning in &registration.warnings {
        out.note(&format!("warning: {warning}"));
    }
    Ok(registration)
}

/// The changed partner, for programs; people have the note.
fn tell(out: &mut Out, row: PartnerRow) {
    if out.json {
        out.value(&RegisteredPartner::of(row, None));
    }
}

fn list(rows: Vec<PartnerRow>, out: &mut Out) {
    if out.json {
        let all = rows.into_iter().map(|row| RegisteredPartner::of(row, None));
        out.value(&all.collect::<Vec<_>>());
        return;
    }
    let cells = |row: &PartnerRow| {
        vec![
            row.id.clone(),
            row.status.clone(),
            row.npi.clone(),
            row.mtls.clone(),
            row.name.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let header = ["ID", "STATUS", "NPI", "MTLS", "NAME"];
    out.list(&header, &rows, &ShortIds::default(), "No partner is registered.");
}

fn check(row: &PartnerRow, out: &mut Out) -> Result<Exit, Failure> {
    // A thread of its own: this one may belong to the server's runtime already.
    let findings = std::thread::scope(|scope| {
        let work = || -> Result<Vec<Finding>, Failure> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| Failure::new(Fault::Internal).because(error))?;
            Ok(runtime.block_on(partner::check(row, &Keyring::new(false))))
        };
        scope
            .spawn(work)
            .join()
            .unwrap_or_else(|_| Err(Failure::new(Fault::Internal).because("the check panicked")))
    })?;
    let ok = findings.iter().all(|finding| finding.result != "failed");
    if out.json {
        out.value(&json!({ "id": row.id, "ok": ok, "checks": findings }));
    } else {
        let cells = |finding: &Finding| {
            vec![
                finding.check.to_owned(),
                finding.result.to_owned(),
                finding.detail.clone(),
            ]
        };
        out.table(
            &["CHECK", "RESULT", "DETAIL"],
            &findings.iter().map(cells).collect::<Vec<_>>(),
        );
    }
    Ok(if ok { Exit::Done } else { Exit::Failed })
}
