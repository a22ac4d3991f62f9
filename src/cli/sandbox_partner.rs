//! `causeway sandbox-partner`: another payer on this machine that answers, and misbehaves, by a script.
//!
//! The payer itself is the crate `causeway-sandbox-partner`, which shares no code with this server's handlers.

use crate::app::signals::Signals;
use crate::error::{Failure, Fault};
use crate::terminal::{Exit, Out};
use causeway_sandbox_partner::{RunningSandbox, Sandbox, SandboxError, SandboxScript};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `sandbox-partner`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Example: causeway sandbox-partner --script sandbox.toml\n\nA script that is enough to begin with:\n\n  \
                  members = { count = 3, resources = 60 }\n\n  \
                  [[rule]]                     # the first two matches are told to wait\n  \
                  route = \"member-match\"\n  requests = \"1-2\"\n  \
                  acts = [{ answer = { status = 429, retry_after = \"2\" } }]\n\n\
                  All keys, routes and acts: docs/sandbox-partner.md"
)]
pub struct SandboxPartnerArgs {
    /// The script: TOML, or JSON when its name ends in .json
    #[arg(long, value_name = "FILE")]
    pub script: PathBuf,
    /// Folder for the addresses, certificates and keys with which to connect
    #[arg(long, value_name = "DIR", default_value = "causeway-data/sandbox-partner")]
    pub folder: PathBuf,
    /// Only check the script
    #[arg(long)]
    pub check: bool,
}

/// Plays the script until a signal; 0 after it.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a script that cannot be played and for an address beyond this machine; [`Fault::InputUnreadable`].
pub fn run(args: &SandboxPartnerArgs, cwd: &Path, out: &mut Out) -> Result<Exit, Failure> {
    let script = SandboxScript::read(&cwd.join(&args.script)).map_err(unusable)?;
    if args.check {
        let (rules, members) = (script.rule.len(), script.members.count + script.member.len());
        if out.json {
            out.value(&json!({ "rules": rules, "members": members }));
        } else {
            out.line(&format!("The script can be played: {rules} rules, {members} members."));
        }
        return Ok(Exit::Done);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let sandbox = Sandbox::start(script).map_err(unusable)?;
        let folder = cwd.join(&args.folder);
        sandbox.write_files(&folder).map_err(unusable)?;
        tell(&sandbox, &folder, out);
        signals.stop().await;
        let requests = sandbox.control().requests().len();
        out.note(&format!("stopped after {requests} requests"));
        sandbox.stop();
        Ok(Exit::Done)
    })
}

fn tell(sandbox: &RunningSandbox, folder: &Path, out: &mut Out) {
    let folder = folder.display().to_string();
    if out.json {
        return out.value(&json!({
            "base_url": sandbox.base_url(), "token_url": sandbox.token_url(),
            "control_url": sandbox.control_url(), "folder": folder
        }));
    }
    out.line(&format!("The other payer answers at {}", sandbox.base_url()));
    out.line(&format!(
        "Register it: causeway partner add --file {folder}/partner.toml"
    ));
    out.line(&format!(
        "Everything else that a client needs: {folder}/connection.json"
    ));
    out.note("Ctrl-C stops it.");
}

fn unusable(error: SandboxError) -> Failure {
    let (fault, at) = match &error {
        SandboxError::Unreadable { .. } => (Fault::InputUnreadable, "--script"),
        SandboxError::NotLoopback { at, .. } | SandboxError::Script { at, .. } => (Fault::ConfigInvalid, at.as_str()),
        SandboxError::Listen(_) | SandboxError::Certificate(_) => (Fault::ConfigInvalid, "--script"),
    };
    let at = if at.is_empty() { "--script" } else { at };
    Failure::new(fault).at(at).remedy(format!("{error}."))
}
