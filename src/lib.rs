//! Causeway: a FHIR R4 server for payer-to-payer exchange. `ARCHITECTURE.md` is the map of these modules.

pub mod app;
pub mod audit;
pub mod bench;
pub mod bulk;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consent;
pub mod context;
pub mod demo;
pub mod dev;
pub mod error;
pub mod evidence;
pub mod exchange;
pub mod failpoint;
pub mod fhir;
#[cfg(test)]
mod fuzz_tests;
pub mod http;
pub mod identity;
pub mod ids;
pub mod jobs;
pub mod member_match;
pub mod ops;
pub mod partner;
pub mod percent;
pub mod policy;
pub mod records;
pub mod release;
pub mod review;
pub mod secret;
pub mod security;
pub mod store;
pub mod synth;
pub mod telemetry;
pub mod terminal;
pub mod witness;
