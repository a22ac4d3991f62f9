//! `causeway records`: what is stored and does not leave, and why.

use super::asker::CommandAsker;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::viewed::patient;
use crate::store::members;
use crate::store::withheld::{self, Withheld, WithheldFilter};
use crate::terminal::{Exit, Out, ShortIds};
use clap::{Args, Subcommand};
use serde_json::json;
use std::collections::BTreeMap;

/// Columns that the aligned list needs, with the longest reason.
const ALIGNED: usize = 100;
/// Rows that are read at once.
const PAGE: i64 = 1_000;

/// Arguments of `records`.
#[derive(Args, Clone, Debug)]
pub struct RecordsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RecordsCommand,
}

/// What can be asked about stored records.
#[derive(Subcommand, Clone, Debug)]
pub enum RecordsCommand {
    /// List what is withheld under a consent for regular data, with the reasons
    #[command(
        after_help = "Examples:\n  causeway records withheld\n  causeway records withheld --reason authorization-unclear --type ExplanationOfBenefit\n  \
        causeway records withheld --member Patient/a1b2 --json\n  causeway records withheld --member - < number.txt\n\nThe first table counts all by reason; a resource may have several reasons. docs/release.md explains them."
    )]
    Withheld {
        /// Only resources with this reason
        #[arg(long)]
        reason: Option<String>,
        /// Only resources of this FHIR type
        #[arg(long = "type", value_name = "TYPE")]
        rtype: Option<String>,
        /// Only resources of this member: `Patient/ID`, an id, or - for a member number on standard input
        #[arg(long)]
        member: Option<String>,
        /// Only the counts by reason
        #[arg(long)]
        summary: bool,
    },
}

impl RecordsArgs {
    /// The member that was named, if the command takes one.
    pub fn member(&self) -> Option<&str> {
        let RecordsCommand::Withheld { member, .. } = &self.command;
        member.as_deref()
    }
}

/// Runs the command.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for a reason that is none; those of [`crate::ops::disclosures::DisclosuresAsked::patient`]; those of the store.
pub fn run(args: &RecordsArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let RecordsCommand::Withheld {
        reason,
        rtype,
        member,
        summary,
    } = &args.command;
    if reason
        .as_deref()
        .is_some_and(|reason| withheld::meaning(reason).is_empty())
    {
        let known: Vec<&str> = withheld::REASONS.iter().map(|row| row.0).collect();
        return Err(Failure::new(Fault::ParameterInvalid)
            .at("--reason")
            .remedy(format!("The reasons are: {}.", known.join(", "))));
    }
    let compartment = compartment(ctx, asker, member.as_deref())?;
    let filter = WithheldFilter {
        rtype: rtype.clone(),
        compartment,
    };
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    each(ctx, &filter, reason.as_deref(), &mut |_, reason| {
        *counts.entry(reason).or_default() += 1
    })?;
    if out.json {
        let counts: Vec<_> = counts
            .iter()
            .map(|(reason, count)| json!({"reason": reason, "count": count, "meaning": withheld::meaning(reason)}))
            .collect();
        // The list may be longer than memory: it is written as it is read.
        out.raw(&format!("{{\"counts\":{},\"items\":[", json!(counts)));
        let mut first = true;
        if !summary {
            each(ctx, &filter, reason.as_deref(), &mut |row, reason| {
                let item = json!({"type": row.rtype, "id": row.id, "reason": reason});
                out.raw(&format!("{}{item}", if first { "" } else { "," }));
                first = false;
            })?;
        }
        out.raw("]}\n");
        return Ok(Exit::Done);
    }
    let table: Vec<Vec<String>> = counts
        .iter()
        .map(|(reason, count)| {
            vec![
                count.to_string(),
                (*reason).to_owned(),
                withheld::meaning(reason).to_owned(),
            ]
        })
        .collect();
    let header = ["COUNT", "REASON", "MEANING"];
    out.list(&header, &table, &ShortIds::default(), "Nothing is withheld.");
    if !summary && !counts.is_empty() {
        out.line("");
        let columns = out.screen.columns;
        out.line(&line(columns, "TYPE", "ID", "REASON"));
        each(ctx, &filter, reason.as_deref(), &mut |row, reason| {
            out.paragraph(&line(columns, &row.rtype, &row.id, reason), 2)
        })?;
    }
    Ok(Exit::Done)
}

/// A line of the list, which is printed as it is read; on a narrow terminal its columns are not aligned.
fn line(columns: Option<usize>, rtype: &str, id: &str, reason: &str) -> String {
    match columns {
        Some(columns) if columns < ALIGNED => format!("{rtype}/{id}  {reason}"),
        _ => format!("{rtype:<26}  {id:<40}  {reason}"),
    }
}

/// Tells every resource that is withheld with each of its reasons, or with this one alone.
fn each(
    ctx: &Context,
    filter: &WithheldFilter,
    only: Option<&str>,
    tell: &mut dyn FnMut(&Withheld, &'static str),
) -> Result<(), Failure> {
    let now_ms = ctx.clock.now_ms();
    let mut after = -1;
    loop {
        let page = ctx.store.read_blocking(|db| withheld::page(db, filter, after, PAGE))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.key;
        for row in &page {
            for reason in row.reasons(now_ms) {
                if only.is_none_or(|only| only == reason) {
                    tell(row, reason);
                }
            }
        }
    }
}

/// The compartment of the member that was named; that this member is looked at is noted in the ledger.
fn compartment(ctx: &Context, asker: &CommandAsker, member: Option<&str>) -> Result<Option<i64>, Failure> {
    let asked = asker.asked(member, None)?;
    let found = ctx.store.read_blocking(|db| {
        let Some(id) = asked.patient(db, &ctx.payer)? else {
            return Ok(None);
        };
        let compartment = members::compartment_of(db, &id)?.ok_or(Fault::MemberUnknown)?;
        Ok(Some((id, compartment)))
    })?;
    let Some((id, compartment)) = found else {
        return Ok(None);
    };
    asker.show(ctx, "records", Some(patient(&id)))?;
    Ok(Some(compartment))
}
