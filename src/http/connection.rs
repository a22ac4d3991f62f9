//! What is known of a connection before its first request: the client certificate, and whether its owner has too many of them.

use super::limits::{Held, Shares};
use crate::secret::hex;
use crate::security::PeerCertificate;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use std::any::Any;
use std::sync::{Mutex, PoisonError};

/// A place in the share of a certificate's owner, held for as long as the connection is open.
struct Place {
    held: Mutex<Option<Held>>,
    shares: Shares,
    owner: String,
}

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
    data.insert(Place {
        held: Mutex::new(shares.enter(&owner)),
        shares: shares.clone(),
        owner,
    });
    data.insert(certificate);
}

/// Whether the request came on a connection beyond the share of its owner. One that was takes a place that has become free, since
/// HTTP/2 has many requests on one connection and no way to be told to close after one of them.
pub fn is_beyond_share(request: &HttpRequest) -> bool {
    let Some(place) = request.conn_data::<Place>() else {
        return false;
    };
    let mut held = place.held.lock().unwrap_or_else(PoisonError::into_inner);
    if held.is_none() {
        *held = place.shares.enter(&place.owner);
    }
    held.is_none()
}
