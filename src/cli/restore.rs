//! `causeway restore`: puts a backup of a SQLite store into its place, says what is lost, and begins a new log of the ledger.
//!
//! All of it is prepared in a folder aside. A store that stands in its place is moved aside and never removed.

use self::place::{RESTORING, put, remove_left, sync_folder, unmovable};
use super::asker::CommandAsker;
use super::backup::{ProgressShown, only_sqlite};
use crate::app::wiring;
use crate::audit::backup_files::{Backup, MANIFEST, altered};
use crate::audit::log::OpenLog;
use crate::audit::log_files::LogFiles;
use crate::audit::note::{LogKey, NoteDefect};
use crate::audit::restored::{EndedRight, LostEntries, RestoredStore, SeenCheckpoint, StandingStore};
use crate::audit::{Action, Actor, LedgerEvent, OperatorNote, ledger};
use crate::config::Config;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::secret::member_keys::{MEMBER_KEYS_FILE, WRAPPING_KEYS_FILE};
use crate::security::vault::{KEYS_FILE, Vault};
use crate::store::{RoomLimits, StoreNeed, StoreUrl, copy, hold, member_keys, remove_folder};
use crate::telemetry::Correlation;
use crate::terminal::{Exit, Out};
use clap::Args;
use serde_json::json;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

mod place;

/// Arguments of `restore`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway restore /srv/backups/2026-11-27 --reason \"disk failed\" --against kept.checkpoint\n  \
    causeway restore /srv/backups/2026-11-27 --reason \"disk failed\" --replace-newer\n\n\
    Stop the server first. A store that is replaced stays beside the new one, under another name. The old log of the ledger ends, and a\n\
    new one begins, so that nothing that is signed from now on contradicts what was signed before."
)]
pub struct RestoreArgs {
    /// The folder of a backup
    pub folder: PathBuf,
    /// Why, on one line
    #[arg(long)]
    pub reason: String,
    /// Who you are, beside your user id on this host
    #[arg(long)]
    pub operator: Option<String>,
    /// The last checkpoint that was kept elsewhere: says what is lost, and that the backup has no other history
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// The SHA-256 of the manifest, as `causeway backup` printed it and as it was kept elsewhere
    #[arg(long, value_name = "HEX")]
    pub manifest_sha256: Option<String>,
    /// Replace a store that has nothing which the backup lacks
    #[arg(long)]
    pub replace: bool,
    /// Replace a store even if it has more than the backup
    #[arg(long)]
    pub replace_newer: bool,
}

/// Restores a backup. Waits on this thread.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a PostgreSQL store; [`Fault::StoreBusy`] while a server has the store; [`Fault::StoreNotEmpty`] over a store
/// that may not be replaced; [`Fault::BackupAltered`], [`Fault::LedgerForked`] and [`Fault::InputUnreadable`] for a backup that is not right;
/// [`Fault::NoRoom`]. Nothing was changed then.
pub fn run(args: &RestoreArgs, config: &Config, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let place = config.store.url.sqlite_path().ok_or_else(|| only_sqlite("restore"))?;
    let note = CommandAsker::here(None, config)?.operator_note(args.operator.as_deref(), &args.reason)?;
    let folder = cwd.join(&args.folder);
    let backup = Backup::open(&folder)?;
    if args
        .manifest_sha256
        .as_ref()
        .is_some_and(|kept| *kept != hex(&backup.sum))
    {
        return Err(altered(
            &folder.join(MANIFEST),
            "its SHA-256 is not the one of --manifest-sha256",
        ));
    }
    let _held = hold(place)?;
    let standing = demand_free(args, place, &backup)?;
    let aside = Aside::beside(place)?;
    let mut shown = ProgressShown::of(out);
    let copied = backup.copy_store(&aside.store(), &mut |progress| shown.show(progress, out));
    shown.clear();
    copied?;
    copy::demand_whole(&aside.store())?;
    let ctx = wiring::open_as_it_is(&aside.config(config), StoreNeed::Write, &mut |line| out.note(line))?;
    let mut done = Done::judged(args, config, cwd, (&ctx, &backup), standing.as_ref())?;
    let has_sealed = ctx.store.read_blocking(member_keys::has_any)?;
    let files = LogFiles::new(config.ledger_folder());
    let log = begin(&ctx, &files, &note, (&done, &backup))?;
    done.log = log.row.origin.clone();
    let finish = || -> Result<Option<PathBuf>, Failure> {
        ctx.store.settle();
        drop(ctx);
        copy::close_up(&aside.store())?;
        put(&aside.store(), place, standing.is_some())
    };
    done.old_store = finish().inspect_err(|_| files.forget(&log.row.log_id))?;
    // The restored store is there, whatever comes now, and needs the key of its log.
    sync_folder(place)?;
    done.keys_missing = keys_missing(config, &backup);
    done.lacks_member_keys = has_sealed && !config.data_folder().join(MEMBER_KEYS_FILE).exists();
    done.tell(place, out);
    Ok(Exit::Done)
}

/// The store that stands in the place, if it may be replaced.
fn demand_free(args: &RestoreArgs, place: &Path, backup: &Backup) -> Result<Option<StandingStore>, Failure> {
    if !place.exists() {
        return Ok(None);
    }
    let standing = match StandingStore::at(place) {
        Ok(standing) => standing,
        // What cannot be read is the reason why a backup is needed.
        Err(failure) if failure.fault() == Fault::StoreDamaged && args.replace_newer => return Ok(None),
        Err(failure) if failure.fault() == Fault::StoreDamaged => {
            return Err(Failure::new(Fault::StoreNotEmpty)
                .at(place.display().to_string())
                .remedy("This store cannot be read. Add --replace-newer to move it aside.")
                .because(failure));
        }
        Err(failure) => return Err(failure),
    };
    let is_newer = standing.is_newer(&backup.manifest);
    let remedy = match (args.replace_newer, args.replace, is_newer) {
        (true, ..) | (false, true, false) => return Ok(Some(standing)),
        (false, _, true) => {
            "It has what the backup lacks. If that may be lost, add --replace-newer: the store is moved aside, and what is lost is told."
        }
        (false, false, false) => "Add --replace to move it aside, or name another place in store.url.",
    };
    Err(Failure::new(Fault::StoreNotEmpty)
        .at(place.display().to_string())
        .remedy(format!("The ledger of this store has {}. {remedy}", standing.told())))
}

/// The folder in which a restore is prepared; it goes with what is left in it.
struct Aside(PathBuf);

impl Aside {
    /// Beside a place that is held: what an earlier restore left there, which was ended in its middle, goes now.
    fn beside(place: &Path) -> Result<Aside, Failure> {
        remove_left(place);
        let folder = place.with_extension(format!("{RESTORING}{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| unmovable(&folder, error))?;
        Ok(Aside(folder))
    }

    fn store(&self) -> PathBuf {
        self.0.join("causeway.db")
    }

    fn config(&self, config: &Config) -> Config {
        let mut aside = config.clone();
        aside.store.url = StoreUrl::Sqlite(self.store());
        aside.limits.room = RoomLimits::NONE;
        aside
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = remove_folder(&self.0);
    }
}

/// The checkpoints that were seen outside: the one that was given, and the one beside the key of the log.
fn seen(
    args: &RestoreArgs,
    config: &Config,
    cwd: &Path,
    key: &LogKey,
    log_id: &str,
) -> Result<Vec<SeenCheckpoint>, Failure> {
    let mut seen = Vec::new();
    if let Some(path) = &args.against {
        let path = cwd.join(path);
        let unreadable = || Failure::new(Fault::InputUnreadable).at(path.display().to_string());
        let note = fs::read_to_string(&path).map_err(|error| unreadable().because(error))?;
        let checkpoint = key.open(&note).map_err(|defect| match defect {
            NoteDefect::Malformed => unreadable().because(defect.text()),
            _ => Failure::new(Fault::ParameterInvalid)
                .at("--against")
                .remedy("Give a checkpoint of the log that the backup has.")
                .because(defect.text()),
        })?;
        let at_ms = written_ms(&path);
        seen.push(SeenCheckpoint { checkpoint, at_ms });
    }
    let folder = config.ledger_folder();
    if let Some(note) = LogFiles::new(folder.clone()).checkpoint(log_id)? {
        let forked = |defect: NoteDefect| {
            Failure::new(Fault::LedgerForked)
                .at(folder.display().to_string())
                .because(defect.text())
        };
        let checkpoint = key.open(&note).map_err(forked)?;
        let at_ms = written_ms(&folder.join(format!("{log_id}.checkpoint")));
        seen.push(SeenCheckpoint { checkpoint, at_ms });
    }
    Ok(seen)
}

/// When a file was written, UTC milliseconds.
fn written_ms(path: &Path) -> Option<i64> {
    let written = fs::metadata(path).and_then(|about| about.modified()).ok()?;
    i64::try_from(written.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

/// Begins a new log over the restored entries; the ledger says who restored the store, from which backup, and what is lost.
fn begin(
    ctx: &Context,
    files: &LogFiles,
    note: &OperatorNote,
    (done, backup): (&Done, &Backup),
) -> Result<OpenLog, Failure> {
    let now_us = ctx.clock.now_us();
    let entries = [Action::StoreRestored, Action::LedgerLogBegun].map(|action| {
        let id = ctx.ids.new_id(now_us / 1000);
        let actor = Actor {
            kind: "operator",
            ..Actor::default()
        };
        let mut entry = LedgerEvent::new(action, actor, Correlation::internal(id.clone()));
        entry.note = Some(note.clone());
        if action == Action::StoreRestored {
            entry.request_digest = Some(backup.sum);
            entry.counts.insert("lost".to_owned(), done.lost.entries);
        }
        (id, entry)
    });
    OpenLog::begin(ctx, files, done.next_log, move |db| {
        let mut each = entries.iter();
        each.try_for_each(|(id, entry)| ledger::append(db, entry, id, now_us))
    })
}

/// The keys of `received.keys` that the backup needs and that are not there.
fn keys_missing(config: &Config, backup: &Backup) -> Vec<String> {
    let vault = Vault::read(&config.data_folder().join(KEYS_FILE)).ok();
    let needed = backup.manifest.received_keys.iter();
    let missing = needed.filter(|id| !vault.as_ref().is_some_and(|vault| vault.has(id)));
    missing.cloned().collect()
}

/// What a restore did.
struct Done {
    entries: u64,
    next_log: i64,
    lost: LostEntries,
    ended: Vec<EndedRight>,
    log: String,
    old_store: Option<PathBuf>,
    keys_missing: Vec<String>,
    /// Whether the store has sealed values, and no file of their keys is there.
    lacks_member_keys: bool,
    has_seen: bool,
}

impl Done {
    /// Refuses a store that is not what it was signed to be; else says what it lacks.
    fn judged(
        args: &RestoreArgs,
        config: &Config,
        cwd: &Path,
        (ctx, backup): (&Context, &Backup),
        standing: Option<&StandingStore>,
    ) -> Result<Done, Failure> {
        let folder = cwd.join(&args.folder);
        let restored = RestoredStore::of(&ctx.store, &backup.manifest, &folder)?;
        let seen = match (restored.key()?, &backup.manifest.log) {
            (Some(key), Some(log)) => seen(args, config, cwd, &key, &log.id)?,
            _ if args.against.is_some() => {
                let remedy = "The backup has no log of the ledger: leave --against out.";
                return Err(Failure::new(Fault::ParameterInvalid).at("--against").remedy(remedy));
            }
            _ => Vec::new(),
        };
        restored.demand_true(&seen, args.manifest_sha256.is_some(), &folder)?;
        Ok(Done {
            entries: restored.entries(),
            next_log: restored.next_log(),
            lost: restored.lost(&seen, standing),
            ended: standing.map_or(Ok(Vec::new()), |standing| restored.ended_since(standing))?,
            log: String::new(),
            old_store: None,
            keys_missing: Vec::new(),
            lacks_member_keys: false,
            has_seen: !seen.is_empty() || standing.is_some(),
        })
    }

    fn tell(&self, place: &Path, out: &mut Out) {
        if out.json {
            out.value(&json!({
                "store": place.display().to_string(), "entries": self.entries, "lost": self.lost, "compared": self.has_seen,
                "ended_since": self.ended, "log": self.log, "old_store": self.old_store, "keys_missing": self.keys_missing,
                "lacks_member_keys": self.lacks_member_keys,
            }));
            return;
        }
        out.line(&format!(
            "restored {} entries of the ledger into {}",
            self.entries,
            place.display()
        ));
        let or_dash = |time: &Option<String>| time.clone().unwrap_or_else(|| "?".to_owned());
        out.line(&match (self.lost.entries, self.has_seen) {
            (0, true) => "nothing is lost that the ledger could show".to_owned(),
            (0, false) => {
                "what is lost is not known: no checkpoint was given with --against, and none is beside the key"
                    .to_owned()
            }
            (lost, _) => format!(
                "lost: at least {lost} entries, made after {} and up to {}",
                or_dash(&self.lost.after),
                or_dash(&self.lost.until)
            ),
        });
        if !self.ended.is_empty() {
            out.line(
                "these rights ended or changed after the backup and are as before it; end or change them before you start the server:",
            );
            let rows: Vec<Vec<String>> = self.ended.iter().map(EndedRight::cells).collect();
            out.table(&["AT", "ACTION", "PARTNER", "ID"], &rows);
            let again = ["member.erased", "retention.hold-placed"];
            if self.ended.iter().any(|one| again.contains(&one.action.as_str())) {
                out.line("erase again who was erased, and place the holds again");
            }
        }
        if let Some(old) = &self.old_store {
            out.note(&format!("the store that was here is now {}", old.display()));
        }
        if !self.keys_missing.is_empty() {
            out.note(&format!(
                "{KEYS_FILE} lacks keys that the store needs ({}): put it back before you start the server",
                self.keys_missing.join(", ")
            ));
        }
        if self.lacks_member_keys {
            out.note(&format!(
                "{MEMBER_KEYS_FILE} is not there: put its newest copy, and {WRAPPING_KEYS_FILE}, back before you start the server"
            ));
        }
        out.note(&format!(
            "a new log of the ledger begins: {}; give auditors its key (`causeway audit key`)",
            self.log
        ));
    }
}
