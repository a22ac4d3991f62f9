//! The alerts: what must not go on unnoticed, who acts on it and how soon, and whether it is so now.
//!
//! One table ([`table`]) says what each alert means. Its figures are read from rows and from this process ([`gather`]), and judged by a pure
//! function ([`judge`]). The rules for Prometheus under `deploy/` have the same alerts, by metrics. Nothing is stored, and nothing is sent.

pub mod gather;
pub mod judge;
pub mod runbook;
mod shown;
pub mod table;

pub use shown::{AlertItem, AlertState, begin, items, tell};
