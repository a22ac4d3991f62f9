//! The settings of a server process: its configuration, its log, and what runs the commands that come over its admin socket.

use super::admin::RunCommand;
use crate::http::server::Extra;
use std::path::PathBuf;

/// The settings of one server process.
#[derive(Clone, Debug)]
pub struct ServerService {
    /// The configuration file; when `None`, the default file if it exists. It is read again on SIGHUP.
    pub config: Option<PathBuf>,
    /// Whether to make development certificates, a partner and sample members if there are none.
    pub dev: bool,
    /// A file for the log instead of stderr.
    pub log_file: Option<PathBuf>,
    /// Whether background work is left to other processes.
    pub no_worker: bool,
    /// Whether nobody gives the entries of the ledger their places, nor compares the tree with what was signed. Only the bench compares with
    /// such a server.
    pub without_tree: bool,
    /// Whether only errors are printed on stderr.
    pub quiet: bool,
    /// Runs the commands that come over the admin socket.
    pub commands: RunCommand,
    /// Routes for a special purpose, such as the static answer of `causeway bench`.
    pub extra: Option<Extra>,
}
