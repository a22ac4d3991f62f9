//! `causeway alerts`: which alerts are raised now, what each means, and what to do.

use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::alerts::table::{ALERTS, alert};
use crate::ops::alerts::{AlertItem, AlertState, items};
use crate::terminal::{Exit, Out, ShortIds};
use clap::Args;
use serde_json::json;

/// Arguments of `alerts`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  causeway alerts\n  causeway alerts partner-failing\n  causeway alerts --json")]
pub struct AlertsArgs {
    /// Only this alert; without it, all of them
    pub alert: Option<String>,
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for an alert that is not in the table; those of the store.
pub fn run(args: &AlertsArgs, ctx: &Context, out: &mut Out) -> Result<Exit, Failure> {
    let only = args.alert.as_deref();
    if only.is_some_and(|code| alert(code).is_none()) {
        let all: Vec<&str> = ALERTS.iter().map(|alert| alert.code).collect();
        let remedy = format!("Give one of: {}.", all.join(", "));
        return Err(Failure::new(Fault::ParameterInvalid).at("ALERT").remedy(remedy));
    }
    let now_ms = ctx.clock.now_ms();
    let mut found = ctx.store.read_blocking(|db| items(db, now_ms))?;
    found.retain(|item| only.is_none_or(|code| item.alert == code));
    if out.json {
        out.value(&json!({ "items": found }));
    } else {
        show(&found, only.is_some(), out);
    }
    Ok(match found.iter().any(|item| item.state == AlertState::Raised) {
        true => Exit::Failed,
        false => Exit::Done,
    })
}

/// A table of the alerts; and of each that is raised, or was asked for, what it means and what to do.
fn show(found: &[AlertItem], is_asked_for: bool, out: &mut Out) {
    let cells = |item: &AlertItem| {
        vec![
            item.alert.to_owned(),
            item.state.code().to_owned(),
            item.severity.to_owned(),
            item.owner.to_owned(),
            item.within.to_owned(),
            item.says.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    };
    let rows: Vec<Vec<String>> = found.iter().map(cells).collect();
    let header = ["ALERT", "STATE", "SEVERITY", "OWNER", "WITHIN", "FOUND"];
    out.list(&header, &rows, &ShortIds::default(), "There are no alerts.");
    for item in found {
        if item.state != AlertState::Raised && !is_asked_for {
            continue;
        }
        out.line("");
        out.line(&format!("{}: {}", item.alert, item.meaning));
        if !item.partners.is_empty() {
            out.line(&format!("  partners: {}", item.partners.join(", ")));
        }
        out.line(&format!("  raised when: {}", item.condition));
        for (number, step) in item.steps.iter().enumerate() {
            out.line(&format!("  {}. {step}", number + 1));
        }
    }
    if found.iter().any(|item| item.state == AlertState::NotJudged) {
        out.note("alerts that are not judged need a running server: ask it with GET /ops/v1/alerts");
    }
}
