//! `causeway trace ID`: all that happened under one id, oldest first, without personal values.

use super::{Asker, Exit, Out, every_page};
use crate::audit::Object;
use crate::context::Context;
use crate::error::Failure;
use crate::ops::trace::{self, Asked};
use clap::Args;
use serde_json::Value;

/// Arguments of `trace`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway trace 0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e\n  causeway trace case:7/a --json"
)]
pub struct TraceArgs {
    /// A correlation id, or the id of a request, decision, grant, consent or review
    pub id: String,
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// [`Fault::TraceUnknown`](crate::error::Fault::TraceUnknown); those of the store.
pub fn run(args: &TraceArgs, ctx: &Context, asker: &Asker, out: &mut Out) -> Result<Exit, Failure> {
    let asked = Asked::new(&args.id, None, 200)?;
    let object = Object {
        kind: "trace",
        id: asked.id.clone(),
    };
    asker.show(ctx, "trace", Some(object))?;
    let items = every_page(|cursor| {
        let asked = Asked {
            cursor,
            ..asked.clone()
        };
        ctx.store.read_blocking(|db| trace::trace(db, &asked))
    })?;
    if out.json {
        out.value(&items.into());
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = items.iter().map(cells).collect();
    out.table(&["AT", "WHAT", "PARTNER", "OUTCOME", "HTTP", "FAULT", "MORE"], &rows);
    Ok(Exit::Done)
}

fn cells(item: &Value) -> Vec<String> {
    let text = |key: &str| item[key].as_str().unwrap_or("-").to_owned();
    let http = item["http"].as_u64().map_or("-".to_owned(), |http| http.to_string());
    vec![
        text("at"),
        text("action"),
        text("partner"),
        text("outcome"),
        http,
        text("reason"),
        more(item),
    ]
}

/// What else there is to say of an event, in one cell.
fn more(item: &Value) -> String {
    let mut parts = Vec::new();
    for (name, key) in [
        ("decision", "decision_id"),
        ("grant", "grant_id"),
        ("consent", "consent_id"),
        ("review", "review_id"),
        ("by", "operator"),
    ] {
        if let Some(id) = item[key].as_str() {
            parts.push(format!("{name} {id}"));
        }
    }
    if let Some(bytes) = item["bytes"].as_u64() {
        parts.push(format!("{bytes} bytes"));
    }
    for key in ["text", "note"] {
        if let Some(text) = item[key].as_str() {
            parts.push(text.to_owned());
        }
    }
    parts.join("; ")
}
