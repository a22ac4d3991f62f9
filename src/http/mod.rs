//! HTTP: routes, middleware, and one file for each interaction. Handlers read the request, call one use case and write the answer.
//!
//! Status codes come from the fault table. SQL and decisions are in other modules.

pub mod answer_slot;
mod around;
pub mod bearer;
pub mod body;
pub mod checkpoint;
pub mod conditional;
mod date;
#[cfg(debug_assertions)]
pub mod defects;
pub mod document;
pub mod documents;
pub mod drawing;
pub mod edge;
pub mod explorer;
pub mod fhir;
pub mod limits;
mod measured;
pub mod negotiate;
pub mod notice;
pub mod oauth;
pub mod observe;
pub mod ops;
pub mod outgoing;
pub mod page;
mod path;
#[cfg(debug_assertions)]
pub mod planted;
pub mod prefer;
mod pretty;
mod refused;
mod register;
pub mod reply;
pub mod represent;
mod request_notes;
pub mod routes;
pub mod server;
pub mod state;
