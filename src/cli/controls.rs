//! `causeway controls`: the register of controls with their last runs, and a run with its dated report.

use super::asker::CommandAsker;
use super::audit_keys::kept_checkpoint;
use super::pages::or_dash;
use crate::audit::log::key_of;
use crate::audit::note::Checkpoint;
use crate::context::Context;
use crate::controls::register::{self, CONTROLS, Control, RegisteredControl, control};
use crate::controls::report::{ControlReport, ControlResult};
use crate::controls::{self, ControlsAsked, HowMany, page};
use crate::error::{Failure, Fault};
use crate::secret::{hex, random, sha256};
use crate::store::ledger_tree;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Defects of one control that are shown; the report has more.
const SHOWN: usize = 5;

/// Arguments of `controls`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway controls list\n  causeway controls run --out /srv/reviews\n  \
    causeway controls run --full --against last-month.checkpoint --out /srv/reviews\n  causeway controls run --only rebuild --seed 7 --json"
)]
pub struct ControlsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ControlsCommand,
}

/// What to do with controls.
#[derive(Subcommand, Clone, Debug)]
pub enum ControlsCommand {
    /// List the controls: what each shows, who answers for it, and its last run
    List,
    /// Run the controls and write a dated report: 0 all hold, 1 a control failed
    Run {
        /// By what rows and entries are chosen; the same seed chooses the same ones. Without it, one is drawn and printed
        #[arg(long)]
        seed: Option<u32>,
        /// How many rows or entries of each kind are looked at
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        sample: u32,
        /// Look at all of them
        #[arg(long, conflicts_with = "sample")]
        full: bool,
        /// Run only this control; may be given several times
        #[arg(long, value_name = "CONTROL")]
        only: Vec<String>,
        /// A checkpoint of this ledger that was kept elsewhere; may be given several times
        #[arg(long, value_name = "FILE")]
        against: Vec<PathBuf>,
        /// A folder for the report, as an HTML page and as JSON
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

impl ControlsArgs {
    /// Whether it only reads the store.
    pub fn only_reads(&self) -> bool {
        matches!(self.command, ControlsCommand::List)
    }
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for a control that is not in the register, or a checkpoint of another log; [`Fault::InputUnreadable`] for files
/// that cannot be read or written; those of the store.
pub fn run(
    args: &ControlsArgs,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match &args.command {
        ControlsCommand::List => list(ctx, out),
        ControlsCommand::Run {
            seed,
            sample,
            full,
            only,
            against,
            out: folder,
        } => {
            let asked = ControlsAsked {
                seed: seed.unwrap_or_else(|| u32::from_be_bytes(random())),
                many: match full {
                    true => HowMany::All,
                    false => HowMany::Some(*sample),
                },
                only: only.iter().map(|id| named(id)).collect::<Result<_, _>>()?,
                outside: checkpoints(ctx, cwd, against)?,
            };
            let folder = folder.as_ref().map(|folder| cwd.join(folder));
            if let Some(folder) = &folder {
                make(folder)?;
            }
            run_controls(ctx, &asked, folder.as_deref(), asker, out)
        }
    }
}

fn list(ctx: &Context, out: &mut Out) -> Result<Exit, Failure> {
    let now_ms = ctx.clock.now_ms();
    let items = ctx.store.read_blocking(|db| register::listed(db, now_ms))?;
    if out.json {
        out.value(&json!({ "items": items }));
        return Ok(Exit::Done);
    }
    let cells = |item: &RegisteredControl| {
        let last = item.last.as_ref();
        vec![
            item.control.to_owned(),
            item.owner.to_owned(),
            item.every.to_owned(),
            or_dash(last.map(|last| last.at.as_str())),
            or_dash(last.map(|last| last.result.as_str())),
            if item.is_due { "due" } else { "-" }.to_owned(),
            item.shows.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let header = ["CONTROL", "OWNER", "EVERY", "LAST RUN", "RESULT", "NEXT", "SHOWS"];
    out.list(&header, &rows, &ShortIds::default(), "There are no controls.");
    Ok(Exit::Done)
}

/// The control of this name.
fn named(id: &str) -> Result<&'static Control, Failure> {
    control(id).ok_or_else(|| {
        let all: Vec<&str> = CONTROLS.iter().map(|control| control.id).collect();
        Failure::new(Fault::ParameterInvalid)
            .at("--only")
            .remedy(format!("Give one of: {}.", all.join(", ")))
    })
}

/// The checkpoints of this ledger in these files.
fn checkpoints(ctx: &Context, cwd: &Path, files: &[PathBuf]) -> Result<Vec<Checkpoint>, Failure> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let log = ctx.store.read_blocking(ledger_tree::log)?.ok_or_else(|| {
        Failure::new(Fault::ParameterInvalid)
            .at("--against")
            .remedy("No log of this ledger has begun, so that it has no checkpoints.")
    })?;
    let key = key_of(&log)?;
    let mut found = Vec::new();
    for file in files {
        found.extend(kept_checkpoint(cwd, Some(file), &key)?);
    }
    Ok(found)
}

fn run_controls(
    ctx: &Context,
    asked: &ControlsAsked,
    folder: Option<&Path>,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    out.note(&format!("seed {}", asked.seed));
    let report = controls::run(ctx, asked, &mut |control| {
        out.note(&format!("{}: {}", control.id, control.shows))
    })?;
    let bytes = controls::bytes(&report)?;
    let sum = hex(&sha256(&bytes));
    let mut written = Vec::new();
    if let Some(folder) = folder {
        // A name that sorts by time and that every file system takes.
        let name = format!("controls-{}", report.at.replace([':', '.'], "-"));
        let page = page::html(&report, &sum);
        for (end, content) in [("json", bytes.as_slice()), ("html", page.as_bytes())] {
            written.push(write(&folder.join(format!("{name}.{end}")), content)?);
        }
    }
    controls::record(ctx, &report, asker.note(""))?;
    show(&report, &sum, &written, out);
    Ok(match report.result {
        ControlResult::Failed => Exit::Failed,
        _ => Exit::Done,
    })
}

fn show(report: &ControlReport, sum: &str, written: &[PathBuf], out: &mut Out) {
    if out.json {
        let mut value = json!(report);
        value["report_sha256"] = json!(sum);
        value["files"] = written.iter().map(|path| path.display().to_string()).collect();
        out.value(&value);
        return;
    }
    let rows: Vec<Vec<String>> = report
        .controls
        .iter()
        .map(|one| {
            vec![
                one.control.to_owned(),
                one.result.code().to_owned(),
                one.checked.to_string(),
                one.defects.to_string(),
                or_dash(one.facts.get("why").map(String::as_str)),
            ]
        })
        .collect();
    let header = ["CONTROL", "RESULT", "CHECKED", "DEFECTS", "NOTE"];
    out.list(&header, &rows, &ShortIds::default(), "No control ran.");
    for one in &report.controls {
        for defect in one.found.iter().take(SHOWN) {
            out.line(&format!(
                "{}: {} {}: {}",
                one.control, defect.what, defect.id, defect.why
            ));
        }
        if one.defects > SHOWN as u64 {
            out.line(&format!(
                "{}: {} defects in all; the report has more",
                one.control, one.defects
            ));
        }
    }
    out.line(&format!("seed {}, SHA-256 of the report: {sum}", report.seed));
    for path in written {
        out.line(&path.display().to_string());
    }
    if report.result == ControlResult::Failed {
        let word = out.loud("failed");
        out.note(&format!("a control {word}: docs/auditors/controls.md says what to do"));
    }
}

fn unusable(path: &Path, error: std::io::Error) -> Failure {
    Failure::new(Fault::InputUnreadable)
        .at(path.display().to_string())
        .remedy("Name a folder that can be written; while a server runs, it is the server that writes.")
        .because(error)
}

/// Makes the folder for reports, if it is not there, and sees that it is one.
fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| unusable(folder, error))?;
    let probe = folder.join(format!(".controls-{}", hex(&random::<8>())));
    write(&probe, b"")?;
    fs::remove_file(&probe).map_err(|error| unusable(&probe, error))
}

/// Writes a file that is not there yet.
fn write(path: &Path, content: &[u8]) -> Result<PathBuf, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(path);
    let written = file.and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    written.map_err(|error| unusable(path, error))?;
    Ok(path.to_path_buf())
}
