//! The two listeners: partners' side over TLS, operations side on its own address. Start, stop, and nothing between.

use super::documents::Documents;
use super::edge::{self, Edge};
use super::limits::Limits;
use super::{observe, ops, path, represent, routes};
use crate::app::App;
use crate::error::{Failure, Fault};
use actix_server::{ServerBuilder, ServerHandle};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{App as ActixApp, HttpServer, middleware};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Adds routes for one purpose only, such as the static answer that a benchmark compares with.
pub type Extra = fn(&mut ServiceConfig);

/// A running server.
pub struct Running {
    /// Where the partners' side listens.
    pub fhir: SocketAddr,
    /// Where the operations side listens.
    pub ops: SocketAddr,
    app: Data<App>,
    documents: Data<Documents>,
    handles: [ServerHandle; 2],
    tasks: [JoinHandle<std::io::Result<()>>; 2],
}

/// Starts both listeners and returns when they accept.
///
/// # Errors
/// [`Fault::ConfigInvalid`] when an address cannot be listened on.
pub fn start(app: Data<App>, extra: Option<Extra>) -> Result<Running, Failure> {
    let server = &app.config.server;
    let limits = &app.config.limits;
    if !server.ops_listen.ip().is_loopback() {
        return Err(Failure::new(Fault::ConfigInvalid)
            .at("server.ops_listen")
            .remedy("The operations side has no TLS of its own: keep it on loopback, behind a proxy of yours."));
    }
    ops::install_metrics();
    let in_flight = Data::new(Limits::new(limits.in_flight, limits.in_flight_per_partner));
    let documents = Data::new(Documents::new(&app));
    let (data, flight, public) = (app.clone(), in_flight, documents.clone());
    let partners_side = move || {
        let server = ActixApp::new()
            .app_data(data.clone())
            .app_data(flight.clone())
            .app_data(public.clone())
            .app_data(web::PayloadConfig::new(64 * 1024 * 1024))
            .wrap(middleware::from_fn(observe::observe))
            .wrap(middleware::from_fn(represent::represent));
        #[cfg(debug_assertions)]
        let server = server.wrap(middleware::from_fn(super::defects::spoil));
        server
            .wrap(middleware::from_fn(edge::ring))
            // Outermost: all that follows sees the normal path.
            .wrap(middleware::from_fn(path::normalize))
            .configure(routes::configure)
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
        // The edge counts, for all workers together, and closes what is beyond.
        .max_concurrent_connections(usize::MAX / 2)
        .shutdown_timeout(limits.drain.as_secs())
        .disable_signals();
    let (fhir_server, fhir) = edge::listen(builder, &app, &Edge::new(*limits), partners_side)?;

    let data = app.clone();
    let operations_side = move || {
        ActixApp::new()
            .app_data(data.clone())
            .wrap(middleware::from_fn(ops::outcomes))
            .configure(ops::configure)
    };
    let ops_server = HttpServer::new(operations_side)
        .workers(1)
        .disable_signals()
        .shutdown_timeout(2)
        .bind(server.ops_listen)
        .map_err(|error| cannot_listen("server.ops_listen", error))?;
    let ops = ops_server.addrs().first().copied().unwrap_or(server.ops_listen);

    let (fhir_server, ops_server) = (fhir_server.run(), ops_server.run());
    let handles = [fhir_server.handle(), ops_server.handle()];
    let tasks = [tokio::spawn(fhir_server), tokio::spawn(ops_server)];
    Ok(Running {
        fhir,
        ops,
        app,
        documents,
        handles,
        tasks,
    })
}

impl Running {
    /// Makes the public documents anew, after what they tell of may have changed.
    pub fn renew_documents(&self) {
        self.documents.renew(&self.app);
    }

    /// Not ready at once; `notice` for balancers to see it; then no new connections, running requests end, the store settles.
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
        let _ = tokio::task::spawn_blocking(move || store.settle()).await;
    }
}

fn cannot_listen(key: &str, error: std::io::Error) -> Failure {
    Failure::new(Fault::ConfigInvalid)
        .at(key)
        .remedy("Choose a free address of this machine.")
        .because(error)
}
