//! A process that does only background work, from its start to the signal that stops it.

use super::notes::note;
use super::signals::{SignalMeaning, Signals};
use super::start::{on_its_own_thread, start_log};
use super::{background, ledger, requester, runtime, wiring};
use crate::audit::Action;
use crate::error::{Failure, Fault};
use crate::telemetry::log;
use crate::terminal::{Exit, Out};
use std::path::PathBuf;
use std::time::Duration;

/// Longest time that the database lets one statement run.
const STATEMENT: Duration = Duration::from_secs(5);
/// Time between two checks of the store and the clock.
const TICK: Duration = Duration::from_millis(500);

/// The settings of such a process.
#[derive(Clone, Debug)]
pub struct WorkerRole {
    /// The configuration file; when `None`, the default file if it exists.
    pub config: Option<PathBuf>,
    /// A file for the log instead of stderr.
    pub log_file: Option<PathBuf>,
    /// Whether only errors are printed on stderr.
    pub quiet: bool,
}

/// Works until a signal comes; returns 0 after a graceful stop.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a SQLite store; those of configuration and store.
pub fn run(work: &WorkerRole, out: &mut Out) -> Result<Exit, Failure> {
    let runtime = runtime::start(out)?;
    let exit = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        keep_up(work, &mut signals, out).await
    });
    runtime::end(runtime);
    exit
}

async fn keep_up(work: &WorkerRole, signals: &mut Signals, out: &mut Out) -> Result<Exit, Failure> {
    let config = {
        let file = work.config.clone();
        on_its_own_thread(move || wiring::load(file.as_deref())).await?
    };
    if config.store.url.sqlite_path().is_some() {
        let remedy = "Run `causeway serve`: a SQLite store has one process, which does its background work too.";
        return Err(Failure::new(Fault::ConfigInvalid).at("store.url").remedy(remedy));
    }
    start_log(&config, work.log_file.as_deref(), work.quiet, out)?;
    let ctx = {
        let config = config.clone();
        tokio::select! {
            ctx = on_its_own_thread(move || wiring::open(&config)) => ctx?,
            () = signals.stop() => return Ok(Exit::Done),
        }
    };
    ctx.store.limit_statements(STATEMENT);
    let sequencer = {
        let (config, ctx) = (config.clone(), ctx.clone());
        on_its_own_thread(move || ledger::open(&ctx, &config)).await?
    };
    note(&ctx, Action::WorkerStarted).await?;
    let access = {
        let (config, ctx) = (config.clone(), ctx.clone());
        on_its_own_thread(move || requester::access(&config, &ctx)).await?
    };
    let worker = background::start(&ctx, &config, access.as_ref(), sequencer.as_ref())?;
    out.note(&format!("working, {} jobs at once", config.jobs.at_once));
    tracing::info!(store = %config.store.url, jobs = config.jobs.at_once, "working");
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                SignalMeaning::Stop => break,
                SignalMeaning::Reload => {
                    if let Err(error) = log::renew(&config.log.level) {
                        tracing::error!(cause = %error, "the log file cannot be opened; the former one stays in use");
                    }
                }
            },
            _ = tick.tick() => {
                ctx.clock.look();
                if ctx.store.is_broken() {
                    tracing::error!("the store is broken; stopping");
                    return Ok(Exit::Failed);
                }
                if sequencer.as_ref().is_some_and(|sequencer| sequencer.is_forked()) {
                    return Ok(Exit::Integrity);
                }
            }
        }
    }
    tracing::info!("draining");
    tokio::select! {
        () = worker.drain(config.limits.drain) => {}
        () = signals.stop() => return Ok(Exit::Failed),
    }
    note(&ctx, Action::WorkerStopped).await?;
    if let Some(sequencer) = &sequencer {
        ledger::close(&ctx, &config.jobs, sequencer).await;
    }
    Ok(Exit::Done)
}
