//! The edge of the partners' side: who may connect, who may ask, and for how long a slow peer is waited for.
//!
//! A client is a *stranger* until its connection has shown a registered partner's certificate or a valid token. Strangers and
//! partners have separate places for connections, requests in flight and queued bytes, so that no number of strangers keeps a
//! partner out. Nothing here decides rights: who passes is still nobody until [`crate::security`] says who it is.

mod accept;
mod addresses;
mod link;
mod pace;
mod proxy;
mod queue;
mod ring;
mod seat;
mod stream;
mod table;
mod turns;

pub use accept::listen;
pub use link::Link;
pub use queue::Queued;
pub use ring::{SharedBody, ring};
pub use seat::Seat;
pub use table::Edge;

use actix_web::{HttpMessage as _, HttpRequest};
use std::rc::Rc;

/// The place of a request; there is none in tests that call handlers by themselves.
pub fn seat_of(request: &HttpRequest) -> Option<Rc<Seat>> {
    request.extensions().get::<Rc<Seat>>().cloned()
}
