//! `causeway migrate`: brings the store's schema up with the rights of whoever runs it, so that the server needs no such rights.

use super::{Exit, Out};
use crate::config::Config;
use crate::error::{Failure, Fault};
use crate::store::migrate::Known;
use crate::store::rights::Grant;
use crate::store::standing::{self, Standing};
use clap::Args;
use serde_json::json;

/// Arguments of `migrate`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway migrate --check\n  DATABASE_URL=postgres://owner@db/causeway causeway migrate --grant causeway_data\n  \
    causeway migrate --print-grants causeway_data\n  causeway migrate --grant causeway_reports --read-only\n\n\
    --check exits with 1 when migrations are to be run, and with 2 for a store of a newer version. The other commands run them by\n\
    themselves when their role may. docs/operations.md says which roles a PostgreSQL store needs."
)]
pub struct MigrateArgs {
    /// Only say how the schema stands; nothing is changed
    #[arg(long, conflicts_with_all = ["grant", "print_grants"])]
    pub check: bool,
    /// Afterwards grant this role what the server needs (PostgreSQL)
    #[arg(long, value_name = "ROLE", conflicts_with = "print_grants")]
    pub grant: Option<String>,
    /// Print the statements of --grant instead; nothing is changed
    #[arg(long, value_name = "ROLE")]
    pub print_grants: Option<String>,
    /// Grant what commands that only read need, and no more
    #[arg(long)]
    pub read_only: bool,
}

/// Runs the command.
///
/// # Errors
/// Those of [`standing`].
pub fn run(args: &MigrateArgs, config: &Config, out: &mut Out) -> Result<Exit, Failure> {
    let (url, schema) = (&config.store.url, config.store.schema.as_deref());
    let what = if args.read_only { Grant::Reading } else { Grant::Data };
    if args.read_only && args.grant.is_none() && args.print_grants.is_none() {
        let remedy = "Give --read-only with --grant or --print-grants.";
        return Err(Failure::new(Fault::ParameterInvalid).at("--read-only").remedy(remedy));
    }
    if let Some(role) = &args.print_grants {
        let statements = standing::grants_for(url, schema, what, role)?;
        if out.json {
            out.value(&json!({"role": role, "statements": statements}));
        } else {
            for statement in &statements {
                out.line(statement);
            }
        }
        return Ok(Exit::Done);
    }
    let found = if args.check {
        standing::look(url, schema)?
    } else {
        standing::bring_up(url, schema, &mut |line| out.note(line))?
    };
    if let Some(role) = &args.grant {
        standing::grant(url, schema, what, role)?;
    }
    tell(config, &found, args, out);
    Ok(if found.state.pending.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

fn tell(config: &Config, found: &Standing, args: &MigrateArgs, out: &mut Out) {
    let pending: Vec<&str> = found
        .state
        .pending
        .iter()
        .map(|one: &Known| one.name.as_str())
        .collect();
    if out.json {
        out.value(&json!({
            "store": config.store.url.kind(),
            "schema": found.schema,
            "applied": found.state.applied,
            "pending": pending,
            "done": found.done,
            "granted": args.grant,
        }));
        return;
    }
    out.note(&format!("store: {}", config.store.url));
    if let Some(schema) = &found.schema {
        out.note(&format!("schema: {schema}"));
    }
    for name in &found.done {
        out.line(&format!("done     {name}"));
    }
    for name in &pending {
        out.line(&format!("pending  {name}"));
    }
    if pending.is_empty() {
        out.note(&format!(
            "the schema is that of this program: {} migrations",
            found.state.applied.len()
        ));
    }
    if let Some(role) = &args.grant {
        out.note(&format!("role {role} has its rights"));
    }
}
