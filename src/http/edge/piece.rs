//! The room that an answer of many pieces takes for the piece that is made or sent.

use super::seat::{Seat, seat_of};
use crate::error::Failure;
use crate::http::limits::{HeldRoom, MAKING_BYTES};
use actix_web::HttpRequest;
use std::rc::Rc;
use std::time::Duration;

/// The part of a partner's room for answers that one piece takes. Nothing is taken for who is no partner.
pub struct PieceRoom {
    seat: Option<Rc<Seat>>,
    is_page: bool,
    held: Option<HeldRoom>,
}

impl PieceRoom {
    /// For the answer to this request. `is_page`: it is collected for a page, for which its request has taken [`MAKING_BYTES`].
    pub fn of(request: &HttpRequest, is_page: bool) -> PieceRoom {
        PieceRoom {
            seat: seat_of(request),
            is_page,
            held: None,
        }
    }

    /// Gives back what the piece before took, and waits at most `wait` until there is room for `bytes`.
    ///
    /// # Errors
    /// [`Fault::RateLimited`](crate::error::Fault::RateLimited) when the partner does not read its other answers in time.
    pub async fn exchange(&mut self, bytes: usize, wait: Duration) -> Result<(), Failure> {
        self.held = None;
        let Some(seat) = &self.seat else { return Ok(()) };
        if self.is_page {
            if bytes > MAKING_BYTES {
                seat.waits_for_room(bytes).await?;
            }
        } else if let Some(room) = seat.partners_room() {
            self.held = Some(room.enter(bytes, wait).await?);
        }
        Ok(())
    }

    /// The piece turned out to have so many bytes.
    pub fn resize(&mut self, bytes: usize) {
        if let Some(held) = &mut self.held {
            held.resize(bytes);
        }
    }

    /// Gives back what the piece took.
    pub fn leave(&mut self) {
        self.held = None;
    }
}
