//! `causeway worker`: the background work alone, in as many processes as one likes over one PostgreSQL store.

use super::global::Common;
use crate::app::worker::{self, WorkerRole};
use crate::error::Failure;
use crate::terminal::{Exit, Out};
use clap::Args;

/// Arguments of `worker`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example: causeway worker --config causeway.toml")]
pub struct WorkerArgs {
    /// Write the log to this file instead of stderr; SIGHUP reopens it
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<std::path::PathBuf>,
}

/// Works until a signal; 0 after a graceful stop.
///
/// # Errors
/// [`crate::error::Fault::ConfigInvalid`] for a SQLite store; those of configuration and store.
pub fn run(args: &WorkerArgs, common: &Common, out: &mut Out) -> Result<Exit, Failure> {
    let work = WorkerRole {
        config: common.config.clone(),
        log_file: args.log_file.clone(),
        quiet: common.quiet,
    };
    worker::run(&work, out)
}
