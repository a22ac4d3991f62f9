//! The operations side, on its own listener: health, metrics, `/ops/v1` for machines, and `/console` for people.

mod accounts;
mod admitted;
mod answering;
mod audit_events;
mod call;
mod cases;
pub mod console;
mod decisions;
mod evidence_routes;
mod exchanges;
mod figure_routes;
mod health;
mod jobs;
mod listen;
mod own_host;
mod packets;
mod pages;
mod policy_acts;
mod policy_looks;
mod policy_routes;
mod query;
mod reconciliation;
mod register;
mod registries;
mod request;
mod retention;
mod reviews;
mod rights;
mod ring;
mod route;
mod scorecards;
pub mod table;

pub use health::{install_metrics, live, metrics_text, ready, settle_metrics};
pub use listen::listen;
pub use register::configure;
pub use ring::observe;
