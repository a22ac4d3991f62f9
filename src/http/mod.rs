//! HTTP: routes, middleware, one file for each interaction. Handlers extract, call one use case and render.
//!
//! Status codes come from the fault table, never from here; SQL and decisions live below.

pub mod answer_slot;
pub mod body;
pub mod conditional;
#[cfg(debug_assertions)]
pub mod defects;
pub mod documents;
pub mod edge;
pub mod fhir;
pub mod limits;
pub mod negotiate;
pub mod oauth;
pub mod observe;
pub mod ops;
pub mod page;
mod path;
pub mod prefer;
mod pretty;
mod refused;
pub mod reply;
pub mod represent;
pub mod routes;
pub mod server;
