//! `causeway match`: find a decision, and why it was taken as it was.

use super::asker::CommandAsker;
use super::pages::or_dash;
use super::short;
use crate::audit::Object;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ids::is_correlation_id;
use crate::ops::View;
use crate::ops::decisions::{self, DecisionFilter, DecisionItem};
use crate::ops::disclosures::known_partner;
use crate::ops::explain;
use crate::store::beginnings::IdKind;
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};

/// Columns of the names of fields, and of a candidate beside them.
const NAMES_WIDTH: usize = 27;
const CANDIDATE_WIDTH: usize = 30;

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
    /// List decisions, newest last, to find the one that a partner asks about; shows no personal values
    #[command(
        after_help = "Examples:\n  causeway match list --correlation 8f14e45f\n  causeway match list --partner new-payer --last 20"
    )]
    List {
        /// Only decisions about this partner's requests
        #[arg(long)]
        partner: Option<String>,
        /// Only decisions with this correlation id, as the partner sent or received it
        #[arg(long)]
        correlation: Option<String>,
        /// Show at most this many, the newest
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        last: u32,
    },
    /// Explain a decision: what was compared, the weights, what was needed, what spoke against a match; shows no personal values
    #[command(after_help = "Example: causeway match explain 0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e")]
    Explain {
        /// Id of the decision, as `match list` prints it; its beginning is enough
        id: String,
    },
}

/// Runs the command. What it shows is in the ledger first.
///
/// # Errors
/// [`Fault::NotFound`]; those of the store.
pub fn run(args: &MatchArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
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
        return Err(not_found(decisions::none()));
    }
    let id = &short::meant(ctx, IdKind::Decision, id)?;
    let object = Object {
        kind: "Decision",
        id: id.clone(),
    };
    asker.show(ctx, "decisions", Some(object))?;
    let item = ctx
        .store
        .read_blocking(|db| decisions::one(db, id, View::WithoutPatients, &ctx.member_keys))
        .map_err(not_found)?;
    if out.json {
        out.value(&item);
    } else {
        print_decision(&item, out)?;
    }
    Ok(Exit::Done)
}

/// The same failure, with what to do about a decision that is not there.
fn not_found(failure: Failure) -> Failure {
    match failure.fault() {
        Fault::NotFound => failure.remedy("Find its id by partner or correlation id: `causeway match list`."),
        _ => failure,
    }
}

fn list(ctx: &Context, filter: &DecisionFilter, out: &mut Out) -> Result<Exit, Failure> {
    let items = ctx
        .store
        .read_blocking(|db| decisions::list(db, filter, View::WithoutPatients, &ctx.member_keys))?
        .items;
    if out.json {
        out.value(&items);
        return Ok(Exit::Done);
    }
    let cells = |item: &DecisionItem| {
        vec![
            item.id.clone(),
            item.created_at.clone(),
            item.partner.clone(),
            item.outcome.clone(),
            or_dash(item.reason.as_deref()),
            item.correlation_id.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let mut ids = ShortIds::default();
    let found = items.iter().map(|item| item.id.as_str());
    short::add(&mut ids, (ctx, &*out), IdKind::Decision, found)?;
    let header = ["ID", "AT", "PARTNER", "OUTCOME", "FAULT", "CORRELATION"];
    out.list(&header, &rows, &ids, "There are no such decisions.");
    Ok(Exit::Done)
}

/// Prints a decision for people: what is said of the whole, then its candidates, side by side as far as they fit.
fn print_decision(item: &DecisionItem, out: &mut Out) -> Result<(), Failure> {
    let abreast = out.screen.columns.map_or(usize::MAX, |columns| {
        columns.saturating_sub(NAMES_WIDTH) / CANDIDATE_WIDTH
    });
    let told = explain::told(item, abreast)?;
    for (name, value) in &told.lines {
        out.named(name, value, explain::NAME);
    }
    if let Some(candidates) = &told.candidates {
        out.line("");
        out.line(candidates);
    }
    for table in &told.tables {
        out.line("");
        let header: Vec<&str> = table.header.iter().map(String::as_str).collect();
        out.table(&header, &table.rows);
    }
    Ok(())
}
