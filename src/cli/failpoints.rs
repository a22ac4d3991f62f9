//! `causeway failpoints`: whether this build can kill itself at named points, and which they are.

use crate::alerting::kind::ALERT_WEBHOOK;
use crate::evidence::step::EVIDENCE_PACKET;
use crate::ops::failpoints::table;
use crate::terminal::{Exit, Out};

/// Arguments of `failpoints`.
#[derive(clap::Args, Clone, Copy, Debug)]
#[command(after_help = "A release build has no such points, and lists none.\n\nExample:\n  causeway failpoints --list")]
pub struct FailpointsArgs {
    /// List the points, one a line
    #[arg(long)]
    pub list: bool,
}

/// Prints whether there are points, or their names.
pub fn run(args: FailpointsArgs, out: &mut Out) -> Exit {
    let table = table(args.list, &[&EVIDENCE_PACKET, &ALERT_WEBHOOK]);
    if out.json {
        out.value(&table);
        return Exit::Done;
    }
    if !args.list || !table.failpoints {
        let exist = if table.failpoints { "yes" } else { "no" };
        out.line(&format!("failpoints: {exist}"));
    }
    for point in table.points.iter().flatten() {
        out.line(point);
    }
    Exit::Done
}
