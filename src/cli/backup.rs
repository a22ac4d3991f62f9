//! `causeway backup`: copies a SQLite store into a folder while it is in use, with what is needed to check the copy.

use super::asker::CommandAsker;
use crate::audit::backup;
use crate::audit::backup_files::{BackupManifest, BackupProgress, MANIFEST};
use crate::audit::{Action, Actor, LedgerEvent, ledger};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::secret::member_keys::{MEMBER_KEYS_FILE, WRAPPING_KEYS_FILE};
use crate::security::vault::{KEYS_FILE, Vault};
use crate::store::Db;
use crate::store::backups::{self, BackupRow};
use crate::telemetry::Correlation;
use crate::terminal::{Exit, Out};
use clap::Args;
use indicatif::{BinaryBytes, ProgressBar, ProgressStyle};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Arguments of `backup`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway backup /srv/backups/2026-11-27\n  causeway backup /srv/backups/2026-11-27 --json\n\n\
    It works while a server runs, which then makes the backup: the folder is the server's user's. The private keys are not in it:\n\
    docs/operators/backup.md says what else to keep, and how a PostgreSQL store is backed up."
)]
pub struct BackupArgs {
    /// A folder that is not there yet, or is empty
    pub folder: PathBuf,
    /// After how many days you will delete it: `audit erase-subject` lists the backups that still have what it erased
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u16).range(1..))]
    pub keep_days: Option<u16>,
}

/// A day, in milliseconds.
const DAY_MS: i64 = 24 * 3_600_000;
/// How often a line of progress is printed.
const EVERY: Duration = Duration::from_secs(5);

/// How far a command has come: a bar at a terminal, else a line now and then.
pub(super) struct ProgressShown {
    bar: ProgressBar,
    in_lines: bool,
    told: Instant,
}

impl ProgressShown {
    /// Of a command that prints to `out`.
    pub(super) fn of(out: &Out) -> ProgressShown {
        let is_heard = !out.quiet && !out.json;
        let bar = match out.terminal && is_heard {
            true => ProgressBar::new(0),
            false => ProgressBar::hidden(),
        };
        let template =
            "{spinner} {msg} {bar:20} {percent:>3} %  {bytes} of {total_bytes}, {binary_bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        ProgressShown {
            bar,
            in_lines: is_heard && !out.terminal,
            told: Instant::now(),
        }
    }

    /// Shows how far it is.
    pub(super) fn show(&mut self, progress: BackupProgress, out: &mut Out) {
        let BackupProgress { stage, done, total } = progress;
        self.bar.set_message(stage);
        self.bar.set_length(total);
        self.bar.set_position(done);
        if self.in_lines && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            out.note(&format!("{stage}: {} of {}", BinaryBytes(done), BinaryBytes(total)));
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// The refusal of a command that is for SQLite alone.
pub(super) fn only_sqlite(command: &str) -> Failure {
    Failure::new(Fault::ConfigInvalid).at("store.url").remedy(format!(
        "`causeway {command}` is for SQLite. Use the tools of PostgreSQL for this store: docs/operators/backup.md says how, and what to do about the ledger."
    ))
}

/// Makes a backup of the store, and records it in the ledger. Waits on this thread.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a PostgreSQL store; [`Fault::InputUnreadable`] for a folder that cannot be used; [`Fault::NoRoom`]; those of
/// the store.
pub fn run(args: &BackupArgs, ctx: &Context, cwd: &Path, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let path = ctx.store.url().sqlite_path().ok_or_else(|| only_sqlite("backup"))?;
    let path = std::path::absolute(path).map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
    let keys = received_keys(&asker.data_folder)?;
    let folder = cwd.join(&args.folder);
    let place = BackupPlace {
        folder: folder.display().to_string(),
        keep_days: args.keep_days,
    };
    let mut shown = ProgressShown::of(out);
    let made = backup::make(
        &path,
        &folder,
        keys,
        &ctx.clock,
        &mut |progress| shown.show(progress, out),
        |sum, bytes| record(ctx, asker, &place, sum, bytes),
    );
    shown.clear();
    let (manifest, sum) = made?;
    let beside = [MEMBER_KEYS_FILE, WRAPPING_KEYS_FILE];
    let keys: Vec<&str> = beside
        .into_iter()
        .filter(|name| asker.data_folder.join(name).exists())
        .collect();
    tell(&manifest, &hex(&sum), (folder.as_path(), &keys), out);
    Ok(Exit::Done)
}

/// The ids of the keys that seal what other payers sent; none when there are no such keys.
fn received_keys(data_folder: &Path) -> Result<Vec<String>, Failure> {
    let path = data_folder.join(KEYS_FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let vault = Vault::read(&path)?;
    Ok(vault.secrets("").map(|(id, _)| id.to_owned()).collect())
}

/// Where a backup is, and for how long.
struct BackupPlace {
    folder: String,
    keep_days: Option<u16>,
}

/// Records that a copy of the store was made: who made it, its size, and the digest of its manifest; and that what is erased later is still
/// in it.
fn record(ctx: &Context, asker: &CommandAsker, place: &BackupPlace, sum: [u8; 32], bytes: u64) -> Result<(), Failure> {
    let now_us = ctx.clock.now_us();
    let entry_id = ctx.ids.new_id(now_us / 1000);
    let actor = Actor {
        kind: "operator",
        ..Actor::default()
    };
    let mut entry = LedgerEvent::new(Action::StoreBackedUp, actor, Correlation::internal(entry_id.clone()));
    entry.note = Some(asker.note(""));
    entry.response_digest = Some(sum);
    entry.bytes = Some(bytes);
    let row = BackupRow {
        entry_id: entry_id.clone(),
        made_ms: now_us / 1000,
        folder: place.folder.clone(),
        bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        sha256: sum.to_vec(),
        expires_ms: place.keep_days.map(|days| now_us / 1000 + i64::from(days) * DAY_MS),
    };
    let write = move |db: &mut Db| {
        backups::put(db, &row)?;
        ledger::append(db, &entry, &entry_id, now_us)
    };
    ctx.store.reserved().write_blocking(write)
}

fn tell(manifest: &BackupManifest, sum: &str, (folder, keys): (&Path, &[&str]), out: &mut Out) {
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    if out.json {
        let mut value = json!(manifest);
        value["folder"] = json!(folder.display().to_string());
        value["manifest_sha256"] = json!(sum);
        out.value(&value);
        return;
    }
    let covered = manifest.log.as_ref().and_then(|log| log.checkpoint);
    out.line(&format!(
        "{} entries of the ledger ({} signed), {} in {}",
        manifest.entries,
        covered.unwrap_or(0),
        BinaryBytes(bytes),
        folder.display()
    ));
    out.line(&format!("SHA-256 of {}: {sum}", MANIFEST));
    let mut apart = Vec::new();
    if !manifest.received_keys.is_empty() {
        apart.push(KEYS_FILE.to_owned());
    }
    apart.extend(keys.iter().map(|name| (*name).to_owned()));
    if let Some(log) = &manifest.log {
        apart.push(format!("{}.key", log.id));
    }
    if !apart.is_empty() {
        out.note(&format!("not in the backup, keep apart from it: {}", apart.join(", ")));
    }
}
