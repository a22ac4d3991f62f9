//! `causeway states`: the states, moves, steps and retries of an exchange, as tables, JSON or a diagram.

use crate::ops::states::{StateTables, dot, mermaid, tables};
use crate::terminal::{Exit, Out};

/// Arguments of `states`.
#[derive(clap::Args, Clone, Debug)]
#[command(after_help = "Examples:\n  causeway states --json\n  causeway states --dot | dot -Tsvg -o exchange.svg")]
pub struct StatesArgs {
    /// Print a graph in the DOT language
    #[arg(long, conflicts_with = "mermaid")]
    pub dot: bool,
    /// Print a Mermaid state diagram
    #[arg(long)]
    pub mermaid: bool,
}

/// Prints the tables.
pub fn run(args: &StatesArgs, out: &mut Out) -> Exit {
    if args.dot {
        out.raw(&dot());
    } else if args.mermaid {
        out.raw(&mermaid());
    } else if out.json {
        out.value(&tables());
    } else {
        print(out);
    }
    Exit::Done
}

fn print(out: &mut Out) {
    let tables = tables();
    print_moves(&tables, out);
    print_steps(&tables, out);
    print_failures(&tables, out);
    out.line("");
    out.line(&format!("version of steps and failures: {}", tables.retry_version));
}

fn print_moves(tables: &StateTables, out: &mut Out) {
    let dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let any = |names: &[&str]| match names {
        [] => "-".to_owned(),
        names => names.join(" "),
    };
    let moves: Vec<Vec<String>> = tables
        .moves
        .iter()
        .map(|one| {
            vec![
                any(&one.from),
                any(&one.at),
                one.event.to_owned(),
                one.to.unwrap_or("(stays)").to_owned(),
                dash(one.next_step),
                one.owner.to_owned(),
                dash(one.retried_by),
                dash(one.escalated_by),
                dash(one.evidence_by),
                dash(one.final_status_by),
            ]
        })
        .collect();
    out.table(
        &[
            "FROM",
            "AT",
            "EVENT",
            "TO",
            "NEXT STEP",
            "OWNER",
            "RETRIED",
            "ESCALATED",
            "EVIDENCE",
            "FINAL STATUS",
        ],
        &moves,
    );
}

fn print_steps(tables: &StateTables, out: &mut Out) {
    out.line("");
    let steps: Vec<Vec<String>> = tables
        .steps
        .iter()
        .map(|step| {
            vec![
                step.step.to_owned(),
                (step.timeout_ms / 1_000).to_string(),
                step.attempts.to_string(),
                step.rounds.to_string(),
                (step.round_ms / 60_000).to_string(),
                step.compensation.to_owned(),
                step.safe_because.to_owned(),
            ]
        })
        .collect();
    out.table(
        &[
            "STEP",
            "SECONDS",
            "TRIES",
            "ROUNDS",
            "MINUTES BETWEEN",
            "TAKEN BACK BY",
            "SAFE TO REPEAT BECAUSE",
        ],
        &steps,
    );
}

fn print_failures(tables: &StateTables, out: &mut Out) {
    out.line("");
    let failures: Vec<Vec<String>> = tables
        .failures
        .iter()
        .map(|rule| {
            vec![
                rule.class.to_owned(),
                rule.follows.to_owned(),
                rule.attempts.to_string(),
                rule.next_action.to_owned(),
            ]
        })
        .collect();
    out.table(&["FAILURE", "FOLLOWS", "TRIES", "WHEN PARKED"], &failures);
}
