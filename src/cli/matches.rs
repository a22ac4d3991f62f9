//! `causeway match explain ID`: why a match was decided as it was.

use super::{Exit, Out};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::ops::{self, View};
use clap::{Args, Subcommand};

/// Arguments of `match`.
#[derive(Args, Clone, Debug)]
pub struct MatchArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MatchCommand,
}

/// What can be asked about matches.
#[derive(Subcommand, Clone, Debug)]
pub enum MatchCommand {
    /// Say what was compared, what it weighed, what was needed, and what spoke against it; no personal values
    #[command(after_help = "Example: causeway match explain 0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e")]
    Explain {
        /// Id of the decision, as /ops/v1/decisions lists it
        id: String,
    },
}

/// Runs the command.
///
/// # Errors
/// [`Fault::NotFound`]; those of the store.
pub fn run(args: &MatchArgs, ctx: &Context, out: &mut Out) -> Result<Exit, Failure> {
    let MatchCommand::Explain { id } = &args.command;
    if !crate::ids::is_fhir_id(id) {
        return Err(Fault::NotFound.into());
    }
    let item = ctx
        .store
        .read_blocking(|db| ops::decision(db, id, View::WithoutPatients))?;
    if out.json {
        out.value(&item);
    } else {
        for line in ops::explain::table(&item).lines() {
            out.line(line);
        }
    }
    Ok(Exit::Done)
}
