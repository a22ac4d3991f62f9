//! `causeway serve`: the server, from configuration to SIGTERM.

use super::global::Common;
use crate::app::admin::RunCommand;
use crate::app::serve;
use crate::app::service::ServerService;
use crate::error::Failure;
use crate::terminal::{Exit, Out};
use clap::Args;

/// Arguments of `serve`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example: causeway serve --config causeway.toml")]
pub struct ServeArgs {
    /// Make development certificates, a partner and sample members if there are none
    #[arg(long)]
    pub dev: bool,
    /// Write the log to this file instead of stderr; SIGHUP reopens it
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<std::path::PathBuf>,
    /// Leave background work to `causeway worker` processes; on PostgreSQL only
    #[arg(long)]
    pub no_worker: bool,
}

/// Serves until a signal; 0 after a graceful stop. `commands` runs what comes over the admin socket.
///
/// # Errors
/// Those of configuration, store and listeners.
pub fn run(args: &ServeArgs, common: &Common, commands: RunCommand, out: &mut Out) -> Result<Exit, Failure> {
    let service = ServerService {
        config: common.config.clone(),
        dev: args.dev,
        log_file: args.log_file.clone(),
        no_worker: args.no_worker,
        without_tree: false,
        quiet: common.quiet,
        commands,
        extra: None,
    };
    serve::run(&service, out)
}
