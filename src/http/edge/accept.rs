//! Sets up an accepted connection for HTTP: takes a place at the edge, reads a balancer's header if one must come, does the TLS handshake,
//! and finds the partner that owns the client certificate.

use super::link::ClientConnection;
use super::proxy;
use super::ring::STRANGERS_BYTES;
use super::stream::Watched;
use super::table::{ConnectionPlace, Edge, Reason, Unnamed};
use super::turns::PipelinedStream;
use crate::config::LimitsConfig;
use crate::error::{Failure, Fault};
use crate::http::state::App;
use crate::security::{PartnerStanding, PeerCertificate};
use actix_http::body::MessageBody;
use actix_http::{HttpService, Request, Response};
use actix_server::{GracefulShutdownSignal, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, map_config};
use actix_web::dev::AppConfig;
use actix_web::web::Data;
use futures_util::future::LocalBoxFuture;
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::AsyncRead;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::Acceptor;

/// Connections that the kernel queues until they are accepted.
const BACKLOG: i32 = 1024;
/// Time limit for a balancer's header.
const PROXY_TIME: Duration = Duration::from_secs(5);
/// Time limit for the first byte of a handshake. A real client sends it at once.
const FIRST_BYTE: Duration = Duration::from_secs(3);
/// Time limit for finding the partner that owns the certificate; without a result the connection is a stranger's until its first request.
const OWNER_TIME: Duration = Duration::from_secs(1);
/// Time in which the peer of a closing connection must take the last bytes.
const DISCONNECT_TIME: Duration = Duration::from_secs(2);

/// Adds the partners' listener to `builder`, and returns its address.
///
/// # Errors
/// [`Fault::ConfigInvalid`] when the address cannot be listened on.
pub fn listen<F, I, S, B>(
    builder: ServerBuilder,
    app: &Data<App>,
    edge: &Edge,
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
            .at("server.fhir_listen")
            .remedy("Choose a free address of this machine.")
            .because(error)
    };
    let listener = listener(app.config.server.fhir_listen).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let gate = Gate {
        app: app.clone(),
        edge: edge.clone(),
        tls: Arc::new(app.tls.config()?),
        stopping: builder.graceful_shutdown_signal(),
    };
    let factory = move || Front {
        http: http(*gate.edge.limits(), gate.stopping.clone(), make()),
        gate: gate.clone(),
    };
    Ok((builder.listen("partners", listener, factory).map_err(cannot)?, address))
}

fn listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The HTTP/1.1 service for connections that are set up.
fn http<I, S, B>(
    limits: LimitsConfig,
    stopping: GracefulShutdownSignal,
    app: I,
) -> impl ServiceFactory<
    (PipelinedStream, Option<SocketAddr>),
    Config = (),
    Response = (),
    InitError = (),
    Service = impl Service<(PipelinedStream, Option<SocketAddr>), Response = ()> + 'static,
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
        .keep_alive(limits.keep_alive)
        .client_request_timeout(limits.head)
        .client_disconnect_timeout(DISCONNECT_TIME)
        // A client that has closed its side counts as gone, and the work for it is dropped.
        .h1_allow_half_closed(false)
        // Less than the library's own, which each slow reader of a public document would hold.
        .h1_write_buffer_size(STRANGERS_BYTES)
        .secure()
        .on_connect_ext(|stream: &PipelinedStream, data| {
            let link = Rc::clone(stream.watched().link());
            if let Some(certificate) = link.certificate() {
                data.insert(certificate.clone());
            }
            data.insert(link);
        })
        .h1(map_config(app, |()| AppConfig::default()))
}

/// What is needed to judge every new connection. Clones share it.
#[derive(Clone)]
struct Gate {
    app: Data<App>,
    edge: Edge,
    tls: Arc<ServerConfig>,
    stopping: GracefulShutdownSignal,
}

impl Gate {
    fn is_balancer(&self, address: Option<IpAddr>) -> bool {
        let listed = &self.app.config.server.proxy_from;
        address.is_some_and(|address| listed.iter().any(|network| network.contains(address)))
    }

    /// Opens TLS on the connection and returns it with its client's address. The connection takes a place among the handshakes when its
    /// ClientHello has arrived.
    async fn open(
        &self,
        mut socket: TcpStream,
        peer: Option<SocketAddr>,
        beginning: Beginning,
    ) -> Result<(PipelinedStream, Option<SocketAddr>), Reason> {
        let limits = self.edge.limits();
        let (peer, place) = match beginning {
            Beginning::Client(place) => (peer, place),
            Beginning::Balancer(unnamed) => {
                let peer = client_of(&mut socket, peer).await.ok_or(Reason::Proxy)?;
                (peer, unnamed.named(peer.map(|peer| peer.ip()))?)
            }
        };
        let first = timeout(FIRST_BYTE.min(limits.tls), socket.peek(&mut [0])).await;
        if !matches!(first, Ok(Ok(1..))) {
            return Err(Reason::Handshake);
        }
        let link = Rc::new(ClientConnection::new(&self.edge, place));
        let watched = Watched::new(socket, Rc::clone(&link), limits.least_bytes_per_second);
        let hello = timeout(limits.tls, LazyConfigAcceptor::new(Acceptor::default(), watched)).await;
        let hello = hello.ok().and_then(Result::ok).ok_or(Reason::Handshake)?;
        link.greeted();
        let handshake = link.place.handshake(limits.tls).await.ok_or(Reason::Handshake)?;
        let accept = timeout(limits.tls, hello.into_stream(Arc::clone(&self.tls)));
        let stream = handshake.while_nobody_waits(accept).await;
        let stream = stream.and_then(Result::ok).and_then(Result::ok);
        let stream = stream.ok_or(Reason::Handshake)?;
        drop(handshake);
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = leaf.map(|leaf| PeerCertificate::of(leaf));
        let partner = self.owner(certificate.as_ref()).await;
        link.place.settle(partner.as_deref())?;
        link.showed(certificate, partner);
        link.pace.open(Instant::now());
        let company = self.app.ctx.store.company().clone();
        Ok((PipelinedStream::new(stream, company), peer))
    }

    /// The partner that owns this certificate, if it is found in time. The certificate of a suspended partner is as none.
    async fn owner(&self, certificate: Option<&PeerCertificate>) -> Option<String> {
        certificate?;
        let asked = self.app.authority.standing(&self.app.ctx, certificate);
        match timeout(OWNER_TIME, asked).await.ok()?.ok()?? {
            PartnerStanding { id, is_active: true } => Some(id),
            PartnerStanding { id, is_active: false } => {
                self.edge.forget_partner(&id);
                None
            }
        }
    }
}

/// The address of the client whose connection a balancer passes on, or of the balancer itself; `None` when the header cannot be used.
async fn client_of(socket: &mut (impl AsyncRead + Unpin), peer: Option<SocketAddr>) -> Option<Option<SocketAddr>> {
    match timeout(PROXY_TIME, proxy::read(socket)).await.ok()?.ok()? {
        proxy::ProxiedClient::Client(client) => Some(Some(client)),
        proxy::ProxiedClient::Balancer => Some(peer),
    }
}

/// The place of a connection that has just been accepted.
enum Beginning {
    Client(ConnectionPlace),
    /// A balancer's connection whose client address is not known yet.
    Balancer(Unnamed),
}

impl Beginning {
    fn gone(&self) -> Arc<Notify> {
        match self {
            Beginning::Client(place) => place.gone(),
            Beginning::Balancer(unnamed) => unnamed.gone(),
        }
    }
}

/// Makes a [`Front`] service for each worker.
struct Front<F> {
    http: F,
    gate: Gate,
}

impl<F> ServiceFactory<TcpStream> for Front<F>
where
    F: ServiceFactory<(PipelinedStream, Option<SocketAddr>), Config = (), Response = (), InitError = ()>,
    F::Service: 'static,
    F::Future: 'static,
{
    type Response = ();
    type Error = ();
    type Config = ();
    type Service = FrontService<F::Service>;
    type InitError = ();
    type Future = LocalBoxFuture<'static, Result<Self::Service, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        let (http, gate) = (self.http.new_service(()), self.gate.clone());
        Box::pin(async move {
            Ok(FrontService {
                http: Rc::new(http.await?),
                gate,
            })
        })
    }
}

/// Serves the connections of one worker.
struct FrontService<S> {
    http: Rc<S>,
    gate: Gate,
}

impl<S> Service<TcpStream> for FrontService<S>
where
    S: Service<(PipelinedStream, Option<SocketAddr>), Response = ()> + 'static,
{
    type Response = ();
    type Error = ();
    type Future = LocalBoxFuture<'static, Result<(), ()>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), ()>> {
        self.http.poll_ready(context).map_err(drop)
    }

    fn call(&self, socket: TcpStream) -> Self::Future {
        let peer = socket.peer_addr().ok();
        let address = peer.map(|peer| peer.ip());
        // A connection that must be turned away is closed before anything is allocated for it.
        let edge = &self.gate.edge;
        let beginning = match self.gate.is_balancer(address) {
            true => edge.admit_unnamed().map(Beginning::Balancer),
            false => edge.admit(address).map(Beginning::Client),
        };
        let beginning = match beginning {
            Ok(beginning) => beginning,
            Err(reason) => {
                reason.count();
                return Box::pin(std::future::ready(Err(())));
            }
        };
        // Nothing is known of it yet, so it may be of somebody who waits for the turns of others.
        self.gate.app.ctx.store.company().came("");
        let gone = beginning.gone();
        let (http, gate) = (Rc::clone(&self.http), self.gate.clone());
        // Boxed, because a future that selects between two others would store it twice.
        let serve = Box::pin(async move {
            // A connection that is still being set up when the server stops is dropped.
            let opened = tokio::select! {
                opened = gate.open(socket, peer, beginning) => opened.map_err(Reason::count)?,
                () = gate.stopping.notified() => return Err(()),
            };
            http.call(opened).await.map_err(drop)
        });
        Box::pin(async move {
            tokio::select! {
                done = serve => done,
                () = gone.notified() => Err(()),
            }
        })
    }
}
