//! `causeway slo`: what was promised, how much of it may still be missed, and why it was missed.

use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::figures::objective::SloObjective;
use crate::ops::slo::budget::SloState;
use crate::ops::slo::read::{SloItem, SloReport, report};
use crate::terminal::{Exit, Out, ShortIds};
use clap::Args;

/// Arguments of `slo`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  causeway slo\n  causeway slo business-day\n  causeway slo --json")]
pub struct SloArgs {
    /// Only this objective; without it, all of them
    pub objective: Option<String>,
}

/// Runs the command. Waits on this thread. The exit code says whether an objective is breached or at risk.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for an objective that there is not; [`Fault::StoreDamaged`] for a policy that cannot be read; those of the store.
pub fn run(args: &SloArgs, ctx: &Context, out: &mut Out) -> Result<Exit, Failure> {
    let only = args.objective.as_deref();
    if only.is_some_and(|code| SloObjective::parse(code).is_none()) {
        let remedy = format!("Give one of: {}.", SloObjective::ALL.map(SloObjective::code).join(", "));
        return Err(Failure::new(Fault::ParameterInvalid).at("OBJECTIVE").remedy(remedy));
    }
    let now_ms = ctx.clock.now_ms();
    let mut found = ctx.store.read_blocking(|db| report(db, now_ms))?;
    found
        .items
        .retain(|item| only.is_none_or(|code| item.objective == code));
    match out.json {
        true => out.value(&found),
        false => show(&found, out),
    }
    let is_well = |item: &SloItem| matches!(item.state, SloState::Kept | SloState::NoData);
    Ok(match found.items.iter().all(is_well) {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

/// A number for people; a dash where there is none.
fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"))
}

fn show(found: &SloReport, out: &mut Out) {
    let cells = |item: &SloItem| {
        vec![
            item.objective.to_owned(),
            item.state.code().to_owned(),
            format!("{} %", item.target_percent),
            number(item.share_percent),
            item.window_days.to_string(),
            item.kept.to_string(),
            item.missed.to_string(),
            item.at_risk.to_string(),
            number(item.budget_left_percent),
            number(item.burn_1h),
            number(item.burn_6h),
        ]
    };
    let rows: Vec<Vec<String>> = found.items.iter().map(cells).collect();
    let header = [
        "OBJECTIVE",
        "STATE",
        "TARGET",
        "KEPT %",
        "DAYS",
        "KEPT",
        "MISSED",
        "AT RISK",
        "LEFT %",
        "BURN 1H",
        "BURN 6H",
    ];
    out.list(&header, &rows, &ShortIds::default(), "There are no objectives.");
    for item in found.items.iter().filter(|item| !item.causes.is_empty()) {
        out.line("");
        out.line(&format!("{}: {}", item.objective, item.promise));
        for cause in &item.causes {
            let reason = cause.reason.as_deref().unwrap_or("no fault");
            let owner = if cause.owner.is_empty() {
                "-"
            } else {
                cause.owner.as_str()
            };
            out.line(&format!(
                "  missed {}: state {}, owner {owner}, {reason}",
                cause.missed, cause.state
            ));
        }
    }
    if !found.newest_missed.is_empty() {
        out.line("");
        out.line("newest exchanges that missed the time of their answer:");
    }
    for miss in &found.newest_missed {
        out.line(&format!(
            "  {} with {}: due {}, phase {}, owner {}",
            miss.exchange, miss.partner, miss.due_at, miss.phase, miss.owner
        ));
    }
    match &found.counted_until {
        Some(until) => out.note(&format!("policy {}; everything is counted up to {until}", found.policy)),
        None => out.note(&format!(
            "policy {}; nothing is counted yet: no background work ran",
            found.policy
        )),
    }
}
