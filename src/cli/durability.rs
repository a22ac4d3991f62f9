//! `causeway durability`: what the database promises, read back from it.

use crate::context::Context;
use crate::error::Failure;
use crate::store::durability;
use crate::terminal::{Exit, Out};

/// Prints the settings; exits with 1 when one is unsafe.
///
/// # Errors
/// Those of the store.
pub fn run(ctx: &Context, out: &mut Out) -> Result<Exit, Failure> {
    let report = ctx.store.reserved().write_blocking(durability::report)?;
    if out.json {
        out.value(&report);
    } else {
        let rows: Vec<Vec<String>> = report
            .settings
            .iter()
            .map(|s| {
                vec![
                    s.name.into(),
                    s.value.clone(),
                    s.safe.join(" or "),
                    if s.ok { "ok" } else { "UNSAFE" }.into(),
                ]
            })
            .collect();
        out.note(&format!("store: {}", ctx.store.url()));
        out.table(&["SETTING", "IS", "SAFE", ""], &rows);
    }
    Ok(if report.ok { Exit::Done } else { Exit::Failed })
}
