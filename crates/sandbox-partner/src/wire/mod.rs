//! A small HTTP/1.1: what a request is, what an answer is, and how an answer goes out, also in ways that HTTP forbids.
//!
//! It is written for this crate alone, so that a client is not tried against the server library that it was written with.

mod query;
mod reply;
mod request;
mod send;

pub(crate) use query::{encoded, pairs};
pub(crate) use reply::{PlayedReply, ReplyBody, outcome};
pub(crate) use request::{PlayedRequest, ReadEnd, read};
pub(crate) use send::{AfterSend, SendManner, send};
