//! `causeway disclosures --member …`: who got what of a member, when, and under which consent.

use super::asker::CommandAsker;
use super::look::LookArgs;
use super::pages::{every_page, or_dash};
use super::short;
use crate::context::Context;
use crate::error::Failure;
use crate::ops::audit_events::{self, ShownBy};
use crate::ops::disclosures::{self, DisclosureFilter, DisclosureItem, DisclosuresAsked};
use crate::ops::viewed::patient;
use crate::store::beginnings::IdKind;
use crate::terminal::{Exit, Out, ShortIds};
use clap::Args;
use std::collections::BTreeMap;

/// Types that are named in a row; `--json` names all.
const TYPES: usize = 3;

/// Arguments of `disclosures`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway disclosures --member Patient/p1 --from 2026-11-01 --to 2026-11-30\n  \
    causeway disclosures --member - < number.txt\n  \
    causeway disclosures --member Patient/p1 --fhir > accounting.json"
)]
pub struct DisclosuresArgs {
    /// The member: `Patient/ID`, an id, or - for a member number on standard input
    #[arg(long)]
    pub member: String,
    /// Only disclosures to this partner
    #[arg(long)]
    pub partner: Option<String>,
    /// Only from this date (in the payer's time zone) or RFC 3339 instant on, included
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only until the end of this date, or before this instant
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Print a FHIR Bundle of AuditEvents (IHE BALP, disclosure at the source)
    #[arg(long)]
    pub fhir: bool,
    /// Why, and who
    #[command(flatten)]
    pub look: LookArgs,
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// Those of what is asked, and of the store.
pub fn run(args: &DisclosuresArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let by = args.look.note(asker)?;
    let asked = DisclosuresAsked {
        from: args.from.clone(),
        to: args.to.clone(),
        ..asker.asked(Some(&args.member), args.partner.as_deref())?
    };
    let filter = ctx.store.read_blocking(|db| asked.filter(db, &ctx.payer, 200))?;
    asker.show_to(ctx, by, "disclosures", Some(patient(&filter.member)))?;
    if args.fhir {
        return show_bundle(ctx, &filter, out);
    }
    let items = every_page(|cursor| {
        let filter = DisclosureFilter {
            cursor,
            ..filter.clone()
        };
        ctx.store
            .read_blocking(|db| disclosures::list(db, &filter, &ctx.member_keys))
    })?;
    if out.json {
        out.value(&items);
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let mut ids = ShortIds::default();
    let consents = items.iter().filter_map(|item| item.under.consent_id.as_deref());
    short::add(&mut ids, (ctx, &*out), IdKind::Consent, consents)?;
    let header = ["AT", "PARTNER", "OUTCOME", "BYTES", "RESOURCES", "CONSENT", "REQUEST"];
    out.list(&header, &rows, &ids, "Nothing of this member was disclosed.");
    Ok(Exit::Done)
}

/// The accounting as FHIR: a Bundle of one AuditEvent for each disclosure.
fn show_bundle(ctx: &Context, filter: &DisclosureFilter, out: &mut Out) -> Result<Exit, Failure> {
    let events = every_page(|cursor| {
        let filter = DisclosureFilter {
            cursor,
            ..filter.clone()
        };
        ctx.store
            .read_blocking(|db| audit_events::disclosed(db, &filter, &ShownBy::of(ctx)))
    })?;
    out.value(&audit_events::bundle("collection", events, &ctx.payer.base_url, &[]));
    Ok(Exit::Done)
}

fn cells(item: &DisclosureItem) -> Vec<String> {
    let resources = item.resources.as_ref().map_or("-".to_owned(), counted);
    vec![
        item.at.clone(),
        or_dash(item.partner.as_deref()),
        item.outcome.to_owned(),
        item.bytes.map_or("-".to_owned(), |bytes| bytes.to_string()),
        resources,
        or_dash(item.under.consent_id.as_deref()),
        item.request_id.clone(),
    ]
}

/// What went out: every type with its count, or the most frequent ones and how many more there are.
fn counted(counts: &BTreeMap<String, u64>) -> String {
    let mut each: Vec<(&String, &u64)> = counts.iter().collect();
    if each.is_empty() {
        return "-".to_owned();
    }
    let rest = each.len().saturating_sub(TYPES);
    if rest > 0 {
        each.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    }
    let named = each.iter().take(TYPES).map(|(rtype, count)| format!("{rtype} {count}"));
    let named = named.collect::<Vec<_>>().join(", ");
    match rest {
        0 => named,
        rest => {
            let types = if rest == 1 { "type" } else { "types" };
            format!(
                "{named}, and {rest} more {types}; {} resources in all",
                counts.values().sum::<u64>()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_the_most_frequent_types_and_says_how_many_more_there_are() {
        let counts = |each: &[(&str, u64)]| -> BTreeMap<String, u64> {
            each.iter()
                .map(|(rtype, count)| ((*rtype).to_owned(), *count))
                .collect()
        };
        let few = counts(&[("Coverage", 2), ("Patient", 1)]);
        assert_eq!(counted(&few), "Coverage 2, Patient 1");
        let many = counts(&[
            ("Claim", 4),
            ("Condition", 2),
            ("Coverage", 1),
            ("Observation", 30),
            ("Patient", 1),
        ]);
        assert_eq!(
            counted(&many),
            "Observation 30, Claim 4, Condition 2, and 2 more types; 38 resources in all"
        );
        assert_eq!(counted(&BTreeMap::new()), "-");
    }
}
