//! `causeway bulk`: the bulk jobs of partners, and ending one; and the bulk runs in which this payer asks partners.

use super::asker::CommandAsker;
use super::pages::or_dash;
use super::short;
use crate::bulk::asking::cancel_run;
use crate::bulk::job;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::bulk::{self as shown, BulkItem};
use crate::ops::bulk_runs::{self, BulkRunItem};
use crate::store::beginnings::IdKind;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;

/// Arguments of `bulk`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway bulk list\n  causeway bulk show JOB\n  causeway bulk cancel JOB --reason \"the partner asked for it\""
)]
pub struct BulkArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BulkCommand,
}

/// What to do with bulk jobs.
#[derive(Subcommand, Clone, Debug)]
pub enum BulkCommand {
    /// List the bulk jobs of partners and our own bulk runs (kind `ask`), the newest first
    List,
    /// Show a bulk job with its files, or a bulk run of ours with its members
    Show {
        /// Id of the bulk job, or the beginning of it
        job: String,
    },
    /// End a bulk job and remove its files, or end a bulk run of ours, whose members are then asked for one by one; the ledger says who did
    /// it and why
    Cancel {
        /// Id of the bulk job or run, or the beginning of it
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
/// [`Fault::JobUnknown`]; those of [`CommandAsker::operator_note`] and of the store.
pub fn run(args: &BulkArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        BulkCommand::List => list(ctx, out)?,
        BulkCommand::Show { job } => {
            let id = short::meant_of(ctx, &[IdKind::BulkJob, IdKind::BulkRun], job)?;
            match ctx.store.read_blocking(|db| bulk_runs::one(db, &id))? {
                Some(run) => out.value(&run),
                None => out.value(&ctx.store.read_blocking(|db| shown::one(db, &id)).map_err(told)?),
            }
        }
        BulkCommand::Cancel { job, reason, operator } => {
            let note = asker.operator_note(operator.as_deref(), reason)?;
            let id = short::meant_of(ctx, &[IdKind::BulkJob, IdKind::BulkRun], job)?;
            let run = ctx.store.read_blocking(|db| bulk_runs::one(db, &id))?;
            if run.is_some() {
                cancel_run(ctx, &id, note).map_err(told)?;
                out.note("the bulk run ends; its members are asked for one by one");
            } else {
                job::cancel_for(ctx, &id, note).map_err(told)?;
                out.note("the bulk job has ended, and its files are being removed");
            }
        }
    }
    Ok(Exit::Done)
}

/// Says where ids of bulk jobs are found.
fn told(failure: Failure) -> Failure {
    match failure.fault() {
        Fault::JobUnknown => failure.remedy("Find its id with `causeway bulk list`."),
        _ => failure,
    }
}

fn list(ctx: &Context, out: &mut Out) -> Result<(), Failure> {
    let (jobs, runs) = ctx
        .store
        .read_blocking(|db| Ok((shown::list(db)?, bulk_runs::list(db)?)))?;
    if out.json {
        out.value(&json!({ "items": jobs, "runs": runs }));
        return Ok(());
    }
    let cells = |job: &BulkItem| {
        vec![
            job.id.clone(),
            job.kind.clone(),
            job.partner.clone(),
            job.state.clone(),
            format!("{}/{}", job.pieces_done, job.pieces),
            job.created_at.clone(),
            or_dash(job.expires_at.as_deref()),
            or_dash(job.acknowledged.as_deref()),
            or_dash(job.fault.as_deref()),
        ]
    };
    let of_run = |run: &BulkRunItem| {
        vec![
            run.id.clone(),
            "ask".to_owned(),
            run.partner.clone(),
            run.state.clone(),
            format!("{}/{}", run.members - run.carried, run.members),
            run.created_at.clone(),
            or_dash(None),
            or_dash(run.receipt.as_deref()),
            or_dash(run.fault.as_deref()),
        ]
    };
    let rows: Vec<Vec<String>> = jobs.iter().map(cells).chain(runs.iter().map(of_run)).collect();
    let mut ids = ShortIds::default();
    short::add(
        &mut ids,
        (ctx, &*out),
        IdKind::BulkJob,
        jobs.iter().map(|job| job.id.as_str()),
    )?;
    let header = [
        "JOB",
        "KIND",
        "PARTNER",
        "STATE",
        "DONE",
        "BEGUN",
        "KEPT UNTIL",
        "RECEIPT",
        "FAULT",
    ];
    out.list(&header, &rows, &ids, "There are no bulk jobs.");
    Ok(())
}
