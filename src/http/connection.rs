//! What is known of a connection before its first request: the client certificate, and whether its owner has too many of them.

use super::limits::{Held, Shares};
use crate::secret::hex;
use crate::security::PeerCertificate;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use std::any::Any;

/// Whether this connection is within its owner's share; counted for as long as it is open.
struct Place(Option<Held>);

/// Keeps the client certificate where handlers find it, and counts the connection for the certificate's owner. Connections
/// without a certificate are counted in all only.
pub fn opened(connection: &dyn Any, data: &mut Extensions, shares: &Shares) {
    let Some(stream) = connection.downcast_ref::<TlsStream<TcpStream>>() else {
        return;
    };
    let (_, session) = stream.get_ref();
    let Some(leaf) = session.peer_certificates().and_then(<[_]>::first) else {
        return;
    };
    let certificate = PeerCertificate::of(leaf);
    let owner = match certificate.uris.first() {
        Some(uri) => uri.clone(),
        None => hex(&certificate.sha256),
    };
    data.insert(Place(shares.enter(&owner)));
    data.insert(certificate);
}

/// Whether the request came on a connection beyond the share of its owner.
pub fn is_beyond_share(request: &HttpRequest) -> bool {
    matches!(request.conn_data::<Place>(), Some(Place(None)))
}
