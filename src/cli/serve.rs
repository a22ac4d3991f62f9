//! `causeway serve`: the server, from configuration to SIGTERM.

use super::admin::{AdminSocket, SOCKET};
use super::signals::{Asked, Signals};
use super::{Common, Exit, Out, load, open};
use crate::app::App;
use crate::audit::{Action, Actor, Entry, ledger};
use crate::clock::JUMP_MS;
use crate::config::Config;
use crate::context::Context;
use crate::demo::dev;
use crate::error::{Failure, Fault};
use crate::http::ops;
use crate::http::server::{self, Extra, Running};
use crate::release::close_lost;
use crate::security::tls::{ServerTls, TlsFiles};
use crate::store::{entries, guesses, idempotency, tokens};
use crate::telemetry::{Correlation, log, metrics as families};
use actix_web::web::Data;
use clap::Args;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Time between not being ready and closing the listeners, so that balancers notice.
const NOTICE: Duration = Duration::from_secs(1);
/// Time for the operations side and the store after the last answer.
const SETTLE: Duration = Duration::from_secs(5);

/// Time between sweeps of what has expired.
const SWEEP: Duration = Duration::from_secs(60);
/// Idempotency rows that one sweep drops at most.
const SWEEP_ROWS: i64 = 1_000;
/// The same of guesses, of which each failed match leaves several.
const GUESS_ROWS: i64 = 20_000;

/// Ledger entries that are indexed by subject in one write, and such writes of one sweep.
const INDEX_ROWS: i64 = 5_000;
const INDEX_STEPS: usize = 100;

/// How long the database lets one statement of a request run.
const STATEMENT: Duration = Duration::from_secs(5);
/// Time between tries of what is owed to the store.
const PAY: Duration = Duration::from_secs(3);
/// Age from which no disclosure of any process can still be running, milliseconds: longer than an answer may take.
const DISCLOSED_MS: i64 = 2 * 3_600_000;

/// Arguments of `serve`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example: causeway serve --config causeway.toml")]
pub struct ServeArgs {
    /// Make development certificates, a partner and sample members where there are none
    #[arg(long)]
    pub dev: bool,
    /// Write the log to this file instead of stderr; SIGHUP opens it anew
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<std::path::PathBuf>,
}

/// Serves until a signal; 0 after a graceful stop.
///
/// # Errors
/// Those of configuration, store and listeners.
pub fn run(args: &ServeArgs, common: &Common, out: &mut Out) -> Result<Exit, Failure> {
    run_with(args, common, None, out)
}

/// [`run`] with routes for one purpose only, such as the static answer of `causeway bench`.
///
/// # Errors
/// As [`run`].
pub fn run_with(args: &ServeArgs, common: &Common, extra: Option<Extra>, out: &mut Out) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    // A reader of stderr that stands still must not keep a server waiting.
    if let Ok(stderr) = log::stderr() {
        out.redirect_errors(Box::new(stderr));
    }
    let exit = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let started = tokio::select! {
            started = start(args, common, extra, out) => started?,
            // Nothing was served yet, and the store is safe at any moment.
            () = signals.stop() => return Ok(Exit::Done),
        };
        serve(started, common, &mut signals).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

/// A server that accepts requests.
struct Started {
    app: Data<App>,
    running: Running,
    /// Where commands reach the store that this process owns; its file goes with it.
    _admin: Option<AdminSocket>,
}

/// From the configuration to listening. What may take its time runs on a thread of its own, so that a signal can end it.
async fn start(args: &ServeArgs, common: &Common, extra: Option<Extra>, out: &mut Out) -> Result<Started, Failure> {
    let mut config = {
        let common = common.clone();
        on_its_own_thread(move || load(&common)).await?
    };
    start_log(&config, args, common, out)?;
    let ctx = {
        let config = config.clone();
        on_its_own_thread(move || open(&config)).await?
    };
    if args.dev {
        config = tokio::task::block_in_place(|| dev::prepare(&config, &ctx, out))?;
    }
    tracing::info!(store = %config.store.url, "starting");
    let tls = ServerTls::open(TlsFiles::of(&config.tls)?)?;
    let socket = config.data_folder().join(SOCKET);
    let config = Arc::new(config);
    note(&ctx, Action::ServerStarted).await?;
    let app = {
        let (ctx, config) = (ctx.clone(), Arc::clone(&config));
        Data::new(on_its_own_thread(move || App::new(ctx, config, tls)).await?)
    };
    // A file has one owner, so that nothing which began before now still runs.
    let before_ms = match ctx.store.url().sqlite_path() {
        Some(_) => ctx.clock.now_ms(),
        None => ctx.clock.now_ms() - DISCLOSED_MS,
    };
    {
        let ctx = ctx.clone();
        told_without_room(on_its_own_thread(move || close_lost(&ctx, before_ms).map(drop)).await)?;
    }
    ctx.store.limit_statements(STATEMENT);
    // On PostgreSQL commands open the store themselves; the socket is for the store that has one owner.
    let admin = match config.store.url.sqlite_path() {
        Some(_) => Some(
            AdminSocket::listen(&socket, &ctx, config.server.is_on_loopback())
                .map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?,
        ),
        None => None,
    };
    let running = server::start(app.clone(), extra)?;
    out.note(&format!(
        "FHIR        {}  (listening on {})",
        config.server.base_url, running.fhir
    ));
    out.note(&format!("operations  http://{}", running.ops));
    tracing::info!(fhir = %running.fhir, ops = %running.ops, "listening");
    ctx.clock.look();
    let behind_ms = ctx.clock.lasting_ms() - ctx.clock.now_ms();
    if behind_ms > JUMP_MS {
        // Set back while no server of this store looked, or another one is ahead.
        note_jump(&ctx, -behind_ms);
    }
    Ok(Started {
        app,
        running,
        _admin: admin,
    })
}

fn start_log(config: &Config, args: &ServeArgs, common: &Common, out: &Out) -> Result<(), Failure> {
    let plan = log::Plan {
        level: &config.log.level,
        format: &config.log.format,
        file: args.log_file.as_deref(),
        quiet: common.quiet,
        terminal: out.terminal,
        colour: crate::config::wants_colour(),
    };
    log::start(&plan).map_err(|error| Failure::new(Fault::ConfigInvalid).at("--log-file").because(error))
}

async fn on_its_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))?
}

async fn serve(started: Started, common: &Common, signals: &mut Signals) -> Result<Exit, Failure> {
    let Started { app, running, _admin } = started;
    let ctx = app.ctx.clone();
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let mut sweep = tokio::time::interval(SWEEP);
    let mut pay = tokio::time::interval(PAY);
    // Holds on to the last sweep, so that none is begun while one waits for a silent database.
    let sweeping = Arc::new(tokio::sync::Semaphore::new(1));
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => break,
                Asked::Reload => {
                    reload(&app, common);
                    running.renew_documents();
                }
            },
            _ = tick.tick() => {
                app.tls.reload_if_changed();
                if let Some(by_ms) = ctx.clock.look() {
                    note_jump(&ctx, by_ms);
                }
                if ctx.store.is_broken() {
                    tracing::error!("the store is broken; stopping");
                    return Ok(Exit::Failed);
                }
            }
            _ = sweep.tick() => {
                sweep_expired(&ctx);
                if let Err(failure) = app.oauth.refusals.close_ended(&ctx).await {
                    tracing::warn!(fault = failure.fault().code(), "counted refusals could not be recorded");
                }
                let app = app.clone();
                if let Ok(held) = Arc::clone(&sweeping).try_acquire_owned() {
                    tokio::task::spawn_blocking(move || {
                        app.measure_round_trip();
                        index_ledger(&app.ctx);
                        close_old(&app.ctx);
                        ops::settle_metrics();
                        drop(held);
                    });
                }
            }
            _ = pay.tick() => {
                if ctx.store.owes() > 0 {
                    let store = ctx.store.clone();
                    tokio::spawn(async move { store.pay().await });
                }
            }
        }
    }
    tracing::info!("draining");
    let stop = async {
        running.stop(NOTICE).await;
        settle_debts(&ctx).await;
        told_without_room(app.oauth.refusals.flush(&ctx).await)?;
        note(&ctx, Action::ServerStopped).await
    };
    tokio::select! {
        done = tokio::time::timeout(NOTICE + app.config.limits.drain + SETTLE, stop) => match done {
            Ok(noted) => {
                noted?;
                let store = ctx.store.clone();
                let _ = tokio::task::spawn_blocking(move || store.settle()).await;
                Ok(Exit::Done)
            }
            Err(_) => Ok(Exit::Failed),
        },
        () = signals.stop() => Ok(Exit::Failed),
    }
}

/// What SIGHUP asks for: files are read again, whether they look changed or not. What cannot be used is logged, and the old stays.
fn reload(app: &App, common: &Common) {
    app.tls.reload();
    app.oauth.keyring.forget();
    match load(common) {
        Ok(config) => {
            if let Err(error) = log::renew(&config.log.level) {
                tracing::error!(cause = %error, "the log file cannot be opened; the former one stays in use");
            }
        }
        Err(failure) => tracing::error!(
            fault = failure.fault().code(),
            at = ?failure.expressions(),
            "the configuration cannot be read; the log stays as it was"
        ),
    }
    tracing::info!("SIGHUP: certificates, revocation lists, key sets and the log were renewed");
}

/// Drops a bounded number of rows whose time is over: assertions seen, tokens, idempotency keys, guesses.
fn sweep_expired(ctx: &Context) {
    let (now_ms, lasting_ms, surely_ms) = (ctx.clock.now_ms(), ctx.clock.lasting_ms(), ctx.clock.surely_ms());
    ctx.store.write_later(move |db| {
        tokens::prune(db, lasting_ms, surely_ms)?;
        idempotency::sweep(db, now_ms, SWEEP_ROWS)?;
        guesses::sweep(db, now_ms, GUESS_ROWS)?;
        Ok(())
    });
}

/// Indexes the ledger by subject as far as it is old enough. Waits on this thread.
fn index_ledger(ctx: &Context) {
    let now_us = ctx.clock.now_us();
    for _ in 0..INDEX_STEPS {
        match ctx
            .store
            .write_blocking(move |db| entries::index(db, now_us, INDEX_ROWS))
        {
            Ok(INDEX_ROWS) => {}
            Ok(_) => return,
            Err(failure) => {
                tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "the ledger could not be indexed");
                return;
            }
        }
    }
}

/// Writes the ends of disclosures that no process lived to write. Waits on this thread.
fn close_old(ctx: &Context) {
    if let Err(failure) = close_lost(ctx, ctx.clock.now_ms() - DISCLOSED_MS) {
        tracing::warn!(fault = failure.fault().code(), cause = ?failure.cause(), "lost ends could not be looked for");
    }
}

/// Waits a little until all that is owed to the store is written.
async fn settle_debts(ctx: &Context) {
    let until = tokio::time::Instant::now() + PAY;
    while ctx.store.owes() > 0 && tokio::time::Instant::now() < until {
        ctx.store.pay().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn note(ctx: &Context, action: Action) -> Result<(), Failure> {
    note_with(ctx, action, BTreeMap::new()).await
}

/// Tells that the wall clock was set by `by_ms`: in the log, in the metrics, and in the ledger when that can be.
fn note_jump(ctx: &Context, by_ms: i64) {
    let (direction, what) = match by_ms > 0 {
        true => ("forward", "forward_ms"),
        false => ("back", "back_ms"),
    };
    metrics::counter!(families::CLOCK_JUMPS, "direction" => direction).increment(1);
    tracing::warn!(
        direction,
        by_ms,
        "the wall clock was set; nothing that was issued lives longer for it"
    );
    let (ctx, counts) = (ctx.clone(), BTreeMap::from([(what.to_owned(), by_ms.unsigned_abs())]));
    tokio::spawn(async move {
        if let Err(failure) = note_with(&ctx, Action::ClockJumped, counts).await {
            tracing::warn!(
                fault = failure.fault().code(),
                "a jump of the clock could not be recorded"
            );
        }
    });
}

async fn note_with(ctx: &Context, action: Action, counts: BTreeMap<String, u64>) -> Result<(), Failure> {
    let now_us = ctx.clock.now_us();
    let id = ctx.ids.new_id(now_us / 1000);
    let mut entry = Entry::new(
        action,
        Actor {
            kind: "system",
            ..Actor::default()
        },
        Correlation::internal(id.clone()),
    );
    entry.counts = counts;
    let written = ctx.store.reserved();
    let written = written.write(move |db| ledger::append(db, &entry, &id, now_us)).await;
    told_without_room(written)
}

/// A full disk keeps a server neither from starting nor from stopping.
fn told_without_room(written: Result<(), Failure>) -> Result<(), Failure> {
    match written {
        Err(failure) if failure.fault() == Fault::NoRoom => {
            tracing::error!(
                fault = failure.fault().code(),
                "the ledger could not be written: the disk is full"
            );
            Ok(())
        }
        written => written,
    }
}
