//! `causeway audit`: checks the ledger, proves single entries, and exports it for auditors who trust nobody.

use super::asker::CommandAsker;
use super::audit_keys::{kept_checkpoint, log_key, witness_key};
use super::audit_looks::{self, AuditLooksArgs};
use super::audit_packet::{self, AuditPacketArgs};
use super::audit_prove;
use super::look::LookArgs;
use super::sealing_keys::{self, SealingKeysCommand};
use crate::audit::cosigned::{last_cosigned, with_lines};
use crate::audit::export;
use crate::audit::folder::ExportedLedger;
use crate::audit::log::key_of;
use crate::audit::shares::{self, SharesVerdict};
use crate::audit::stored::StoredLedger;
use crate::audit::verify::{LedgerResult, LedgerVerdict, verify};
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::store::cosignatures;
use crate::store::ledger_tree::{self as rows, LogRow};
use crate::terminal::{Exit, Out};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `audit`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway audit verify\n  causeway audit export /tmp/ledger\n  \
    causeway audit verify /tmp/ledger --key ledger.pub --against last-month.checkpoint\n  \
    causeway audit packet EXCHANGE --reason \"an audit\" --out packet.tar\n  causeway audit verify --packet packet.tar --key ledger.pub"
)]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What to do with the ledger.
#[derive(Subcommand, Clone, Debug)]
pub enum AuditCommand {
    /// Verify every entry of the ledger: 0 all is as signed, 1 changed, 3 incomplete, 70 forked or rolled back
    Verify {
        /// A folder with an exported ledger, or the file of an evidence packet; without it, the ledger of the store
        folder: Option<PathBuf>,
        /// The file of an evidence packet
        #[arg(long, value_name = "FILE", conflicts_with = "folder")]
        packet: Option<PathBuf>,
        /// Of the store: check also that members' shares of disclosed files are those to which the ledger is committed
        #[arg(long, conflicts_with_all = ["folder", "packet"])]
        full: bool,
        /// The public key of the log, or a file that holds it; needed for an exported ledger and for a packet
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// A checkpoint that was kept elsewhere, which the ledger must extend
        #[arg(long, value_name = "FILE")]
        against: Option<PathBuf>,
        /// The public key of a witness, or a file that holds it: the ledger must extend the newest checkpoint that it confirmed
        #[arg(long, value_name = "KEY")]
        witness: Option<String>,
    },
    /// Prove that an entry is in the ledger, as a C2SP tlog-proof
    Prove {
        /// Id of the entry, or its index
        entry: String,
    },
    /// Prove that the ledger of NEWER entries extends that of OLDER entries
    Consistency {
        /// Number of entries of the older tree
        older: u64,
        /// Number of entries of the newer tree
        newer: u64,
    },
    /// Export the ledger, as far as it is signed, into a folder: C2SP tlog-tiles
    Export {
        /// A folder that is not there yet, or is empty
        folder: PathBuf,
        /// Why, and who
        #[command(flatten)]
        look: LookArgs,
    },
    /// Ask for an evidence packet: one signed file that shows what happened, with proofs
    Packet(AuditPacketArgs),
    /// Begin a new log over the same entries, after a restore or when the key is lost; stop servers and workers first
    NewLog {
        /// Why, on one line
        #[arg(long)]
        reason: String,
        /// Who you are, beside your user id on this host
        #[arg(long)]
        operator: Option<String>,
    },
    /// Erase what opens the entries about a member, and with --record the member's record; every proof stays valid
    #[command(after_help = super::audit_erase::EXAMPLES)]
    EraseSubject {
        /// The member: `Patient/ID`, an id, or - for a member number on standard input
        member: String,
        /// Why: member-request, legal-order, retention-over, recorded-in-error or test-data
        #[arg(long, value_name = "CODE")]
        reason: String,
        /// The law that demands it while records must be kept: court-order, regulator-order, state-law or no-duty-to-keep
        #[arg(long, value_name = "CODE")]
        legal_basis: Option<String>,
        /// Erase the record too, and everything that was made of it, decided about it or received
        #[arg(long)]
        record: bool,
        /// Only tell what there is, and whether it may be erased
        #[arg(long)]
        dry_run: bool,
    },
    /// List who looked at what, the newest first; names no member
    Looks(AuditLooksArgs),
    /// Print the last signed checkpoint, with the lines of the witnesses that have confirmed it
    Checkpoint {
        /// The last one that a witness has confirmed instead
        #[arg(long)]
        witnessed: bool,
    },
    /// Print the public key of the log
    Key,
    /// Check or rotate the keys outside the database that seal values beside the ledger
    #[command(after_help = sealing_keys::EXAMPLES)]
    Keys {
        /// What to do
        #[command(subcommand)]
        what: SealingKeysCommand,
    },
}

impl AuditArgs {
    /// Whether the command begins a log, for which it needs the folder of keys besides the store.
    pub fn begins_log(&self) -> bool {
        matches!(&self.command, AuditCommand::NewLog { .. })
    }

    /// Whether the command erases a member.
    pub fn erases(&self) -> bool {
        matches!(&self.command, AuditCommand::EraseSubject { .. })
    }

    /// Whether the command reads a store: it does not when it verifies an export.
    pub fn needs_store(&self) -> bool {
        !matches!(
            &self.command,
            AuditCommand::Verify { folder: Some(_), .. } | AuditCommand::Verify { packet: Some(_), .. }
        )
    }

    /// Whether the command only reads the store.
    pub fn reads(&self) -> bool {
        match &self.command {
            AuditCommand::Packet(_) | AuditCommand::EraseSubject { .. } => false,
            AuditCommand::Keys { what } => what.reads(),
            _ => true,
        }
    }

    /// The member that the command names.
    pub fn member(&self) -> Option<&str> {
        match &self.command {
            AuditCommand::EraseSubject { member, .. } => Some(member),
            AuditCommand::Packet(args) => args.member.as_deref(),
            _ => None,
        }
    }
}

/// Verifies an exported ledger or an evidence packet, without a store.
///
/// # Errors
/// [`Fault::ParameterInvalid`] without the key, for a file that holds no key, or for a checkpoint of another log; [`Fault::InputUnreadable`].
pub fn run(args: &AuditArgs, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let AuditCommand::Verify {
        folder,
        packet,
        key,
        against,
        witness,
        ..
    } = &args.command
    else {
        return Err(Fault::ParameterInvalid.into());
    };
    let path = packet.as_deref().or(folder.as_deref()).map(|path| cwd.join(path));
    let path = path.ok_or(Fault::ParameterInvalid)?;
    let key = key.as_deref().ok_or_else(|| {
        let remedy = "Give --key with the public key of the log, which you got another way than the export itself.";
        Failure::new(Fault::ParameterInvalid).at("--key").remedy(remedy)
    })?;
    let key = log_key(cwd, key, "--key")?;
    let against = kept_checkpoint(cwd, against.as_deref(), &key)?;
    let witness = witness.as_deref().map(|key| witness_key(cwd, key)).transpose()?;
    if packet.is_some() || path.is_file() {
        return audit_packet::verify(&path, &key, against.as_ref(), witness.as_ref(), out);
    }
    let mut ledger = ExportedLedger::open(&path)?;
    let verdict = verify(&mut ledger, &key, against.as_ref(), witness.as_ref())?;
    Ok(show(&verdict, (None, None), out))
}

/// Runs a command that reads the store. Waits on this thread.
///
/// # Errors
/// [`Fault::NotFound`] when there is no log or no checkpoint yet; [`Fault::LedgerEntryUnknown`]; those of the store.
pub fn on_store(
    args: &AuditArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    if let AuditCommand::Keys { what } = &args.command {
        return sealing_keys::run(what, ctx, asker, out);
    }
    let log = ctx.store.read_blocking(rows::log)?.ok_or_else(|| {
        Failure::new(Fault::NotFound).remedy("The log of the ledger begins when a server or worker starts.")
    })?;
    match &args.command {
        AuditCommand::Verify {
            key,
            against,
            witness,
            full,
            ..
        } => {
            let own = key_of(&log)?;
            let key = key.as_deref().map_or(Ok(own), |key| log_key(cwd, key, "--key"))?;
            let against = kept_checkpoint(cwd, against.as_deref(), &key)?;
            let witness = witness.as_deref().map(|key| witness_key(cwd, key)).transpose()?;
            let mut ledger = StoredLedger::open(&ctx.store, log.no)?;
            let verdict = verify(&mut ledger, &key, against.as_ref(), witness.as_ref())?;
            let waiting = ctx
                .store
                .read_blocking(|db| rows::missing(db, log.no, "", WAITING_MOST))?;
            let shares = match full {
                true => Some(shares::check(&ctx.store)?),
                false => None,
            };
            Ok(show(&verdict, (Some(waiting.len()), shares.as_ref()), out))
        }
        AuditCommand::Packet(args) => audit_packet::run(args, ctx, cwd, asker, out),
        AuditCommand::Looks(args) => audit_looks::run(args, ctx, asker, out),
        AuditCommand::Prove { entry } => {
            let proof = ctx.store.read_blocking(|db| audit_prove::prove(db, &log, entry))?;
            asker.show(ctx, "ledger", None)?;
            proof.show(out);
            Ok(Exit::Done)
        }
        AuditCommand::Consistency { older, newer } => audit_prove::consistency(ctx, &log, *older, *newer, out),
        AuditCommand::Export { folder, look } => {
            asker.show_to(ctx, look.note(asker)?, "ledger", None)?;
            let checkpoint = export::export(&ctx.store, &log, &cwd.join(folder))?;
            if out.json {
                out.value(
                    &json!({ "origin": checkpoint.origin, "entries": checkpoint.size, "root": hex(&checkpoint.root) }),
                );
            } else {
                out.note(&format!(
                    "{} entries of {} are in {}",
                    checkpoint.size,
                    checkpoint.origin,
                    folder.display()
                ));
            }
            Ok(Exit::Done)
        }
        AuditCommand::Checkpoint { witnessed } => checkpoint(ctx, &log, *witnessed, out),
        AuditCommand::EraseSubject { .. } | AuditCommand::Keys { .. } => Err(Fault::ParameterInvalid.into()),
        AuditCommand::NewLog { .. } => {
            Err(Failure::new(Fault::StoreBusy).remedy("Stop the server, and give the command again."))
        }
        AuditCommand::Key => {
            let key = key_of(&log)?.text();
            if out.json {
                out.value(&json!({ "key": key }));
            } else {
                out.line(&key);
            }
            Ok(Exit::Done)
        }
    }
}

/// How many entries without a place are counted.
const WAITING_MOST: i64 = 10_000;

/// Prints the last checkpoint, or the last one that a witness has confirmed.
fn checkpoint(ctx: &Context, log: &LogRow, witnessed: bool, out: &mut Out) -> Result<Exit, Failure> {
    let (newest, confirmed) = ctx
        .store
        .read_blocking(|db| Ok((last_cosigned(db, log)?, cosignatures::all(db, log.no)?)))?;
    let (checkpoint, note) = match witnessed {
        false => newest,
        true => {
            let last = confirmed.iter().max_by_key(|row| row.size).ok_or_else(|| {
                Failure::new(Fault::NotFound)
                    .remedy("No witness has confirmed a checkpoint: ledger.witnesses names those that are asked.")
            })?;
            let note = with_lines(last.note.clone(), last.size, &confirmed);
            let read = key_of(log)?.open(&note);
            let read = read.map_err(|defect| Failure::new(Fault::StoreDamaged).because(defect.text()))?;
            (read, note)
        }
    };
    if out.json {
        let witnesses: Vec<Value> = confirmed
            .iter()
            .map(|row| json!({ "key": row.witness, "size": row.size, "at": rfc3339_ms(row.signed_ms) }))
            .collect();
        let root = hex(&checkpoint.root);
        out.value(
            &json!({ "origin": checkpoint.origin, "size": checkpoint.size, "root": root, "note": note, "witnesses": witnesses }),
        );
    } else {
        out.raw(&note);
    }
    Ok(Exit::Done)
}

/// Prints what verifying found.
fn show(verdict: &LedgerVerdict, (waiting, shares): (Option<usize>, Option<&SharesVerdict>), out: &mut Out) -> Exit {
    let exit = match verdict.result {
        LedgerResult::Ok if shares.is_some_and(|shares| shares.why.is_some()) => Exit::Failed,
        LedgerResult::Ok => Exit::Done,
        LedgerResult::Tampered => Exit::Failed,
        LedgerResult::Incomplete => Exit::Unreadable,
        LedgerResult::Forked => Exit::Integrity,
    };
    if out.json {
        let mut value = json!(verdict);
        if let Some(waiting) = waiting {
            value["waiting"] = json!(waiting);
        }
        if let Some(shares) = shares {
            value["shares"] = json!(shares);
        }
        out.value(&value);
        return exit;
    }
    let mut said = match verdict.result {
        LedgerResult::Ok => format!(
            "ok: {} entries of {} are as they were signed",
            verdict.entries, verdict.origin
        ),
        LedgerResult::Tampered => "TAMPERED".to_owned(),
        LedgerResult::Incomplete => "INCOMPLETE".to_owned(),
        LedgerResult::Forked => "FORKED".to_owned(),
    };
    if let Some(why) = &verdict.why {
        said = format!("{said}: {why}");
    }
    if let Some(index) = verdict.first_bad {
        said = format!("{said}; the first bad index is {index}");
    }
    out.line(&said);
    if let (Some(size), Some(at)) = (verdict.witnessed, &verdict.witnessed_at) {
        let rest = verdict.checkpoint.unwrap_or(size).saturating_sub(size);
        out.line(&format!(
            "the witness confirmed the first {size} of them at {at}, and not yet the last {rest}"
        ));
    }
    if let Some(shares) = shares {
        out.line(&audit_packet::shares_in_words(shares));
    }
    if let Some(waiting) = waiting.filter(|waiting| *waiting > 0) {
        out.note(&format!(
            "{waiting} entries are committed and have no place in the tree yet"
        ));
    }
    exit
}
