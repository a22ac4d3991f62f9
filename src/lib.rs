//! Causeway: a FHIR R4 server for payer-to-payer exchange. `ARCHITECTURE.md` is the map of these modules.

pub mod app;
pub mod audit;
pub mod bench;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conformance;
pub mod consent;
pub mod context;
pub mod demo;
pub mod error;
pub mod fhir;
pub mod http;
pub mod identity;
pub mod ids;
pub mod member_match;
pub mod ops;
pub mod partner;
pub mod records;
pub mod release;
pub mod review;
pub mod secret;
pub mod security;
pub mod store;
pub mod synth;
pub mod telemetry;
