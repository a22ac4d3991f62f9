//! From an accepted socket to HTTP: a place at the edge, a balancer's header if one is due, TLS, and whose certificate it was.

use super::link::Link;
use super::proxy;
use super::stream::Watched;
use super::table::{Edge, Place, Reason};
use super::turns::Turns;
use crate::app::App;
use crate::config::Limits;
use crate::error::{Failure, Fault};
use crate::security::PeerCertificate;
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
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Connections that the kernel keeps until we accept them.
const BACKLOG: i32 = 1024;
/// Time for a balancer's header.
const PROXY_TIME: Duration = Duration::from_secs(5);
/// Time to look up whose certificate it is; who is not found in it is a stranger until its first request.
const OWNER_TIME: Duration = Duration::from_secs(1);
/// Time in which a connection that ends must take its last bytes.
const DISCONNECT_TIME: Duration = Duration::from_secs(2);

/// Adds the listener of the partners' side to `builder`, and tells its address.
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
        tls: TlsAcceptor::from(Arc::new(app.tls.config()?)),
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

/// HTTP/1.1 over a connection that is set up.
fn http<I, S, B>(
    limits: Limits,
    stopping: GracefulShutdownSignal,
    app: I,
) -> impl ServiceFactory<
    (Turns, Option<SocketAddr>),
    Config = (),
    Response = (),
    InitError = (),
    Service = impl Service<(Turns, Option<SocketAddr>), Response = ()> + 'static,
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
        // A client that has closed its side is gone, and so is the work for it.
        .h1_allow_half_closed(false)
        .secure()
        .on_connect_ext(|stream: &Turns, data| {
            let link = Rc::clone(stream.watched().link());
            if let Some(certificate) = link.certificate() {
                data.insert(certificate.clone());
            }
            data.insert(link);
        })
        .h1(map_config(app, |()| AppConfig::default()))
}

/// What every new connection is judged by. Clones share it.
#[derive(Clone)]
struct Gate {
    app: Data<App>,
    edge: Edge,
    tls: TlsAcceptor,
    stopping: GracefulShutdownSignal,
}

impl Gate {
    fn is_balancer(&self, address: Option<IpAddr>) -> bool {
        let listed = &self.app.config.server.proxy_from;
        address.is_some_and(|address| listed.iter().any(|network| network.contains(address)))
    }

    /// The connection with TLS, and its client's address.
    async fn open(
        &self,
        mut socket: TcpStream,
        peer: Option<SocketAddr>,
        place: Option<Place>,
    ) -> Result<(Turns, Option<SocketAddr>), Reason> {
        let limits = self.edge.limits();
        let (peer, place) = match place {
            Some(place) => (peer, place),
            None => {
                let peer = client_of(&mut socket, peer).await.ok_or(Reason::Proxy)?;
                (peer, self.edge.admit(peer.map(|peer| peer.ip()))?)
            }
        };
        let handshake = place.handshake(limits.tls).await.ok_or(Reason::Handshake)?;
        let link = Rc::new(Link::new(&self.edge, place));
        let watched = Watched::new(socket, Rc::clone(&link), limits.least_bytes_per_second);
        let stream = timeout(limits.tls, self.tls.accept(watched)).await;
        let stream = stream.ok().and_then(Result::ok).ok_or(Reason::Handshake)?;
        drop(handshake);
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = leaf.map(|leaf| PeerCertificate::of(leaf));
        let partner = self.owner(certificate.as_ref()).await;
        link.place.settle(partner.as_deref())?;
        link.showed(certificate, partner);
        link.pace.open(Instant::now());
        Ok((Turns::new(stream), peer))
    }

    /// The partner whose certificate this is, if that is known in time.
    async fn owner(&self, certificate: Option<&PeerCertificate>) -> Option<String> {
        certificate?;
        let now_ms = self.app.ctx.clock.now_ms();
        let asked = self.app.authority.owner(&self.app.ctx, certificate, now_ms);
        timeout(OWNER_TIME, asked).await.ok()?.ok().flatten()
    }
}

/// The client whose connection a balancer passes on, or the balancer itself; `None` when its header cannot be used.
async fn client_of(socket: &mut (impl AsyncRead + Unpin), peer: Option<SocketAddr>) -> Option<Option<SocketAddr>> {
    match timeout(PROXY_TIME, proxy::read(socket)).await.ok()?.ok()? {
        proxy::Source::Client(client) => Some(Some(client)),
        proxy::Source::Balancer => Some(peer),
    }
}

/// Makes a [`Front`] service for each worker.
struct Front<F> {
    http: F,
    gate: Gate,
}

impl<F> ServiceFactory<TcpStream> for Front<F>
where
    F: ServiceFactory<(Turns, Option<SocketAddr>), Config = (), Response = (), InitError = ()>,
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
    S: Service<(Turns, Option<SocketAddr>), Response = ()> + 'static,
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
        // Whoever must be turned away is, before anything is made for it.
        let place = match self.gate.is_balancer(address) {
            true => None,
            false => match self.gate.edge.admit(address) {
                Ok(place) => Some(place),
                Err(reason) => {
                    reason.count();
                    return Box::pin(std::future::ready(Err(())));
                }
            },
        };
        let (http, gate) = (Rc::clone(&self.http), self.gate.clone());
        Box::pin(async move {
            // Who has not even begun when the server stops is not waited for.
            let opened = tokio::select! {
                opened = gate.open(socket, peer, place) => opened.map_err(Reason::count)?,
                () = gate.stopping.notified() => return Err(()),
            };
            http.call(opened).await.map_err(drop)
        })
    }
}
