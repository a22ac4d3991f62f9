//! `causeway trace ID`: all that happened under one id, oldest first, without personal values.

use super::asker::CommandAsker;
use super::pages::{every_page, or_dash};
use super::short;
use crate::audit::Object;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::trace::{self, TraceAsked};
use crate::ops::trace_item::TraceItem;
use crate::store::beginnings::IdKind;
use crate::terminal::{Exit, Out, ShortIds};
use clap::Args;

/// Arguments of `trace`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway trace 0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e\n  causeway trace case:7/a --json"
)]
pub struct TraceArgs {
    /// A correlation id, or the id of a request, decision, grant, consent, review or exchange. The beginning of an id is
    /// enough, except for correlation ids and requests
    pub id: String,
}

/// What may be traced by the beginning of its id.
const TRACED: [IdKind; 5] = [
    IdKind::Decision,
    IdKind::Grant,
    IdKind::Consent,
    IdKind::Review,
    IdKind::Exchange,
];

/// Runs the command. Waits on this thread.
///
/// # Errors
/// [`Fault::TraceUnknown`]; those of the store.
pub fn run(args: &TraceArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let asked = meant(args, ctx, out)?;
    let object = Object {
        kind: "trace",
        id: asked.id.clone(),
    };
    asker.show(ctx, "trace", Some(object))?;
    let items = every_page(|cursor| {
        let asked = TraceAsked {
            cursor,
            ..asked.clone()
        };
        ctx.store.read_blocking(|db| trace::trace(db, &asked, &ctx.member_keys))
    })?;
    if out.json {
        out.value(&items);
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    let mut ids = ShortIds::default();
    for item in &items {
        let named = item.ids();
        for (kind, id) in [
            (IdKind::Decision, named.decision),
            (IdKind::Grant, named.grant),
            (IdKind::Consent, named.consent),
            (IdKind::Review, named.review),
        ] {
            short::add(&mut ids, (ctx, &*out), kind, id.into_iter())?;
        }
    }
    let header = ["AT", "WHAT", "PARTNER", "OUTCOME", "HTTP", "FAULT", "MORE"];
    out.list(&header, &rows, &ids, "Nothing is on record under this id.");
    Ok(Exit::Done)
}

/// What is asked: the id as it was given, or the one that it begins when nothing is on record under what was given.
fn meant(args: &TraceArgs, ctx: &Context, out: &mut Out) -> Result<TraceAsked, Failure> {
    let given = TraceAsked::new(&args.id, None, 1)?;
    match ctx.store.read_blocking(|db| trace::trace(db, &given, &ctx.member_keys)) {
        Err(failure) if failure.fault() == Fault::TraceUnknown => {
            let id = short::meant_of(ctx, &TRACED, &args.id)?;
            if id != args.id {
                out.note(&format!("what happened under {id}"));
            }
            TraceAsked::new(&id, None, 200)
        }
        known => known.and_then(|_| TraceAsked::new(&args.id, None, 200)),
    }
}

fn cells(item: &TraceItem) -> Vec<String> {
    vec![
        item.at.clone(),
        item.action.clone(),
        or_dash(item.partner.as_deref()),
        or_dash(item.outcome.as_deref()),
        item.http.map_or("-".to_owned(), |http| http.to_string()),
        // A reason that is no fault's code is a verdict, or a word of the entry's own.
        or_dash(item.reason.as_deref().filter(|_| item.text.is_some())),
        more(item),
    ]
}

/// What else there is to say of an event, in one cell.
fn more(item: &TraceItem) -> String {
    let ids = item.ids();
    let named = [
        ("decision", ids.decision),
        ("grant", ids.grant),
        ("consent", ids.consent),
        ("review", ids.review),
        ("by", item.operator.as_deref()),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, id)| Some(format!("{name} {}", id?)));
    let verdict = item
        .reason
        .as_deref()
        .filter(|_| item.text.is_none())
        .map(str::to_owned);
    let bytes = item.bytes().map(|bytes| format!("{bytes} bytes"));
    let texts = [item.text, item.note()].into_iter().flatten().map(str::to_owned);
    verdict
        .into_iter()
        .chain(named)
        .chain(bytes)
        .chain(texts)
        .collect::<Vec<_>>()
        .join("; ")
}
