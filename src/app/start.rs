//! Starts a server from its configuration. Slow steps run on a thread of their own, so that a signal can interrupt the start.

use super::admin::{AdminSocket, RunCommand, SOCKET, SocketSite};
use super::alerts::AlertSender;
use super::descriptors;
use super::notes::{note, note_jump};
use super::service::ServerService;
use super::traces::{self, TraceExporter};
use super::wiring;
use super::{background, ledger, requester};
use crate::alerting::receivers::ReceiverList;
use crate::audit::Action;
use crate::audit::sequencer::Sequencer;
use crate::clock::JUMP_MS;
use crate::config::{Config, wants_colour};
use crate::context::Context;
use crate::dev;
use crate::error::{Failure, Fault};
use crate::http::server::{self, Extra, RunningServer};
use crate::http::state::App;
use crate::jobs::RunningWorker as Worker;
use crate::security::tls::{ServerTls, TlsFiles};
use crate::telemetry::log;
use crate::terminal::Out;
use actix_web::web::Data;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest time that the database lets one statement of a request run.
const STATEMENT: Duration = Duration::from_secs(5);

/// A server that accepts requests.
pub struct Started {
    /// The state that its handlers share.
    pub app: Data<App>,
    /// Its listeners.
    pub running: RunningServer,
    /// When it began to listen, UTC milliseconds.
    pub listening_ms: i64,
    /// Its background work, unless that is left to other processes.
    pub worker: Option<Worker>,
    /// What tells receivers of alerts, if there are any.
    pub alerts: Option<AlertSender>,
    /// What signs the ledger, unless that is left to other processes.
    pub sequencer: Option<Arc<Sequencer>>,
    /// The admin socket, if this process owns the store; its file is removed with it.
    pub admin: Option<AdminSocket>,
}

/// Starts the server that `service` describes.
///
/// # Errors
/// Those of configuration, store and listeners.
pub(super) async fn start(service: &ServerService, out: &mut Out) -> Result<Started, Failure> {
    let mut config = {
        let file = service.config.clone();
        on_its_own_thread(move || wiring::load(file.as_deref())).await?
    };
    start_log(&config, service.log_file.as_deref(), service.quiet, out)?;
    if let Some(told) = descriptors::prepare(&mut config)? {
        out.note(&told);
        tracing::warn!(cause = told, "fewer connections are taken");
    }
    if service.no_worker && config.store.url.sqlite_path().is_some() {
        let remedy =
            "Leave --no-worker out: a SQLite store has one process, and nobody else could do its background work.";
        return Err(Failure::new(Fault::ConfigInvalid).at("--no-worker").remedy(remedy));
    }
    let ctx = {
        let config = config.clone();
        on_its_own_thread(move || wiring::open(&config)).await?
    };
    if service.dev {
        config = tokio::task::block_in_place(|| {
            let prepared = dev::prepare(&config, &ctx, out)?;
            dev::by_hand::leave_and_say(&config, &ctx, out)?;
            Ok::<_, Failure>(prepared)
        })?;
    }
    tracing::info!(store = %config.store.url, "starting");
    if cfg!(debug_assertions) && !service.dev {
        tracing::warn!("this build is for trying and for tests; `cargo build --release` makes the one to install");
    }
    let tls = ServerTls::open(TlsFiles::of(&config.tls)?)?;
    let receivers = {
        let file = config.alerts.receivers.clone();
        on_its_own_thread(move || ReceiverList::read(file.as_deref())).await?
    };
    let sequencer = {
        let (config, ctx) = (config.clone(), ctx.clone());
        let (no_worker, without_tree) = (service.no_worker, service.without_tree);
        on_its_own_thread(move || match no_worker {
            _ if without_tree => Ok(None),
            true => ledger::demand(&ctx, &config).map(|()| None),
            false => ledger::open(&ctx, &config),
        })
        .await?
    };
    note(&ctx, Action::ServerStarted).await?;
    let app = share(&ctx, config, tls).await?;
    if service.dev && app.config.server.is_on_loopback() {
        app.let_act_as(dev::acting(&dev::files(&app.config))?);
    }
    ctx.store.limit_statements(STATEMENT);
    let mut started = listen(app, service.commands, service.extra)?;
    started.alerts = AlertSender::start(&ctx, &started.app.config, receivers)?;
    if !service.no_worker {
        let access = {
            let (config, ctx) = (Arc::clone(&started.app.config), ctx.clone());
            on_its_own_thread(move || requester::access(&config, &ctx)).await?
        };
        let config = &started.app.config;
        started.worker = Some(background::start(&ctx, config, access.as_ref(), sequencer.as_ref())?);
        started.sequencer = sequencer;
    }
    let (base_url, running) = (&started.app.config.server.base_url, &started.running);
    out.note(&format!("FHIR        {base_url}  (listening on {})", running.fhir));
    let scheme = if started.app.config.server.ops_tls.is_some() {
        "https"
    } else {
        "http"
    };
    out.note(&format!("operations  {scheme}://{}", running.ops));
    tracing::info!(fhir = %running.fhir, ops = %running.ops, "listening");
    ctx.clock.look();
    let behind_ms = ctx.clock.lasting_ms() - ctx.clock.now_ms();
    if behind_ms > JUMP_MS {
        // The clock was set back while no server of this store was running, or another server's clock is ahead.
        note_jump(&ctx, -behind_ms);
    }
    Ok(started)
}

/// Builds the state that the handlers share, over an open context.
///
/// # Errors
/// Those of the store.
pub async fn share(ctx: &Context, config: Config, tls: ServerTls) -> Result<Data<App>, Failure> {
    let ctx = ctx.clone();
    let app = on_its_own_thread(move || App::new(ctx, Arc::new(config), tls)).await?;
    Ok(Data::new(app))
}

/// Opens the admin socket, if the store has one owner, and then the listeners. Starts no background work. Must be called inside a Tokio
/// runtime.
///
/// # Errors
/// Those of the listeners and of the socket's file.
pub fn listen(app: Data<App>, commands: RunCommand, extra: Option<Extra>) -> Result<Started, Failure> {
    // With PostgreSQL, commands open the store themselves.
    let admin = match app.config.store.url.sqlite_path() {
        Some(_) => Some(
            AdminSocket::listen(
                &app.config.data_folder().join(SOCKET),
                &app.ctx,
                SocketSite {
                    on_loopback: app.config.server.is_on_loopback(),
                    console: app.config.server.ops_origin(),
                    files: app.bulk.clone(),
                },
                commands,
            )
            .map_err(|error| Failure::new(Fault::InputUnreadable).because(error))?,
        ),
        None => None,
    };
    let listening_ms = app.ctx.clock.now_ms();
    let running = server::start(app.clone(), extra)?;
    Ok(Started {
        app,
        running,
        listening_ms,
        worker: None,
        alerts: None,
        sequencer: None,
        admin,
    })
}

/// Starts the log of a long-running process, in `file` or on stderr, and what sends its traces, if they have a collector.
///
/// # Errors
/// [`Fault::ConfigInvalid`] for a file that cannot be opened, and for a collector that may not be called.
pub(super) fn start_log(config: &Config, file: Option<&Path>, quiet: bool, out: &Out) -> Result<(), Failure> {
    let exporter = traces::exporter(config)?;
    let plan = log::LogPlan {
        level: &config.log.level,
        format: &config.log.format,
        file,
        quiet,
        terminal: out.terminal,
        colour: wants_colour(),
        spans: exporter.as_ref().map(|exporter| &exporter.layer),
    };
    log::start(&plan).map_err(|error| Failure::new(Fault::ConfigInvalid).at("--log-file").because(error))?;
    exporter.map_or(Ok(()), TraceExporter::run)
}

/// Runs `work` on a thread where it may block.
///
/// # Errors
/// Those of `work`.
pub(super) async fn on_its_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(Fault::Internal).because(error))?
}
