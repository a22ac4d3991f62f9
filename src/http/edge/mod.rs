//! The edge of the partners' listener: who may connect, who may send requests, and how long a slow peer is waited for.
//!
//! A client is a *stranger* until its connection has shown a registered partner's certificate or a valid token. Strangers and partners have
//! separate places for connections, requests in flight and queued bytes, so that no number of strangers keeps a partner out. The edge
//! grants no rights: [`crate::security`] decides who the caller is.

mod accept;
mod addresses;
mod counts;
mod due;
mod guests;
mod link;
mod pace;
mod piece;
mod proxy;
mod queue;
mod rate;
mod ring;
mod seat;
mod sites;
mod stages;
mod stream;
mod table;
mod turns;
mod turnstile;

pub use accept::listen;
pub use link::ClientConnection;
pub use piece::PieceRoom;
pub use queue::Queued;
pub use rate::{Rate, UsedRate};
pub use ring::{HeldBytes, SharedBody, ring};
pub use seat::{Seat, seat_of};
pub use table::Edge;

use crate::error::Failure;
use actix_web::HttpRequest;

/// Waits until there is room for `bytes` of an answer to the partner that sent this request, and takes it until the answer is known.
///
/// # Errors
/// [`Fault::RateLimited`](crate::error::Fault::RateLimited) when the partner does not read its other answers in time.
pub async fn waits_for_room(request: &HttpRequest, bytes: usize) -> Result<(), Failure> {
    match seat_of(request) {
        Some(seat) => Ok(seat.waits_for_room(bytes).await?),
        None => Ok(()),
    }
}
