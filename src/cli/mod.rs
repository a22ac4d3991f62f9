//! The commands: one file each. They parse, call one use case and print; people's text goes to stderr, answers to stdout.

pub mod admin;
mod args;
mod asker;
pub mod bench;
pub mod config;
pub mod conformance;
pub mod consent;
pub mod demo;
pub mod disclosures;
pub mod durability;
pub mod faults;
pub mod grant;
pub mod identity;
mod identity_train;
pub mod import;
pub mod link;
pub mod matches;
pub mod operator;
mod out;
pub mod partner;
pub mod policy;
pub mod records;
pub mod review;
mod review_table;
pub mod serve;
mod signals;
pub mod synth;
pub mod trace;

pub use args::{Cli, Command, Common};
pub use asker::Asker;
pub use out::{Exit, Out};

use crate::audit::Note;
use crate::clock::Clock;
use crate::config::Config;
use crate::context::{Context, Guard};
use crate::error::{Failure, Fault};
use crate::identity::Rules;
use crate::ids::Ids;
use crate::store::{Store, StoreOptions, tokens};
use crate::telemetry::log;
use clap::Parser as _;
use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Time for the last lines of the log at the end of a command.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Parses this process's arguments, runs the command, and returns its exit code.
pub fn run() -> u8 {
    crate::security::tls::install_provider();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage as u8
            } else {
                Exit::Done as u8
            };
        }
    };
    let mut out = Out::new(
        cli.common.json,
        cli.common.quiet,
        std::io::stderr().is_terminal(),
        Box::new(std::io::stdout()),
        Box::new(std::io::stderr()),
    );
    let exit = dispatch(&cli, &mut out).unwrap_or_else(|failure| report(&failure, &mut out));
    log::flush(LAST_LINES);
    exit as u8
}

fn dispatch(cli: &Cli, out: &mut Out) -> Result<Exit, Failure> {
    let cwd = std::env::current_dir().map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
    match &cli.command {
        Command::Faults => Ok(faults::run(out)),
        Command::Synth(args) => synth::run(args, &cwd, out),
        Command::Demo(args) => demo::run(args, &cwd, out),
        Command::Identity(args) if !args.needs_store() => identity::run(args, &cwd, out),
        Command::Bench(args) => bench::run(args, &cwd, out),
        Command::Conformance(args) => conformance::run(args, &cwd, out),
        Command::Serve(args) => serve::run(args, &cli.common, out),
        Command::Config(args) => Ok(config::run(args, &load(&cli.common)?, out)),
        command => {
            let config = load(&cli.common)?;
            let asker = Asker::here(command)?;
            match open(&config) {
                Ok(ctx) => on_store(command, &ctx, &cwd, &asker, out),
                Err(failure) if failure.fault() == Fault::StoreBusy => admin::forward(
                    &config.data_folder().join(admin::SOCKET),
                    std::env::args().collect(),
                    &cwd,
                    asker.input.as_deref(),
                    out,
                )
                .ok_or(failure),
                Err(failure) => Err(failure),
            }
        }
    }
}

/// Runs a command that needs the store, in whichever process has it; `asker` gave it.
///
/// # Errors
/// Those of the command; [`Fault::ConfigInvalid`] for one that is not for a store.
pub fn on_store(command: &Command, ctx: &Context, cwd: &Path, asker: &Asker, out: &mut Out) -> Result<Exit, Failure> {
    match command {
        Command::Import(args) => import::run(args, ctx, cwd, asker, out),
        Command::Partner(args) => partner::run(args, ctx, cwd, asker, out),
        Command::Policy(args) => policy::run(args, ctx, cwd, asker, out),
        Command::Match(args) => matches::run(args, ctx, asker, out),
        Command::Identity(args) => identity::on_store(args, ctx, cwd, out),
        Command::Operator(args) => operator::run(args, ctx, asker, out),
        Command::Consent(args) => consent::run(args, ctx, asker, out),
        Command::Grant(args) => grant::run(args, ctx, asker, out),
        Command::Trace(args) => trace::run(args, ctx, asker, out),
        Command::Disclosures(args) => disclosures::run(args, ctx, asker, out),
        Command::Review(args) => review::run(args, ctx, asker, out),
        Command::Link(args) => link::run(args, ctx, asker, out),
        Command::Records(args) => records::run(args, ctx, asker, out),
        Command::Durability => durability::run(ctx, out),
        _ => Err(Failure::new(Fault::ConfigInvalid).remedy("This command does not run inside a server.")),
    }
}

/// What an operator gave as reason, and as an id where it gave one: the user of this host stands before it, since anybody could
/// give any id.
///
/// # Errors
/// [`Fault::ParameterInvalid`] for an id that is none of ours, or no reason.
pub fn operator_note(asker: &Asker, operator: Option<&str>, reason: &str) -> Result<Note, Failure> {
    if operator.is_some_and(|id| !crate::ids::is_fhir_id(id)) {
        let remedy = "Give --operator as 1 to 64 letters, digits, hyphens and dots.";
        return Err(Failure::new(Fault::ParameterInvalid).at("--operator").remedy(remedy));
    }
    if !crate::ids::is_one_line(reason) {
        let remedy = "Say why, on one line.";
        return Err(Failure::new(Fault::ParameterInvalid).at("--reason").remedy(remedy));
    }
    Ok(Note {
        operator: operator.map_or_else(|| asker.name(), |id| format!("{}/{id}", asker.name())),
        reason: reason.to_owned(),
    })
}

/// The configuration that the common options name.
///
/// # Errors
/// As [`Config::load`].
pub fn load(common: &Common) -> Result<Config, Failure> {
    Config::from_environment(common.config.as_deref()).map_err(|failure| match failure.fault() {
        // A configuration that is not there is a wrong configuration, not a wrong input (exit code 2).
        Fault::InputUnreadable => Failure::new(Fault::ConfigInvalid)
            .at("--config")
            .remedy("Name a configuration file that can be read.")
            .because(failure),
        _ => failure,
    })
}

/// Opens the configured store.
///
/// # Errors
/// As [`Store::open`].
pub fn open(config: &Config) -> Result<Context, Failure> {
    let options = StoreOptions {
        connections: config.store.connections,
        room: config.limits.room,
    };
    let store = Store::open(&config.store.url, &options)?;
    let ctx = Context {
        guard: Arc::new(Guard::open(&store, config.policy.guess)?),
        store,
        clock: Clock::System,
        ids: Ids::random(),
        payer: Arc::new(config.payer()),
        review: config.review(),
        matching: Arc::new(Rules::shipped(&config.policy.matching)),
    };
    if let Some(newest_ms) = ctx.store.read_blocking(tokens::newest_ms)? {
        ctx.clock.has_seen(newest_ms);
    }
    crate::records::visible::bring_up(&ctx, &mut |done| {
        tracing::info!(resources = done, "version times are being made those of this store");
    })?;
    crate::records::rejudge::bring_up(&ctx, &mut |done| {
        tracing::info!(
            resources = done,
            "what is stored is being judged anew by this version's rules"
        );
    })?;
    crate::records::search_index::bring_up(&ctx, &mut |done| {
        tracing::info!(resources = done, "the search index is being made anew");
    })?;
    Ok(ctx)
}

/// Prints a failure for people and picks the exit code.
pub fn report(failure: &Failure, out: &mut Out) -> Exit {
    out.error(&format!("error: {failure}"));
    out.error(&format!("  next: {}", failure.operator_remedy_text()));
    if let Some(cause) = failure.cause() {
        out.error(&format!("  cause: {cause}"));
    }
    match failure.fault() {
        Fault::StoreBusy | Fault::Overloaded => Exit::Busy,
        Fault::ConfigInvalid
        | Fault::PartnerInvalid
        | Fault::DurabilityUnsafe
        | Fault::ParameterInvalid
        | Fault::PolicyInvalid => Exit::Usage,
        Fault::InputUnreadable => Exit::Unreadable,
        Fault::StoreDamaged => Exit::Integrity,
        _ => Exit::Failed,
    }
}

/// The items of all pages.
fn every_page(
    mut page: impl FnMut(Option<String>) -> Result<crate::ops::Page, Failure>,
) -> Result<Vec<serde_json::Value>, Failure> {
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let found = page(cursor)?;
        items.extend(found.items);
        cursor = found.next;
        if cursor.is_none() {
            return Ok(items);
        }
    }
}
