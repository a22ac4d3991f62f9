//! `causeway match`: find a decision, and why it was taken as it was.

use super::{Asker, Exit, Out};
use crate::audit::Object;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_correlation_id;
use crate::ops::disclosures::known_partner;
use crate::ops::{self, DecisionFilter, View};
use clap::{Args, Subcommand};
use serde_json::Value;

/// Arguments of `match`.
#[derive(Args, Clone, Debug)]
pub struct MatchArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MatchCommand,
}

/// What can be asked about matches.
#[derive(Subcommand, Clone, Debug)]
pub enum MatchCommand {
    /// Decisions, newest last, to find the one that a partner asks about; no personal values
    #[command(
        after_help = "Examples:\n  causeway match list --correlation 8f14e45f\n  causeway match list --partner new-payer --last 20"
    )]
    List {
        /// Only those of this partner
        #[arg(long)]
        partner: Option<String>,
        /// Only those under this correlation id, which the partner sent or was answered
        #[arg(long)]
        correlation: Option<String>,
        /// How many at most, counted from the newest
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        last: u32,
    },
    /// Say what was compared, what it weighed, what was needed, and what spoke against it; no personal values
    #[command(after_help = "Example: causeway match explain 0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e")]
    Explain {
        /// Id of the decision, as /ops/v1/decisions lists it
        id: String,
    },
}

/// Runs the command. What it shows is in the ledger first.
///
/// # Errors
/// [`Fault::NotFound`]; those of the store.
pub fn run(args: &MatchArgs, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<Exit, Failure> {
    let id = match &args.command {
        MatchCommand::Explain { id } => id,
        MatchCommand::List {
            partner,
            correlation,
            last,
        } => {
            let filter = DecisionFilter {
                partner: partner.clone(),
                correlation: correlation.clone(),
                newest: true,
                limit: i64::from(*last),
                ..DecisionFilter::default()
            };
            ctx.store.read_blocking(|db| known_partner(db, partner.as_deref()))?;
            if correlation.as_deref().is_some_and(|id| !is_correlation_id(id)) {
                let remedy = "Give the correlation id as it was answered.";
                return Err(Failure::new(Fault::ParameterInvalid).at("--correlation").remedy(remedy));
            }
            asker.show(ctx, "decisions", None)?;
            return list(ctx, &filter, out);
        }
    };
    if !crate::ids::is_fhir_id(id) {
        return Err(ops::no_decision());
    }
    let object = Object {
        kind: "Decision",
        id: id.clone(),
    };
    asker.show(ctx, "decisions", Some(object))?;
    let item = ctx
        .store
        .read_blocking(|db| ops::decision(db, id, View::WithoutPatients))?;
    if out.json {
        out.value(&item);
    } else {
        for line in ops::explain::table(&item).lines() {
            out.line(line);
        }
    }
    Ok(Exit::Done)
}

fn list(ctx: &Context, filter: &DecisionFilter, out: &mut Out) -> Result<Exit, Failure> {
    let items = ctx
        .store
        .read_blocking(|db| ops::decisions(db, filter, View::WithoutPatients))?
        .items;
    if out.json {
        out.value(&items.into());
        return Ok(Exit::Done);
    }
    let cells = |item: &Value| {
        ["id", "created_at", "partner", "outcome", "reason", "correlation_id"]
            .map(|key| item[key].as_str().unwrap_or("-").to_owned())
            .to_vec()
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    out.table(&["ID", "AT", "PARTNER", "OUTCOME", "FAULT", "CORRELATION"], &rows);
    Ok(Exit::Done)
}
