//! `causeway policy`: the versions of the matching policy at the command line.

use super::asker::CommandAsker;
use crate::audit::OperatorNote;
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::identity::{Field, Level, Point, RuleRow};
use crate::ops::policies::{self, PolicyItem};
use crate::policy::{self, ShadowReport, Version, VersionState};
use crate::terminal::{Exit, Out};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Largest text of a policy.
const TEXT_MOST: u64 = 1 << 20;

/// List, show, compare, try and activate versions of the matching policy.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  causeway policy list
  causeway policy diff balanced
  causeway policy import trained.policy --name trained-2026-11 --point safe --reason 'trained on our roster'
  causeway policy shadow trained-2026-11 --reason 'before it decides'
  causeway policy shadow
  causeway policy activate trained-2026-11 --reason 'no risky difference in a week'
  causeway policy activate safe --reason 'back to the version that ships'")]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// Who does it, and why.
#[derive(Args, Clone, Debug)]
pub struct PolicyReason {
    /// Why; kept with the ledger entry
    #[arg(long)]
    pub reason: String,
    /// Who decides this: an operator id, not a name; your user id on this host by default
    #[arg(long)]
    pub operator: Option<String>,
}

impl PolicyReason {
    fn note(&self, asker: &CommandAsker) -> Result<OperatorNote, Failure> {
        asker.operator_note(self.operator.as_deref(), &self.reason)
    }
}

/// What to do with policies. A version is named by its id, six of its first characters or more, or its name.
#[derive(Subcommand, Clone, Debug)]
pub enum PolicyCommand {
    /// List all versions, and which is in force.
    List,
    /// Show a version and its text; the one in force by default.
    Show {
        /// The version.
        version: Option<String>,
    },
    /// Show the deterministic rules of a version, the risk of each in this roster, and whether it decides
    Rules {
        /// The version; the one in force by default.
        version: Option<String>,
    },
    /// Show the numbers that differ between two versions.
    #[command(after_help = "Example:\n  causeway policy diff balanced")]
    Diff {
        /// The version to compare.
        version: String,
        /// The version to compare it with; the one in force by default.
        other: Option<String>,
    },
    /// Add a version from a file, such as `causeway identity train` writes.
    #[command(
        after_help = "Example:\n  causeway policy import trained.policy --name trained-2026-11 --point safe --reason 'trained on our roster'"
    )]
    Import {
        /// The text of the policy.
        file: PathBuf,
        /// A name for people.
        #[arg(long)]
        name: String,
        /// Its operating point, if the text names none.
        #[arg(long, value_parser = ["safe", "balanced"])]
        point: Option<String>,
        /// Who and why.
        #[command(flatten)]
        why: PolicyReason,
    },
    /// Activate a version. To go back, activate the older one.
    #[command(after_help = "Example:\n  causeway policy activate safe --reason 'back to the version that ships'")]
    Activate {
        /// The version.
        version: String,
        /// Who and why.
        #[command(flatten)]
        why: PolicyReason,
    },
    /// Show which source's value is shown for each attribute of a person, or put another text in force
    #[command(
        after_help = "Examples:\n  causeway policy survivorship > survivorship.txt\n  causeway policy survivorship survivorship.txt --reason 'the newest address counts'"
    )]
    Survivorship {
        /// File with a text as this command prints it; without it the command prints the one in force.
        #[arg(requires = "reason")]
        file: Option<PathBuf>,
        /// Why; kept with the ledger entry.
        #[arg(long)]
        reason: Option<String>,
        /// Who decides this: an operator id, not a name; your user id on this host by default.
        #[arg(long)]
        operator: Option<String>,
    },
    /// Run a version beside the one in force, without consequences; without a version, show what the run has found.
    #[command(
        after_help = "Examples:\n  causeway policy shadow balanced --reason 'fewer reviews?'\n  causeway policy shadow\n  causeway policy shadow --stop --reason 'seen enough'"
    )]
    Shadow {
        /// The version to try.
        #[arg(conflicts_with = "stop", requires = "reason")]
        version: Option<String>,
        /// End the run.
        #[arg(long, requires = "reason")]
        stop: bool,
        /// Why; kept with the ledger entry.
        #[arg(long)]
        reason: Option<String>,
        /// Who decides this: an operator id, not a name; your user id on this host by default.
        #[arg(long)]
        operator: Option<String>,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of the policies and of the store; [`Fault::InputUnreadable`] for the file.
pub fn run(args: &PolicyArgs, ctx: &Context, cwd: &Path, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        PolicyCommand::List => list(&policy::list(ctx)?, out),
        PolicyCommand::Show { version } => {
            show(&named_or_active(ctx, version.as_deref())?, out);
        }
        PolicyCommand::Survivorship { file, reason, operator } => {
            let policy = match file {
                Some(file) => {
                    let note = asker.operator_note(operator.as_deref(), reason.as_deref().unwrap_or_default())?;
                    policy::adopt(ctx, &read(&cwd.join(file))?, note)?
                }
                None => ctx.store.read_blocking(policy::survivorship)?,
            };
            if out.json {
                out.value(&json!({"version": policy.version(), "id": policy.id(), "text": policy.text()}));
            } else {
                out.note(&policy.version());
                out.raw(&policy.text());
            }
        }
        PolicyCommand::Rules { version } => {
            let version = named_or_active(ctx, version.as_deref())?;
            let roster = ctx.store.read_blocking(|db| ctx.store.roster(db))?;
            rules(&version.rules.rules(&roster.facts), out);
        }
        PolicyCommand::Diff { version, other } => {
            let to = policy::find(ctx, version)?;
            let from = named_or_active(ctx, other.as_deref())?;
            difference(&from, &to, out);
        }
        PolicyCommand::Import { file, name, point, why } => {
            let text = read(&cwd.join(file))?;
            let point = point.as_deref().map(|point| match point {
                "balanced" => Point::Balanced,
                _ => Point::Safe,
            });
            let version = policy::import(ctx, &text, name, point, why.note(asker)?)?;
            done("imported", &version, out);
        }
        PolicyCommand::Activate { version, why } => {
            done("activated", &policy::activate(ctx, version, why.note(asker)?)?, out);
        }
        PolicyCommand::Shadow {
            version: Some(version),
            reason,
            operator,
            ..
        } => {
            let note = asker.operator_note(operator.as_deref(), reason.as_deref().unwrap_or_default())?;
            done(
                "runs beside the one in force:",
                &policy::start_shadow(ctx, version, note)?,
                out,
            );
        }
        PolicyCommand::Shadow {
            stop: true,
            reason,
            operator,
            ..
        } => {
            let note = asker.operator_note(operator.as_deref(), reason.as_deref().unwrap_or_default())?;
            let version = policy::stop_shadow(ctx, note)?;
            report(ctx, &version, out)?;
        }
        PolicyCommand::Shadow { .. } => {
            let versions = policy::list(ctx)?;
            let shadow = versions.iter().find(|v| matches!(v.standing, VersionState::Shadow(_)));
            let none =
                || Failure::new(Fault::PolicyUnknown).remedy("No version runs beside the one in force; name one.");
            report(ctx, shadow.ok_or_else(none)?, out)?;
        }
    }
    Ok(Exit::Done)
}

/// A version with its text.
#[derive(Serialize)]
struct WithText {
    #[serde(flatten)]
    item: PolicyItem,
    text: String,
}

fn show(version: &Version, out: &mut Out) {
    if out.json {
        out.value(&WithText {
            item: policies::item(version),
            text: version.text(),
        });
    } else {
        out.note(&format!(
            "{}  {}  {}",
            version.id,
            version.name,
            version.standing.code()
        ));
        out.raw(&version.text());
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let unreadable = |cause: std::io::Error| {
        Failure::new(Fault::InputUnreadable)
            .at(path.display().to_string())
            .because(cause)
    };
    let long = std::fs::metadata(path).map_err(unreadable)?.len() > TEXT_MOST;
    if long {
        return Err(
            Failure::new(Fault::PolicyInvalid).remedy("Name a file with the text of a policy; this file is too large.")
        );
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

fn named_or_active(ctx: &Context, named: Option<&str>) -> Result<Version, Failure> {
    match named {
        Some(named) => policy::find(ctx, named),
        None => policy::in_force(ctx),
    }
}

fn list(versions: &[Version], out: &mut Out) {
    if out.json {
        out.value(&versions.iter().map(policies::item).collect::<Vec<_>>());
        return;
    }
    let cells = |version: &Version| {
        vec![
            version.id.get(..12).unwrap_or(&version.id).to_owned(),
            version.standing.code().to_owned(),
            version.rules.point.code().to_owned(),
            version.added_ms.map_or_else(|| "ships".to_owned(), rfc3339_ms),
            version.rules.version.clone(),
            version.name.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = versions.iter().map(cells).collect();
    out.table(&["ID", "STATE", "POINT", "ADDED", "CITED AS", "NAME"], &rows);
}

fn rules(rows: &[RuleRow], out: &mut Out) {
    if out.json {
        out.value(&json!(rows));
        return;
    }
    let needs = |row: &RuleRow| -> String {
        let need = |(field, levels): &(Field, Vec<Level>)| {
            let any: Vec<&str> = levels.iter().map(|level| level.words(*field)).collect();
            format!("{} {}", field.words(), any.join(" or "))
        };
        row.needs.iter().map(need).collect::<Vec<_>>().join("; ")
    };
    let cells = |row: &RuleRow| {
        vec![
            row.name.to_owned(),
            if row.in_force { "yes" } else { "no" }.to_owned(),
            format!("{:.1e}", row.collisions),
            row.bound.to_string(),
            needs(row),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    out.table(&["RULE", "DECIDES", "STRANGERS", "AT MOST", "NEEDS"], &rows);
    out.note("STRANGERS: the people in the whole roster who would satisfy the rule by chance. Guards and rivals are checked after the rules.");
}

fn difference(from: &Version, to: &Version, out: &mut Out) {
    let text = |version: &Version| {
        if from.rules.point == to.rules.point {
            version.text()
        } else {
            version.text() + &version.rules.needs()
        }
    };
    let changes = policy::difference(&text(from), &text(to));
    if out.json {
        out.value(&json!({ "from": from.id, "to": to.id, "changes": changes }));
        return;
    }
    out.note(&format!(
        "from {} ({}) to {} ({})",
        short(from),
        from.name,
        short(to),
        to.name
    ));
    let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| vec![change.key.clone(), side(&change.from), side(&change.to)])
        .collect();
    out.table(&["KEY", "FROM", "TO"], &rows);
}

fn short(version: &Version) -> &str {
    version.id.get(..12).unwrap_or(&version.id)
}

fn done(what: &str, version: &Version, out: &mut Out) {
    out.note(&format!("{what} {} ({})", short(version), version.name));
    if out.json {
        out.value(&policies::item(version));
    }
}

fn report(ctx: &Context, candidate: &Version, out: &mut Out) -> Result<(), Failure> {
    let active = policy::in_force(ctx)?;
    let report = policy::report(ctx, &active.id, &candidate.id)?;
    if out.json {
        out.value(&reported(&active, candidate, &report));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = report
        .pairs
        .iter()
        .map(|pair| {
            vec![
                pair.active_outcome.clone(),
                pair.candidate_outcome.clone(),
                pair.seen.to_string(),
            ]
        })
        .collect();
    out.table(&["IN FORCE", "CANDIDATE", "REQUESTS"], &rows);
    out.note(&format!(
        "{} beside {}: {} compared, {} different, {} risky (matched only by the new version), {} lost",
        candidate.name, active.name, report.compared, report.different, report.risky, report.lost
    ));
    Ok(())
}

fn reported(active: &Version, candidate: &Version, report: &ShadowReport) -> Value {
    json!({ "active": active.id, "candidate": candidate.id, "report": policies::report(report) })
}
