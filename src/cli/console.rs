//! `causeway console`: one-time links with which people sign in to the pages for operators.

use super::asker::CommandAsker;
use crate::clock::rfc3339_ms;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::security::Roles;
use crate::security::console::make_link;
use crate::terminal::{Exit, Out};
use clap::{Args, Subcommand};
use serde_json::json;

const EXAMPLES: &str = "Example:\n  causeway console link --role operator --name ana --reason \"night shift\"";

/// Sign people in to the console.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ConsoleArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ConsoleCommand,
}

/// What to do for the console.
#[derive(Subcommand, Clone, Debug)]
pub enum ConsoleCommand {
    /// Make a link with which one person signs in, once, within a minute; it is kept only as a hash
    #[command(after_help = EXAMPLES)]
    Link {
        /// What its holder may do; several roles with a comma between two, or the option again
        #[arg(long, required = true, value_delimiter = ',', value_parser = ["support", "operator", "reviewer", "auditor", "admin"])]
        role: Vec<String>,
        /// Name of its holder, which the ledger records with each act; your user id on this host by default
        #[arg(long, value_name = "WHO")]
        name: Option<String>,
        /// Why; kept beside the ledger with your user id
        #[arg(long, value_name = "WHY")]
        reason: String,
    },
}

/// Runs the command. Waits on this thread.
///
/// # Errors
/// [`Fault::ParameterInvalid`]; those of the store.
pub fn run(args: &ConsoleArgs, ctx: &Context, asker: &CommandAsker, out: &mut Out) -> Result<Exit, Failure> {
    let ConsoleCommand::Link { role, name, reason } = &args.command;
    let roles = Roles::parse(&role.join(",")).ok_or_else(|| Failure::new(Fault::ParameterInvalid).at("--role"))?;
    let name = name.clone().unwrap_or_else(|| asker.name());
    let made = make_link(ctx, &roles, &name, &asker.operator_note(None, reason)?)?;
    let url = format!("{}/console/link/{}", asker.console, made.secret.expose());
    let expires_at = rfc3339_ms(made.expires_ms);
    if out.json {
        out.value(&json!({ "url": url, "role": roles.text(), "name": name, "expires_at": expires_at }));
    } else {
        out.line(&url);
        out.note(&format!(
            "role {}, name {name}: it works once, until {expires_at}",
            roles.text()
        ));
    }
    Ok(Exit::Done)
}
