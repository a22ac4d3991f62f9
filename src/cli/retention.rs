//! `causeway retention`: how long what is kept, deleting what is due, and legal holds.

use super::asker::{CommandAsker, HOST};
use super::pages::{every_page, or_dash};
use super::short;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_fhir_id;
use crate::ops::View;
use crate::ops::retention::{self as shown, DeletedPartItem, HoldFilter, HoldItem};
use crate::retention::hold::{self, HeldTarget, HoldActor};
use crate::retention::{run as deletion, time};
use crate::store::beginnings::IdKind;
use crate::telemetry::Correlation;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;

const HOLD_EXAMPLES: &str = "Examples:\n  \
    echo M123456 | causeway retention hold add --member - --case 2027-cv-00012 --reason \"subpoena\"\n  \
    causeway retention hold add --exchange ID --reason \"complaint of the member\"\n  causeway retention hold list\n  \
    causeway retention hold release ID --reason \"the case is closed\"";

/// Arguments of `retention`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway retention show\n  causeway retention run --dry-run\n  causeway retention hold list"
)]
pub struct RetentionArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RetentionCommand,
}

impl RetentionArgs {
    /// What `--member` says.
    pub(super) fn member(&self) -> Option<&str> {
        match &self.command {
            RetentionCommand::Hold(HoldArgs {
                command: HoldCommand::Add { member, .. },
            }) => member.as_deref(),
            _ => None,
        }
    }

    /// Whether the command changes nothing.
    pub(super) fn only_reads(&self) -> bool {
        match &self.command {
            RetentionCommand::Show => true,
            RetentionCommand::Run { .. } => false,
            RetentionCommand::Hold(args) => matches!(args.command, HoldCommand::List { .. }),
        }
    }
}

/// What to do about retention.
#[derive(Subcommand, Clone, Debug)]
pub enum RetentionCommand {
    /// Show how long each kind of data is kept, and what was deleted
    Show,
    /// Delete now what is due; a job does so every day
    #[command(after_help = "Example:\n  causeway retention run --dry-run")]
    Run {
        /// Only say what is due
        #[arg(long)]
        dry_run: bool,
    },
    /// Place, list and release legal holds, which keep things from being deleted or erased
    Hold(HoldArgs),
}

/// Arguments of `retention hold`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HOLD_EXAMPLES)]
pub struct HoldArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: HoldCommand,
}

/// What to do with legal holds.
#[derive(Subcommand, Clone, Debug)]
pub enum HoldCommand {
    /// Hold everything about a member or an exchange
    #[command(after_help = HOLD_EXAMPLES)]
    Add {
        /// The member: `Patient/ID`, an id, or - for a member number on standard input
        #[arg(long, required_unless_present = "exchange", conflicts_with = "exchange")]
        member: Option<String>,
        /// The exchange: its id, or the beginning of it
        #[arg(long)]
        exchange: Option<String>,
        /// The case that the hold belongs to: letters, digits, hyphens and dots
        #[arg(long)]
        case: Option<String>,
        /// Why; kept with the hold and beside the ledger with your user id
        #[arg(long)]
        reason: String,
    },
    /// List the holds in force, oldest first
    List {
        /// Released ones too
        #[arg(long)]
        all: bool,
    },
    /// Release a hold: what is due is deleted by the next run
    #[command(after_help = HOLD_EXAMPLES)]
    Release {
        /// Its id, or the beginning of it
        id: String,
        /// Why; kept with the hold and beside the ledger with your user id
        #[arg(long)]
        reason: String,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// [`Fault::HoldUnknown`], [`Fault::MemberUnknown`], [`Fault::ExchangeUnknown`]; those of the store.
pub fn run(args: &RetentionArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    match &args.command {
        RetentionCommand::Show => show(ctx, out)?,
        RetentionCommand::Run { dry_run } => delete(ctx, *dry_run, out)?,
        RetentionCommand::Hold(args) => match &args.command {
            HoldCommand::Add {
                member,
                exchange,
                case,
                reason,
            } => {
                let target = target(ctx, asker, member.as_deref(), exchange.as_deref())?;
                let case = hold::case(case.as_deref())?;
                let by = by(ctx, asker, reason)?;
                let id = ctx
                    .store
                    .reserved()
                    .write_blocking(hold::place(ctx, target, case, by))?;
                one(ctx, &id, "is in force", out)?;
            }
            HoldCommand::List { all } => list(ctx, *all, asker, out)?,
            HoldCommand::Release { id, reason } => {
                if !is_fhir_id(id) {
                    return Err(Fault::HoldUnknown.into());
                }
                let id = short::meant(ctx, IdKind::Hold, id)?;
                let by = by(ctx, asker, reason)?;
                ctx.store
                    .reserved()
                    .write_blocking(hold::release(ctx, id.clone(), by))?;
                one(ctx, &id, "is released", out)?;
            }
        },
    }
    Ok(Exit::Done)
}

fn by(ctx: &Context, asker: &CommandAsker, reason: &str) -> Result<HoldActor, Failure> {
    let correlation = Correlation::internal(ctx.ids.new_id(ctx.clock.now_ms()));
    HoldActor::new(asker.name(), HOST, reason, correlation)
}

fn target(
    ctx: &Context,
    asker: &CommandAsker,
    member: Option<&str>,
    exchange: Option<&str>,
) -> Result<HeldTarget, Failure> {
    if let Some(exchange) = exchange {
        if !is_fhir_id(exchange) {
            return Err(Fault::ExchangeUnknown.into());
        }
        // An exchange that another payer began has the id of the decision of its match.
        let kinds = [IdKind::Exchange, IdKind::Decision];
        return short::meant_of(ctx, &kinds, exchange).map(HeldTarget::Exchange);
    }
    let asked = asker.asked(member, None)?;
    let patient = ctx.store.read_blocking(|db| asked.patient(db, &ctx.payer))?;
    patient.map(HeldTarget::Member).ok_or_else(|| {
        Failure::new(Fault::ParameterInvalid)
            .at("--member")
            .remedy("Name a member or an exchange.")
    })
}

fn show(ctx: &Context, out: &mut Out) -> Result<(), Failure> {
    let item = ctx.store.read_blocking(|db| shown::whole(db, ctx))?;
    if out.json {
        out.value(&item);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = item
        .kinds
        .iter()
        .map(|kind| {
            let deleted = kind.deleted.as_ref();
            vec![
                kind.kind.to_owned(),
                kind.kept.clone(),
                or_dash(kind.least.as_deref()),
                or_dash(kind.source),
                kind.counts_from.to_owned(),
                or_dash(kind.deleted_by),
                deleted.map_or_else(|| "-".to_owned(), |deleted| deleted.total.to_string()),
                or_dash(deleted.map(|deleted| deleted.at.as_str())),
            ]
        })
        .collect();
    out.table(
        &[
            "KIND",
            "KEPT",
            "LEAST",
            "SET BY",
            "COUNTS FROM",
            "JOB",
            "DELETED",
            "LAST",
        ],
        &rows,
    );
    out.note(&format!(
        "periods of evidence: {}, from the {}; legal holds in force: {}",
        item.policy_version, item.source, item.holds
    ));
    match (&item.time, item.behind_seconds) {
        (Some(time), Some(behind)) => out.note(&format!("retention goes by {time}, {behind} s behind the clock")),
        _ => out.note("retention has not run yet"),
    }
    Ok(())
}

fn delete(ctx: &Context, dry_run: bool, out: &mut Out) -> Result<(), Failure> {
    let parts = match dry_run {
        true => deletion::look(ctx, time::standing(ctx)?)?,
        false => deletion::now(ctx)?,
    };
    let items: Vec<DeletedPartItem> = parts.into_iter().map(DeletedPartItem::from).collect();
    if out.json {
        out.value(&json!({ "dry_run": dry_run, "items": items }));
        return Ok(());
    }
    let cells = |item: &DeletedPartItem| {
        vec![
            item.kind.to_owned(),
            item.rows.to_string(),
            item.from.clone(),
            item.to.clone(),
            or_dash(item.entry_id.as_deref()),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    out.list(
        &["KIND", "ROWS", "FROM", "TO", "LEDGER ENTRY"],
        &rows,
        &ShortIds::default(),
        "Nothing is due.",
    );
    Ok(())
}

fn one(ctx: &Context, id: &str, what: &str, out: &mut Out) -> Result<(), Failure> {
    let item = ctx.store.read_blocking(|db| shown::hold(db, id, View::Full))?;
    if out.json {
        out.value(&item);
    } else {
        out.line(&format!("hold {id} {what}"));
    }
    Ok(())
}

fn list(ctx: &Context, all: bool, asker: &CommandAsker, out: &mut Out) -> Result<(), Failure> {
    asker.show(ctx, "holds", None)?;
    let items = every_page(|cursor| {
        let filter = HoldFilter {
            all,
            cursor,
            limit: 200,
        };
        ctx.store.read_blocking(|db| shown::holds(db, &filter, View::Full))
    })?;
    if out.json {
        out.value(&items);
        return Ok(());
    }
    let cells = |item: &HoldItem| {
        let member = item.patient_id.as_ref().and_then(Option::as_deref);
        vec![
            item.id.clone(),
            item.placed_at.clone(),
            item.kind.clone(),
            or_dash(member.or(item.exchange.as_deref())),
            or_dash(item.case.as_deref()),
            item.placed_by.clone(),
            or_dash(item.released_at.as_deref()),
            or_dash(item.reason.as_deref()),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let mut ids = ShortIds::default();
    let named = items.iter().map(|item| item.id.as_str());
    short::add(&mut ids, (ctx, &*out), IdKind::Hold, named)?;
    let header = ["ID", "PLACED", "KIND", "WHAT", "CASE", "BY", "RELEASED", "REASON"];
    out.list(&header, &rows, &ids, "There are no such holds.");
    Ok(())
}
