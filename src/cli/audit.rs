//! `causeway audit`: checks the ledger, proves single entries, and exports it for auditors who trust nobody.

use super::asker::CommandAsker;
use super::audit_keys::{kept_checkpoint, log_key, witness_key};
use super::look::LookArgs;
use crate::audit::cosigned::{last_cosigned, with_lines};
use crate::audit::export;
use crate::audit::folder::ExportedLedger;
use crate::audit::log::{StoreTiles, key_of};
use crate::audit::stored::StoredLedger;
use crate::audit::tree::{TreeHash, leaf_hash, proof};
use crate::audit::verify::{LedgerResult, LedgerVerdict, verify};
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::store::Db;
use crate::store::cosignatures;
use crate::store::ledger_tree::{self as rows, LogRow};
use crate::terminal::{Exit, Out};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Arguments of `audit`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway audit verify\n  causeway audit export /tmp/ledger\n  \
    causeway audit verify /tmp/ledger --key ledger.pub --against last-month.checkpoint"
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
        /// A folder with an exported ledger; without it, the ledger of the store
        folder: Option<PathBuf>,
        /// The public key of the log, or a file that holds it; needed for an exported ledger
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
    /// Print the last signed checkpoint, with the lines of the witnesses that have confirmed it
    Checkpoint {
        /// The last one that a witness has confirmed instead
        #[arg(long)]
        witnessed: bool,
    },
    /// Print the public key of the log
    Key,
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

    /// The member that the command names.
    pub fn member(&self) -> Option<&str> {
        match &self.command {
            AuditCommand::EraseSubject { member, .. } => Some(member),
            _ => None,
        }
    }

    /// Whether the command reads a store: it does not when it verifies an export.
    pub fn needs_store(&self) -> bool {
        !matches!(&self.command, AuditCommand::Verify { folder: Some(_), .. })
    }
}

/// Verifies an exported ledger, without a store.
///
/// # Errors
/// [`Fault::ParameterInvalid`] without the key, for a file that holds no key, or for a checkpoint of another log; [`Fault::InputUnreadable`].
pub fn run(args: &AuditArgs, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let AuditCommand::Verify {
        folder: Some(folder),
        key,
        against,
        witness,
    } = &args.command
    else {
        return Err(Fault::ParameterInvalid.into());
    };
    let key = key.as_deref().ok_or_else(|| {
        let remedy = "Give --key with the public key of the log, which you got another way than the export itself.";
        Failure::new(Fault::ParameterInvalid).at("--key").remedy(remedy)
    })?;
    let key = log_key(cwd, key, "--key")?;
    let against = kept_checkpoint(cwd, against.as_deref(), &key)?;
    let witness = witness.as_deref().map(|key| witness_key(cwd, key)).transpose()?;
    let mut ledger = ExportedLedger::open(&cwd.join(folder))?;
    let verdict = verify(&mut ledger, &key, against.as_ref(), witness.as_ref())?;
    Ok(show(&verdict, None, out))
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
    let log = ctx.store.read_blocking(rows::log)?.ok_or_else(|| {
        Failure::new(Fault::NotFound).remedy("The log of the ledger begins when a server or worker starts.")
    })?;
    match &args.command {
        AuditCommand::Verify {
            key, against, witness, ..
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
            Ok(show(&verdict, Some(waiting.len()), out))
        }
        AuditCommand::Prove { entry } => {
            let proof = ctx.store.read_blocking(|db| prove(db, &log, entry))?;
            asker.show(ctx, "ledger", None)?;
            proof.show(out);
            Ok(Exit::Done)
        }
        AuditCommand::Consistency { older, newer } => consistency(ctx, &log, *older, *newer, out),
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
        AuditCommand::EraseSubject { .. } => Err(Fault::ParameterInvalid.into()),
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
fn show(verdict: &LedgerVerdict, waiting: Option<usize>, out: &mut Out) -> Exit {
    let exit = match verdict.result {
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
    if let Some(waiting) = waiting.filter(|waiting| *waiting > 0) {
        out.note(&format!(
            "{waiting} entries are committed and have no place in the tree yet"
        ));
    }
    exit
}

/// The proof that an entry is in the ledger.
struct EntryProof {
    index: u64,
    leaf: TreeHash,
    path: Vec<TreeHash>,
    note: String,
}

impl EntryProof {
    fn show(&self, out: &mut Out) {
        let path: Vec<String> = self.path.iter().map(|hash| STANDARD.encode(hash)).collect();
        if out.json {
            let leaf = hex(&self.leaf);
            out.value(&json!({ "index": self.index, "leaf_hash": leaf, "proof": path, "checkpoint": self.note }));
            return;
        }
        let lines: String = path.iter().map(|hash| format!("{hash}\n")).collect();
        out.raw(&format!(
            "c2sp.org/tlog-proof@v1\nindex {}\n{lines}\n{}",
            self.index, self.note
        ));
    }
}

fn prove(db: &mut Db, log: &LogRow, entry: &str) -> Result<EntryProof, Failure> {
    let (checkpoint, note) = last_cosigned(db, log)?;
    let unknown = || Failure::new(Fault::LedgerEntryUnknown);
    let index = match entry.parse::<i64>() {
        Ok(index) => index,
        Err(_) => rows::index_of(db, log.no, entry)?.ok_or_else(unknown)?,
    };
    let place = u64::try_from(index)
        .ok()
        .filter(|index| *index < checkpoint.size)
        .ok_or_else(unknown)?;
    let leaf = rows::leaves(db, log.no, index, 1)?.into_iter().next();
    let bytes = leaf
        .filter(|leaf| leaf.0 == index)
        .and_then(|leaf| leaf.2)
        .ok_or(Fault::StoreDamaged)?;
    let path = proof::inclusion(&mut StoreTiles::open(db, log.no)?, place, checkpoint.size)?;
    let leaf = leaf_hash(&bytes);
    if !proof::includes(&checkpoint.root, checkpoint.size, place, &leaf, &path) {
        let cause = "the entry is not the one that the checkpoint signs; `causeway audit verify` says more";
        return Err(Failure::new(Fault::StoreDamaged).because(cause));
    }
    Ok(EntryProof {
        index: place,
        leaf,
        path,
        note,
    })
}

fn consistency(ctx: &Context, log: &LogRow, older: u64, newer: u64, out: &mut Out) -> Result<Exit, Failure> {
    let (roots, path) = ctx.store.read_blocking(|db| {
        let mut tiles = StoreTiles::open(db, log.no)?;
        if older > newer || newer > tiles.size() {
            let remedy = format!(
                "Give two numbers of entries in order; the tree has {} entries.",
                tiles.size()
            );
            return Err(Failure::new(Fault::ParameterInvalid).at("NEWER").remedy(remedy));
        }
        let roots = [proof::root_at(&mut tiles, older)?, proof::root_at(&mut tiles, newer)?];
        Ok((roots, proof::consistency(&mut tiles, older, newer)?))
    })?;
    let [from, to] = roots.map(|root| STANDARD.encode(root));
    let path: Vec<String> = path.iter().map(|hash| STANDARD.encode(hash)).collect();
    if out.json {
        out.value(&json!({ "older": older, "older_root": from, "newer": newer, "newer_root": to, "proof": path }));
    } else {
        out.line(&format!("{older} {from}"));
        out.line(&format!("{newer} {to}"));
        for hash in path {
            out.line(&hash);
        }
    }
    Ok(Exit::Done)
}
