//! `causeway migrate`: brings the store's schema up, and what the store holds, with the rights of whoever runs it, so that the server
//! needs no such rights and starts at once.

use super::bring_up;
use crate::app::wiring;
use crate::config::Config;
use crate::error::{Failure, Fault};
use crate::records::bring_up::{self as due, DuePart};
use crate::store::StoreNeed;
use crate::store::migrate::KnownMigration;
use crate::store::rights::RoleGrant;
use crate::store::standing::{self, SchemaStanding};
use crate::terminal::{Exit, Out};
use clap::Args;
use serde_json::{Value, json};

/// Arguments of `migrate`.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  causeway migrate --check\n  DATABASE_URL=postgres://owner@db/causeway causeway migrate --grant causeway_data\n  \
    causeway migrate --print-grants causeway_data\n  causeway migrate --grant causeway_reports --read-only\n\n\
    After the schema it updates what is stored: version times, judgments by this version's rules, the search index. If it is interrupted,\n\
    run it again: it goes on where it stopped.\n\
    --check exits with 1 when there is something to do, and with 2 for a store of a newer version. Commands that write migrate the store\n\
    themselves when their role may. docs/operators/postgresql.md says which roles a PostgreSQL store needs."
)]
pub struct MigrateArgs {
    /// Only report what would be done; change nothing
    #[arg(long, conflicts_with_all = ["grant", "print_grants"])]
    pub check: bool,
    /// Then grant this role what the server needs (PostgreSQL)
    #[arg(long, value_name = "ROLE", conflicts_with = "print_grants")]
    pub grant: Option<String>,
    /// Print the statements of --grant; change nothing
    #[arg(long, value_name = "ROLE")]
    pub print_grants: Option<String>,
    /// With --grant or --print-grants: only what reading commands need
    #[arg(long)]
    pub read_only: bool,
}

/// Runs the command.
///
/// # Errors
/// Those of [`standing`] and of the store.
pub fn run(args: &MigrateArgs, config: &Config, out: &mut Out) -> Result<Exit, Failure> {
    let (url, schema) = (&config.store.url, config.store.schema.as_deref());
    let what = if args.read_only {
        RoleGrant::Reading
    } else {
        RoleGrant::Data
    };
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
    // What is due is not known before the schema is this program's.
    let due = match found.state.pending.is_empty() {
        true => Some(standing::read(url, schema, due::due)?),
        false => None,
    };
    let mut report = Report {
        found: &found,
        due,
        brought_up: Vec::new(),
    };
    if !args.check && report.due.as_ref().is_some_and(|due| !due.is_empty()) {
        let ctx = wiring::open_as_it_is(config, StoreNeed::Write, &mut |line| out.note(line))?;
        report.brought_up = bring_up::with_bar(&ctx, out)?;
        ctx.store.settle();
        report.due = Some(ctx.store.read_blocking(due::due)?);
    }
    report.tell(config, args, out);
    Ok(if report.is_done() { Exit::Done } else { Exit::Failed })
}

/// How the store stands.
struct Report<'a> {
    found: &'a SchemaStanding,
    /// What is to be brought up; unknown while migrations are pending.
    due: Option<Vec<DuePart>>,
    brought_up: Vec<DuePart>,
}

impl Report<'_> {
    fn is_done(&self) -> bool {
        self.due.as_ref().is_some_and(Vec::is_empty)
    }

    fn tell(&self, config: &Config, args: &MigrateArgs, out: &mut Out) {
        let found = self.found;
        let pending: Vec<&str> = found
            .state
            .pending
            .iter()
            .map(|one: &KnownMigration| one.name.as_str())
            .collect();
        if out.json {
            let of = |due: &[DuePart]| -> Vec<Value> {
                due.iter()
                    .map(|one| json!({"part": one.part.name(), "resources": one.resources}))
                    .collect()
            };
            out.value(&json!({
                "store": config.store.url.kind(),
                "schema": found.schema,
                "applied": found.state.applied,
                "pending": pending,
                "done": found.done,
                "due": self.due.as_deref().map(of),
                "brought_up": of(&self.brought_up),
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
        for one in &self.brought_up {
            out.line(&format!("done     {}, {} resources", one.part.name(), one.resources));
        }
        for name in &pending {
            out.line(&format!("pending  {name}"));
        }
        for one in self.due.iter().flatten() {
            out.line(&format!("pending  {}, {} resources", one.part.name(), one.resources));
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
}
