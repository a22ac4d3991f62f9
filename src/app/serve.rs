//! The running server process, from its start to the signal that stops it, with its timers.

use super::alerts::AlertSender;
use super::notes::{note, note_jump, told_without_room};
use super::service::ServerService;
use super::signals::{SignalMeaning, Signals};
use super::start::{Started, start};
use super::sweeps::{self, SWEEP};
use super::{ledger, runtime, wiring};
use crate::audit::Action;
use crate::context::Context;
use crate::error::Failure;
use crate::http::ops;
use crate::http::state::App;
use crate::ops::alerts;
use crate::telemetry::log;
use crate::terminal::{Exit, Out};
use actix_web::web::Data;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;

/// Time between reporting "not ready" and closing the listeners, so that balancers notice.
const NOTICE: Duration = Duration::from_secs(1);
/// Time limit for the operations listener and the store after the last answer.
const SETTLE: Duration = Duration::from_secs(5);
/// Time between two checks of files, clock and store.
const LOOK: Duration = Duration::from_millis(500);
/// Time between two looks at the checkpoint that partners get.
const CHECKPOINT: Duration = Duration::from_secs(2);
/// Time between two attempts at writes that the store has not taken yet.
const PAY: Duration = Duration::from_secs(3);

/// Serves until a signal comes; returns [`Exit::Done`] after a graceful stop.
///
/// # Errors
/// Those of configuration, store and listeners.
pub fn run(service: &ServerService, out: &mut Out) -> Result<Exit, Failure> {
    let runtime = runtime::start(out)?;
    let exit = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let started = tokio::select! {
            started = start(service, out) => started?,
            // Nothing was served yet, and the store can be left at any moment.
            () = signals.stop() => return Ok(Exit::Done),
        };
        match keep_up(&started, service, &mut signals).await {
            Exit::Done => stop(started, &mut signals).await,
            broken => Ok(broken),
        }
    });
    runtime::end(runtime);
    exit
}

/// Serves until a signal asks it to stop ([`Exit::Done`]), or until the store is broken.
async fn keep_up(started: &Started, service: &ServerService, signals: &mut Signals) -> Exit {
    let Started { app, running, .. } = started;
    let ctx = &app.ctx;
    let mut look = tokio::time::interval(LOOK);
    let mut sweep = tokio::time::interval(SWEEP);
    let mut pay = tokio::time::interval(PAY);
    let mut checkpoint = tokio::time::interval(CHECKPOINT);
    checkpoint.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let renewing = Arc::new(Semaphore::new(1));
    // Held during a sweep, so that no second one starts while the first waits for a database that does not answer.
    let sweeping = Arc::new(Semaphore::new(1));
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                SignalMeaning::Stop => return Exit::Done,
                SignalMeaning::Reload => {
                    reload(app, service);
                    running.renew_tls(true);
                    running.renew_documents();
                }
            },
            _ = look.tick() => {
                app.tls.reload_if_changed();
                running.renew_tls(false);
                if let Some(by_ms) = ctx.clock.look() {
                    note_jump(ctx, by_ms);
                }
                if ctx.store.is_broken() {
                    tracing::error!("the store is broken; stopping");
                    return Exit::Failed;
                }
                if started.sequencer.as_ref().is_some_and(|sequencer| sequencer.is_forked()) {
                    return Exit::Integrity;
                }
            }
            _ = sweep.tick() => sweep_once(started, &sweeping),
            _ = checkpoint.tick() => renew_checkpoint(app, &renewing),
            _ = pay.tick() => {
                if ctx.store.owes() > 0 {
                    let store = ctx.store.clone();
                    tokio::spawn(async move { store.pay().await });
                }
            }
        }
    }
}

/// Reads the checkpoint that partners get, unless the last look still waits for the store.
fn renew_checkpoint(app: &Data<App>, renewing: &Arc<Semaphore>) {
    if let Ok(held) = Arc::clone(renewing).try_acquire_owned() {
        let app = app.clone();
        tokio::task::spawn_blocking(move || {
            app.checkpoint.renew(&app.ctx);
            drop(held);
        });
    }
}

/// Begins one sweep, if the previous one has ended. It waits for the store, which signals, revocation lists and the clock must not wait for.
/// The first one, at the start, ends what the process before left open.
fn sweep_once(started: &Started, sweeping: &Arc<Semaphore>) {
    let Ok(held) = Arc::clone(sweeping).try_acquire_owned() else {
        return;
    };
    let (app, listening_ms) = (started.app.clone(), started.listening_ms);
    let keeper = started.alerts.as_ref().map(AlertSender::keeper);
    tokio::spawn(async move {
        if let Err(failure) = app.oauth.refusals.close_ended(&app.ctx).await {
            tracing::warn!(fault = failure.fault().code(), "counted refusals could not be recorded");
        }
        tokio::task::spawn_blocking(move || {
            app.measure_round_trip();
            sweeps::close_old(&app.ctx, listening_ms);
            if let (Some(items), Some(keeper)) = (alerts::tell(&app.ctx, listening_ms), keeper) {
                keeper.keep(&app.ctx, &items, listening_ms);
            }
            ops::settle_metrics();
            drop(held);
        });
    });
}

/// Stops the server: reports "not ready", then accepts no new connections, then lets running work end. A second signal stops it at once.
async fn stop(started: Started, signals: &mut Signals) -> Result<Exit, Failure> {
    let Started {
        app,
        running,
        worker,
        alerts,
        sequencer,
        admin,
        ..
    } = started;
    let ctx = app.ctx.clone();
    tracing::info!("draining");
    let within = app.config.limits.drain;
    let stop = async {
        let work = async {
            if let Some(worker) = worker {
                worker.drain(within).await;
            }
        };
        let telling = async {
            if let Some(alerts) = alerts {
                alerts.drain(within).await;
            }
        };
        tokio::join!(running.stop(NOTICE), work, telling);
        settle_debts(&ctx).await;
        told_without_room(app.oauth.refusals.flush(&ctx).await)?;
        note(&ctx, Action::ServerStopped).await?;
        if let Some(sequencer) = &sequencer {
            ledger::close(&ctx, &app.config.jobs, sequencer).await;
        }
        Ok::<_, Failure>(())
    };
    let exit = tokio::select! {
        done = tokio::time::timeout(NOTICE + app.config.limits.drain + SETTLE, stop) => match done {
            Ok(noted) => {
                noted?;
                let store = ctx.store.clone();
                let _ = tokio::task::spawn_blocking(move || store.settle()).await;
                Exit::Done
            }
            Err(_) => Exit::Failed,
        },
        () = signals.stop() => Exit::Failed,
    };
    drop(admin);
    Ok(exit)
}

/// Handles SIGHUP: reads the files again, whether they changed or not. A file that cannot be used is logged, and the old contents stay in
/// force.
fn reload(app: &App, service: &ServerService) {
    app.tls.reload();
    app.oauth.keyring.forget();
    match wiring::load(service.config.as_deref()) {
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

/// Waits a short time for the writes that the store has not taken yet.
async fn settle_debts(ctx: &Context) {
    let until = tokio::time::Instant::now() + PAY;
    while ctx.store.owes() > 0 && tokio::time::Instant::now() < until {
        ctx.store.pay().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
