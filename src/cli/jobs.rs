//! `causeway jobs`: background work that waits or is parked, and letting what is parked go on.

use super::asker::CommandAsker;
use super::pages::{every_page, or_dash};
use super::short;
use crate::audit::{Actor, OperatorNote};
use crate::context::Context;
use crate::error::Failure;
use crate::jobs::acts;
use crate::ops::jobs::{self as shown, JobItem};
use crate::store::beginnings::IdKind;
use crate::telemetry::Correlation;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;

/// Arguments of `jobs`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway jobs list --parked\n  causeway jobs replay JOB --reason \"the disk is fixed\""
)]
pub struct JobsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: JobsCommand,
}

/// What to do with background jobs.
#[derive(Subcommand, Clone, Debug)]
pub enum JobsCommand {
    /// List jobs, with what to do about parked ones
    List {
        /// Only those that wait for an operator
        #[arg(long)]
        parked: bool,
    },
    /// Let a parked job go on, with its attempts counted from zero; the ledger says who did it and why
    Replay {
        /// Id of the job, or the beginning of it
        job: String,
        /// Why, on one line
        #[arg(long)]
        reason: String,
        /// Who you are, beside your user id on this host
        #[arg(long)]
        operator: Option<String>,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of [`acts::replay`], of [`CommandAsker::operator_note`] and of the store.
pub fn run(args: &JobsArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        JobsCommand::List { parked } => list(ctx, *parked, out),
        JobsCommand::Replay { job, reason, operator } => {
            let note = asker.operator_note(operator.as_deref(), reason)?;
            replay(ctx, &short::meant(ctx, IdKind::Job, job)?, note)?;
            out.note("the job is due now");
            Ok(Exit::Done)
        }
    }
}

fn list(ctx: &Context, parked: bool, out: &mut Out) -> Result<Exit, Failure> {
    let now_ms = ctx.clock.now_ms();
    let jobs = every_page(|cursor| {
        ctx.store
            .read_blocking(|db| shown::list(db, parked, cursor.as_deref(), now_ms))
    })?;
    if out.json {
        out.value(&json!({ "items": jobs }));
        return Ok(Exit::Done);
    }
    let cells = |job: &JobItem| {
        vec![
            job.id.clone(),
            job.kind.clone(),
            or_dash(job.partner.as_deref()),
            job.state.clone(),
            job.due.clone(),
            job.attempts.to_string(),
            or_dash(job.last_class.as_deref()),
            or_dash(job.next_action),
        ]
    };
    let rows: Vec<Vec<String>> = jobs.iter().map(cells).collect();
    let mut ids = ShortIds::default();
    short::add(
        &mut ids,
        (ctx, &*out),
        IdKind::Job,
        jobs.iter().map(|job| job.id.as_str()),
    )?;
    let header = ["JOB", "KIND", "PARTNER", "STATE", "DUE", "TRIES", "LAST", "NEXT"];
    let nothing = if parked { "No job is parked." } else { "No job waits." };
    out.list(&header, &rows, &ids, nothing);
    Ok(Exit::Done)
}

fn replay(ctx: &Context, job: &str, note: OperatorNote) -> Result<(), Failure> {
    let actor = Actor {
        kind: "operator",
        ..Actor::default()
    };
    let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
    ctx.store
        .write_blocking(acts::replay(ctx, job, (actor, note), correlation))
}
