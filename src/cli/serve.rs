//! `causeway serve`: the server, from configuration to SIGTERM.

use super::admin::{AdminSocket, SOCKET};
use super::{Common, Exit, Out, load, open};
use crate::app::App;
use crate::audit::{Action, Actor, Entry, ledger};
use crate::config::Config;
use crate::context::Context;
use crate::demo::dev;
use crate::error::{Failure, Fault};
use crate::http::server::{self, Extra};
use crate::security::tls::{ServerTls, TlsFiles};
use crate::store::{entries, guesses, idempotency, tokens};
use crate::telemetry::{Correlation, log};
use actix_web::web::Data;
use clap::Args;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

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

/// Arguments of `serve`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example: causeway serve --config causeway.toml")]
pub struct ServeArgs {
    /// Make development certificates, a partner and sample members where there are none
    #[arg(long)]
    pub dev: bool,
    /// Write the log to this file instead of stderr
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
    let mut config = load(common)?;
    log::start(&config.log.level, config.log.format == "json", args.log_file.as_deref());
    let ctx = open(&config)?;
    if args.dev {
        config = dev::prepare(&config, &ctx, out)?;
    }
    tracing::info!(store = %config.store.url, "starting");
    let tls = ServerTls::open(TlsFiles::of(&config.tls)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let socket = config.data_folder().join(SOCKET);
    let config = Arc::new(config);
    let exit = runtime.block_on(serve(ctx, config, tls, &socket, extra, out));
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

async fn serve(
    ctx: Context,
    config: Arc<Config>,
    tls: ServerTls,
    socket: &std::path::Path,
    extra: Option<Extra>,
    out: &mut Out,
) -> Result<Exit, Failure> {
    note(&ctx, Action::ServerStarted).await?;
    let wiring = {
        let (ctx, config) = (ctx.clone(), Arc::clone(&config));
        tokio::task::spawn_blocking(move || App::new(ctx, config, tls))
    };
    let app = Data::new(
        wiring
            .await
            .map_err(|error| Failure::new(Fault::Internal).because(error))??,
    );
    // On PostgreSQL commands open the store themselves; the socket is for the store that has one owner.
    let _admin = match config.store.url.sqlite_path() {
        Some(_) => Some(
            AdminSocket::listen(socket, &ctx).map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?,
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

    let unusable = |error: std::io::Error| Failure::new(Fault::Internal).because(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(unusable)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(unusable)?;
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = tick.tick() => {
                app.tls.reload_if_changed();
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
                tokio::task::spawn_blocking(move || {
                    app.measure_round_trip();
                    index_ledger(&app.ctx);
                });
            }
        }
    }
    tracing::info!("draining");
    let stop = async {
        running.stop(NOTICE).await;
        app.oauth.refusals.flush(&ctx).await?;
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
        _ = terminate.recv() => Ok(Exit::Failed),
        _ = interrupt.recv() => Ok(Exit::Failed),
    }
}

/// Drops a bounded number of rows whose time is over: assertions seen, tokens, idempotency keys, guesses.
fn sweep_expired(ctx: &Context) {
    let now_ms = ctx.clock.now_ms();
    ctx.store.write_later(move |db| {
        tokens::prune(db, now_ms)?;
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

async fn note(ctx: &Context, action: Action) -> Result<(), Failure> {
    let now_us = ctx.clock.now_us();
    let id = ctx.ids.new_id(now_us / 1000);
    let entry = Entry::new(
        action,
        Actor {
            kind: "system",
            ..Actor::default()
        },
        Correlation::internal(id.clone()),
    );
    ctx.store.write(move |db| ledger::append(db, &entry, &id, now_us)).await
}
