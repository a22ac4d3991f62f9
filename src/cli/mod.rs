//! The commands: one file each. They parse, call one use case and print; people's text goes to stderr, answers to stdout.

pub mod alerts;
mod args;
mod ask_reason;
pub mod asker;
pub mod audit;
mod audit_erase;
mod audit_keys;
mod audit_looks;
mod audit_new_log;
mod audit_packet;
mod audit_prove;
pub mod backup;
pub mod bench;
mod bring_up;
pub mod bulk;
pub mod completions;
pub mod config;
pub mod conformance;
pub mod consent;
pub mod console;
pub mod controls;
pub mod demo;
pub mod disclosures;
pub mod durability;
pub mod evidence;
pub mod exchange;
mod exchange_import;
pub mod exchange_received;
pub mod exchange_show;
pub mod failpoints;
pub mod faults;
mod global;
pub mod grant;
pub mod identity;
mod identity_train;
pub mod import;
pub mod jobs;
pub mod link;
mod look;
pub mod manual;
pub mod matches;
pub mod migrate;
pub mod month;
mod nearby;
mod need;
mod new_file;
pub mod operator;
mod pages;
pub mod partner;
pub mod policy;
mod policy_args;
mod policy_table;
pub mod reconcile;
pub mod records;
mod report;
pub mod restore;
pub mod retention;
pub mod review;
mod review_table;
pub mod runbook;
pub mod sandbox_partner;
pub mod scorecard;
mod sealing_keys;
pub mod serve;
mod short;
pub mod slo;
pub mod states;
pub mod synth;
pub mod trace;
pub mod witness;
pub mod worker;

pub use args::{Cli, Command};
pub use asker::CommandAsker;
pub use global::Common;

use crate::app::admin::{SOCKET, SentCommand, forward};
use crate::app::wiring;
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::telemetry::log;
use crate::terminal::{Exit, Out};
use clap::{CommandFactory as _, Parser as _};
use report::report;
use std::io::{IsTerminal as _, Write};
use std::path::Path;
use std::time::Duration;

/// Time for the last lines of the log at the end of a command.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Parses this process's arguments, runs the command, and returns its exit code.
pub fn run() -> u8 {
    crate::security::tls::install_provider();
    let mut cli = match Cli::try_parse() {
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
    )
    .on(cli.common.screen());
    let asked = ask_reason::ask(&mut cli.command);
    let done = asked.and_then(|more| dispatch(&cli, &more, &mut out));
    let exit = done.unwrap_or_else(|failure| report(&failure, &mut out));
    log::flush(LAST_LINES);
    exit as u8
}

/// `more`: arguments that were asked for after the process had started.
fn dispatch(cli: &Cli, more: &[String], out: &mut Out) -> Result<Exit, Failure> {
    let cwd = std::env::current_dir().map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?;
    match &cli.command {
        Command::Faults => Ok(faults::run(out)),
        Command::Runbook(args) => runbook::run(args, out),
        Command::Failpoints(args) => Ok(failpoints::run(*args, out)),
        Command::Completions(args) => Ok(completions::run(args, Cli::command(), out)),
        Command::Man(args) => manual::run(args, Cli::command(), &cwd, out),
        Command::States(args) => Ok(states::run(args, out)),
        Command::Synth(args) => synth::run(args, &cwd, out),
        Command::SandboxPartner(args) => sandbox_partner::run(args, &cwd, out),
        Command::Demo(args) => demo::run(args, &cwd, run_sent, out),
        Command::Witness(args) => witness::run(args, &cwd, out),
        Command::Audit(args) if !args.needs_store() => audit::run(args, &cwd, out),
        Command::Audit(args) if args.begins_log() => {
            audit_new_log::run(args, &wiring::load(cli.common.config.as_deref())?, out)
        }
        Command::Restore(args) => restore::run(args, &wiring::load(cli.common.config.as_deref())?, &cwd, out),
        Command::Identity(args) if !args.needs_store() => identity::run(args, &cwd, out),
        Command::Bench(args) => bench::run(args, &cwd, run_sent, out),
        Command::Conformance(args) => conformance::run(args, &cwd, out),
        Command::Serve(args) => serve::run(args, &cli.common, run_sent, out),
        Command::Worker(args) => worker::run(args, &cli.common, out),
        Command::Config(args) => config::run(args, &wiring::load(cli.common.config.as_deref())?, out),
        Command::Migrate(args) => migrate::run(args, &wiring::load(cli.common.config.as_deref())?, out),
        command => {
            let config = wiring::load(cli.common.config.as_deref())?;
            if matches!(command, Command::Backup(_)) && config.store.url.sqlite_path().is_none() {
                return Err(backup::only_sqlite("backup"));
            }
            let asker = CommandAsker::here(need::member_of(command), &config)?;
            let opened = wiring::open_for(&config, need::of(command), &mut |line| out.note(line));
            if let Ok(ctx) = &opened
                && let Some(why) = ctx.store.read_only()
            {
                out.note(&format!(
                    "this store accepts no writes ({why}), so the ledger does not record what you look at here"
                ));
            }
            match opened {
                Ok(ctx) => on_store(command, &ctx, &cwd, &asker, out),
                Err(failure) if failure.fault() == Fault::StoreBusy => forward(
                    &config.data_folder().join(SOCKET),
                    std::env::args().chain(more.iter().cloned()).collect(),
                    &cwd,
                    asker.input.as_deref(),
                    out,
                )
                .ok_or(failure),
                Err(failure) if failure.fault() == Fault::StoreMissing => Err(nearby::named(failure, &cwd)),
                Err(failure) => Err(failure),
            }
        }
    }
}

/// Runs a command that needs the store, in whichever process has it; `asker` gave it.
///
/// # Errors
/// Those of the command; [`Fault::ConfigInvalid`] for one that is not for a store.
pub fn on_store(
    command: &Command,
    ctx: &Context,
    cwd: &Path,
    asker: &CommandAsker,
    out: &mut Out,
) -> Result<Exit, Failure> {
    match command {
        Command::Import(args) => import::run(args, ctx, cwd, asker, out),
        Command::Partner(args) => partner::run(args, ctx, cwd, asker, out),
        Command::Policy(args) => policy::run(args, ctx, cwd, asker, out),
        Command::Match(args) => matches::run(args, ctx, asker, out),
        Command::Identity(args) => identity::on_store(args, ctx, cwd, out),
        Command::Operator(args) => operator::run(args, ctx, asker, out),
        Command::Console(args) => console::run(args, ctx, asker, out),
        Command::Consent(args) => consent::run(args, ctx, asker, out),
        Command::Grant(args) => grant::run(args, ctx, asker, out),
        Command::Trace(args) => trace::run(args, ctx, asker, out),
        Command::Disclosures(args) => disclosures::run(args, ctx, asker, out),
        Command::Review(args) => review::run(args, ctx, asker, out),
        Command::Link(args) => link::run(args, ctx, asker, out),
        Command::Records(args) => records::run(args, ctx, asker, out),
        Command::Alerts(args) => alerts::run(args, ctx, out),
        Command::Slo(args) => slo::run(args, ctx, out),
        Command::Scorecard(args) => scorecard::run(args, ctx, cwd, out),
        Command::Jobs(args) => jobs::run(args, ctx, asker, out),
        Command::Bulk(args) => bulk::run(args, ctx, asker, out),
        Command::Exchange(args) => exchange::run(args, ctx, cwd, asker, out),
        Command::Reconcile(args) => reconcile::run(args, ctx, cwd, asker, out),
        Command::Report(args) => month::run(args, ctx, cwd, asker, out),
        Command::Durability => durability::run(ctx, out),
        Command::Audit(args) if args.erases() => audit_erase::run(args, ctx, asker, out),
        Command::Audit(args) => audit::on_store(args, ctx, cwd, asker, out),
        Command::Evidence(args) => evidence::run(args, ctx, cwd, asker, out),
        Command::Backup(args) => backup::run(args, ctx, cwd, asker, out),
        Command::Retention(args) => retention::run(args, ctx, asker, out),
        Command::Controls(args) => controls::run(args, ctx, cwd, asker, out),
        _ => Err(Failure::new(Fault::ConfigInvalid).remedy("This command does not run inside a server.")),
    }
}

/// Runs a command that came over the admin socket, on the store of this process ([`crate::app::admin::RunCommand`]).
pub fn run_sent(
    sent: &SentCommand,
    ctx: &Context,
    stdout: Box<dyn Write + Send>,
    mut stderr: Box<dyn Write + Send>,
) -> Exit {
    let cli = match Cli::try_parse_from(&sent.args) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = stderr.write_all(error.to_string().as_bytes());
            return Exit::Usage;
        }
    };
    let asker = CommandAsker {
        uid: sent.uid,
        input: sent.input.clone(),
        on_loopback: sent.on_loopback,
        console: sent.console.clone(),
        data_folder: sent.data_folder.clone(),
        files: sent.files.clone(),
    };
    let mut out = Out::new(cli.common.json, cli.common.quiet, false, stdout, stderr).on(sent.screen);
    on_store(&cli.command, ctx, &sent.cwd, &asker, &mut out).unwrap_or_else(|failure| report(&failure, &mut out))
}
