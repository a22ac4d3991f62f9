//! The operations side, on its own listener: health, metrics, and `/ops/v1` for machines.

mod accounts;
mod admitted;
mod audit_events;
mod call;
mod decisions;
mod exchanges;
mod figure_routes;
mod health;
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
pub use register::configure;
pub use ring::observe;
