//! `causeway audit looks`: who looked at what, the newest first. The entries name no member.

use super::asker::CommandAsker;
use super::pages::or_dash;
use crate::clock::parse_rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::OpsPage;
use crate::ops::ledger::LedgerItem;
use crate::ops::looks::{self, LookFilter};
use crate::terminal::{Exit, Out, ShortIds};
use clap::Args;

/// Looks that one command shows at most.
const LAST_MOST: i64 = 10_000;

/// Arguments of `audit looks`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway audit looks --last 20\n  causeway audit looks --operator ana --from 2026-11-01T00:00:00Z --json"
)]
pub struct AuditLooksArgs {
    /// Only looks of this operator: the name of a token or of a session, or a user of the host
    #[arg(long)]
    pub operator: Option<String>,
    /// Only from this RFC 3339 instant on
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Only before this instant
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Show at most this many, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=LAST_MOST))]
    pub last: i64,
}

/// Prints the looks. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for what is no time; those of the store.
pub(super) fn run(args: &AuditLooksArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let mut filter = LookFilter {
        operator: args.operator.clone(),
        from_ms: instant("--from", args.from.as_deref())?,
        to_ms: instant("--to", args.to.as_deref())?,
        cursor: None,
        limit: args.last,
    };
    asker.show(ctx, "looks", None)?;
    let most = usize::try_from(args.last).unwrap_or(1);
    let mut items: Vec<LedgerItem> = Vec::new();
    while items.len() < most {
        let page: OpsPage<LedgerItem> = ctx
            .store
            .read_blocking(|db| looks::list(db, &filter, &ctx.member_keys))?;
        items.extend(page.items);
        match page.next {
            Some(next) => filter.cursor = Some(next),
            None => break,
        }
    }
    items.truncate(most);
    if out.json {
        out.value(&items);
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let header = ["AT", "WHO", "ROLE", "WHAT", "ABOUT", "WHY"];
    out.list(&header, &rows, &ShortIds::default(), "Nobody looked.");
    Ok(Exit::Done)
}

fn cells(item: &LedgerItem) -> Vec<String> {
    let what = match item.text(&["action"]) {
        Some("review.viewed") => Some("reviews"),
        _ => item.text(&["outcome", "reason"]),
    };
    vec![
        item.at.clone(),
        or_dash(item.operator.as_deref()),
        or_dash(item.text(&["actor", "id"])),
        or_dash(what),
        or_dash(item.text(&["object", "kind"])),
        or_dash(item.note.as_deref()),
    ]
}

fn instant(place: &'static str, text: Option<&str>) -> Result<Option<i64>, Failure> {
    let wrong = || {
        Failure::new(Fault::ParameterInvalid)
            .at(place)
            .remedy("Give an RFC 3339 instant, such as 2026-11-30T12:00:00Z.")
    };
    text.map(|text| parse_rfc3339_ms(text).ok_or_else(wrong)).transpose()
}
