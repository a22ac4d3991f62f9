//! The operations listener with TLS: opens an accepted connection and hands it to HTTP.
//!
//! It asks for no client certificate, and knows neither routes nor operators. The partners' listener has an edge of its own.

use crate::error::{Failure, Fault};
use crate::security::ServerTls;
use actix_http::body::MessageBody;
use actix_http::{HttpService, Request, Response};
use actix_server::{GracefulShutdownSignal, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, map_config};
use actix_web::dev::AppConfig;
use futures_util::future::LocalBoxFuture;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Time limit for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Time in which the peer of a closing connection must take the last bytes.
const DISCONNECT_TIME: Duration = Duration::from_secs(2);

type OpsStream = TlsStream<TcpStream>;

/// Adds the operations listener to `builder`, with the times for a head and for an idle connection, and returns its address.
///
/// # Errors
/// [`Fault::ConfigInvalid`] when the address cannot be listened on.
pub fn listen<F, I, S, B>(
    builder: ServerBuilder,
    (address, tls): (SocketAddr, &ServerTls),
    (head, keep_alive): (Duration, Duration),
    make: F,
) -> Result<(ServerBuilder, SocketAddr), Failure>
where
    F: Fn() -> I + Clone + Send + 'static,
    I: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error>,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let cannot = |error: std::io::Error| {
        Failure::new(Fault::ConfigInvalid)
            .at("server.ops_listen")
            .remedy("Choose a free address of this machine.")
            .because(error)
    };
    let listener = TcpListener::bind(address).map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    let acceptor = TlsAcceptor::from(Arc::new(tls.config()?));
    let stopping = builder.graceful_shutdown_signal();
    let factory = move || OpsFront {
        http: http((head, keep_alive), stopping.clone(), make()),
        acceptor: acceptor.clone(),
    };
    Ok((builder.listen("operations", listener, factory).map_err(cannot)?, bound))
}

/// The HTTP/1.1 service for connections that are set up.
fn http<I, S, B>(
    (head, keep_alive): (Duration, Duration),
    stopping: GracefulShutdownSignal,
    app: I,
) -> impl ServiceFactory<
    (OpsStream, Option<SocketAddr>),
    Config = (),
    Response = (),
    InitError = (),
    Service = impl Service<(OpsStream, Option<SocketAddr>), Response = ()> + 'static,
> + 'static
where
    I: IntoServiceFactory<S, Request> + 'static,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error>,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let app = app.into_factory().map_err(|error| error.into().error_response());
    HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .keep_alive(keep_alive)
        .client_request_timeout(head)
        .client_disconnect_timeout(DISCONNECT_TIME)
        .secure()
        // It tells the library which kind of stream this is.
        .on_connect_ext(|_: &OpsStream, _| ())
        .h1(map_config(app, |()| AppConfig::default()))
}

/// Makes an [`OpsFrontService`] for each worker.
struct OpsFront<F> {
    http: F,
    acceptor: TlsAcceptor,
}

impl<F> ServiceFactory<TcpStream> for OpsFront<F>
where
    F: ServiceFactory<(OpsStream, Option<SocketAddr>), Config = (), Response = (), InitError = ()>,
    F::Service: 'static,
    F::Future: 'static,
{
    type Response = ();
    type Error = ();
    type Config = ();
    type Service = OpsFrontService<F::Service>;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Self::Service, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (http, acceptor) = (self.http.new_service(()), self.acceptor.clone());
        Box::pin(async move {
            Ok(OpsFrontService {
                http: Rc::new(http.await?),
                acceptor,
            })
        })
    }
}

/// Serves the connections of one worker.
struct OpsFrontService<S> {
    http: Rc<S>,
    acceptor: TlsAcceptor,
}

impl<S> Service<TcpStream> for OpsFrontService<S>
where
    S: Service<(OpsStream, Option<SocketAddr>), Response = ()> + 'static,
{
    type Response = ();
    type Error = ();
    type Future = LocalBoxFuture<'static, Result<(), ()>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.http.poll_ready(context).map_err(drop)
    }

    fn call(&self, socket: TcpStream) -> Self::Future {
        let peer = socket.peer_addr().ok();
        let _ = socket.set_nodelay(true);
        let accept = timeout(HANDSHAKE, self.acceptor.accept(socket));
        let http = Rc::clone(&self.http);
        Box::pin(async move {
            let stream = accept.await.ok().and_then(Result::ok).ok_or(())?;
            http.call((stream, peer)).await.map_err(drop)
        })
    }
}
