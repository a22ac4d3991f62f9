//! Starts and stops the two listeners: the partners' listener with TLS, and the operations listener on its own address, which speaks plain HTTP on
//! loopback only.

use super::documents::Documents;
use super::edge::{self, Edge};
use super::explorer::Explorer;
use super::limits::RequestLimits;
use super::{observe, ops, path, register, represent};
use crate::config::ServerConfig;
use crate::error::{Failure, Fault};
use crate::http::state::App;
use crate::security::ServerTls;
use crate::store;
use actix_server::{Server, ServerBuilder, ServerHandle};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App as ActixApp, HttpServer, middleware};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Adds routes for a special purpose, such as the static answer that a benchmark compares with.
pub type Extra = fn(&mut ServiceConfig);

/// A running server.
pub struct RunningServer {
    /// The address of the partners' listener.
    pub fhir: SocketAddr,
    /// The address of the operations listener.
    pub ops: SocketAddr,
    app: Data<App>,
    documents: Data<Documents>,
    ops_tls: Option<ServerTls>,
    handles: [ServerHandle; 2],
    tasks: [JoinHandle<std::io::Result<()>>; 2],
}

/// Starts both listeners and returns when they accept connections.
///
/// # Errors
/// [`Fault::ConfigInvalid`] when an address cannot be listened on, and for an operations side beyond this machine without TLS or without a name.
pub fn start(app: Data<App>, extra: Option<Extra>) -> Result<RunningServer, Failure> {
    let limits = &app.config.limits;
    let ops_tls = tls_of_operations(&app.config.server)?;
    ops::install_metrics();
    let in_flight = Data::new(RequestLimits::new(
        limits.in_flight,
        limits.in_flight_per_partner,
        limits.partner_request_rate,
    ));
    let documents = Data::new(Documents::new(&app));
    let (data, flight, public) = (app.clone(), in_flight, documents.clone());
    let explorer = Data::new(Explorer::default());
    let partners_side = move || {
        let server = ActixApp::new()
            .app_data(data.clone())
            .app_data(flight.clone())
            .app_data(public.clone())
            .app_data(explorer.clone())
            .app_data(web::PayloadConfig::new(64 * 1024 * 1024))
            .wrap(middleware::from_fn(observe::observe))
            .wrap(middleware::from_fn(represent::represent));
        #[cfg(debug_assertions)]
        let server = server.wrap(middleware::from_fn(super::defects::spoil));
        server
            .wrap(middleware::from_fn(edge::ring))
            // Outermost, so that all other middleware sees the normalized path.
            .wrap(middleware::from_fn(path::normalize))
            .configure(register::configure)
            .configure(|service| {
                if let Some(extra) = extra {
                    extra(service);
                }
            })
            .default_service(web::to(observe::route_unknown))
    };
    let workers = available_parallelism().map_or(2, NonZeroUsize::get);
    let builder = ServerBuilder::new()
        .workers(workers)
        .worker_max_blocking_threads(blocking_threads(app.config.store.connections))
        // The edge counts the connections of all workers together, and closes those beyond the limit.
        .max_concurrent_connections(usize::MAX / 2)
        .shutdown_timeout(limits.drain.as_secs())
        .disable_signals();
    let (fhir_server, fhir) = edge::listen(builder, &app, &Edge::new(*limits), partners_side)?;

    let (ops_server, ops) = operations(&app, ops_tls.as_ref())?;
    let fhir_server = fhir_server.run();
    let handles = [fhir_server.handle(), ops_server.handle()];
    let tasks = [tokio::spawn(fhir_server), tokio::spawn(ops_server)];
    Ok(RunningServer {
        fhir,
        ops,
        app,
        documents,
        ops_tls,
        handles,
        tasks,
    })
}

/// The TLS of the operations side, if it has one. Beyond this machine it must, and people must know its name.
fn tls_of_operations(server: &ServerConfig) -> Result<Option<ServerTls>, Failure> {
    let refused = |key: &str, remedy: &str| Err(Failure::new(Fault::ConfigInvalid).at(key).remedy(remedy));
    let is_here = server.ops_listen.ip().is_loopback();
    match &server.ops_tls {
        None if !is_here => refused(
            "server.ops_listen",
            "Set server.ops_certificate and server.ops_key, or keep the operations side on loopback, behind a proxy of yours.",
        ),
        Some(_) if !is_here && server.ops_base_url.is_none() => refused(
            "server.ops_base_url",
            "Set server.ops_base_url to the https:// address under which people reach the operations side.",
        ),
        None => Ok(None),
        Some((certificate, key)) => ServerTls::of_operations(certificate, key).map(Some),
    }
}

/// Starts the operations side, and returns its address.
fn operations(app: &Data<App>, tls: Option<&ServerTls>) -> Result<(Server, SocketAddr), Failure> {
    let (data, at) = (app.clone(), app.config.server.ops_listen);
    let operations_side = move || {
        ActixApp::new()
            .app_data(data.clone())
            .wrap(middleware::from_fn(ops::observe))
            .configure(ops::configure)
            .configure(ops::console::configure)
    };
    if let Some(tls) = tls {
        let builder = ServerBuilder::new()
            .workers(1)
            .max_concurrent_connections(OPS_CONNECTIONS)
            .disable_signals()
            .shutdown_timeout(2);
        let (builder, bound) = ops::listen(builder, (at, tls), (OPS_HEAD, OPS_KEEP_ALIVE), operations_side)?;
        return Ok((builder.run(), bound));
    }
    let server = HttpServer::new(operations_side)
        .workers(1)
        .max_connections(OPS_CONNECTIONS)
        .client_request_timeout(OPS_HEAD)
        .keep_alive(OPS_KEEP_ALIVE)
        .disable_signals()
        .shutdown_timeout(2)
        .bind(at)
        .map_err(|error| cannot_listen("server.ops_listen", error))?;
    let bound = server.addrs().first().copied().unwrap_or(at);
    Ok((server.run(), bound))
}

impl RunningServer {
    /// Makes the public documents again. Called when something they describe may have changed.
    pub fn renew_documents(&self) {
        self.documents.renew(&self.app);
    }

    /// Reads the certificate of the operations side again if it changed, or in any case where `always` is set.
    pub fn renew_tls(&self, always: bool) {
        match &self.ops_tls {
            Some(tls) if always => tls.reload(),
            Some(tls) => {
                tls.reload_if_changed();
            }
            None => {}
        }
    }

    /// Stops the server: reports "not ready" at once, waits `notice` so that balancers notice, then accepts no new connections, lets
    /// running requests end, and completes the pending writes of the store.
    pub async fn stop(self, notice: Duration) {
        self.app.drain();
        tokio::time::sleep(notice).await;
        let [fhir, ops] = &self.handles;
        fhir.stop(true).await;
        ops.stop(true).await;
        for task in self.tasks {
            let _ = task.await;
        }
        let store = self.app.ctx.store.clone();
        store.flush().await;
        let _ = tokio::task::spawn_blocking(move || store.settle()).await;
    }
}

/// Most connections of the operations listener. Further ones wait until one of them ends: all users of the machine can connect, and the files
/// of the process are for its partners and its store.
const OPS_CONNECTIONS: usize = 128;
/// Time for the head of a request to the operations listener.
const OPS_HEAD: Duration = Duration::from_secs(5);
/// How long the operations listener keeps an idle connection. It is short, because idle connections keep others waiting.
const OPS_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Blocking threads in addition to those of the store, for sweeps and other work in the background.
const SPARE_THREADS: usize = 64;

/// Blocking threads of each worker: one for each connection to the store, those that may hang on a database that does not answer, and
/// [`SPARE_THREADS`]. Each thread keeps memory for itself, so there are no more.
fn blocking_threads(connections: u32) -> usize {
    connections as usize + store::HANGING_MOST + SPARE_THREADS
}

fn cannot_listen(key: &str, error: std::io::Error) -> Failure {
    Failure::new(Fault::ConfigInvalid)
        .at(key)
        .remedy("Choose a free address of this machine.")
        .because(error)
}
