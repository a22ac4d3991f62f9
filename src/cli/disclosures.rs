//! `causeway disclosures --member …`: who got what of a member, when, and under which consent.

use super::{Asker, Exit, Out, every_page};
use crate::context::Context;
use crate::error::Failure;
use crate::ops::disclosures::{self, Asked, DisclosureFilter};
use crate::ops::viewed::patient;
use clap::Args;
use serde_json::Value;

/// Arguments of `disclosures`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway disclosures --member Patient/p1 --from 2026-11-01 --to 2026-11-30\n  \
    causeway disclosures --member - < number.txt"
)]
pub struct DisclosuresArgs {
    /// Whose: `Patient/ID`, an id, or - for a member number on standard input
    #[arg(long)]
    pub member: String,
    /// Only those to this partner
    #[arg(long)]
    pub partner: Option<String>,
    /// Only from this date (in the payer's time zone) or RFC 3339 instant on
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only until the end of this date, or before this instant
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of what is asked, and of the store.
pub fn run(args: &DisclosuresArgs, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<Exit, Failure> {
    let asked = Asked {
        from: args.from.clone(),
        to: args.to.clone(),
        ..asker.asked(Some(&args.member), args.partner.as_deref())?
    };
    let filter = ctx.store.read_blocking(|db| asked.filter(db, &ctx.payer, 200))?;
    asker.show(ctx, "disclosures", Some(patient(&filter.member)))?;
    let items = every_page(|cursor| {
        let filter = DisclosureFilter {
            cursor,
            ..filter.clone()
        };
        ctx.store.read_blocking(|db| disclosures::list(db, &filter))
    })?;
    if out.json {
        out.value(&items.into());
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    out.table(
        &["AT", "PARTNER", "OUTCOME", "BYTES", "RESOURCES", "CONSENT", "REQUEST"],
        &rows,
    );
    Ok(Exit::Done)
}

fn cells(item: &Value) -> Vec<String> {
    let text = |key: &str| item[key].as_str().unwrap_or("-").to_owned();
    let resources = item["resources"].as_object().map_or("-".to_owned(), |counts| {
        let each: Vec<String> = counts.iter().map(|(rtype, count)| format!("{rtype} {count}")).collect();
        each.join(", ")
    });
    let bytes = item["bytes"].as_u64().map_or("-".to_owned(), |bytes| bytes.to_string());
    vec![
        text("at"),
        text("partner"),
        text("outcome"),
        bytes,
        resources,
        text("consent_id"),
        text("request_id"),
    ]
}
