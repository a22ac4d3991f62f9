//! The integration tests: one binary, one file for each feature. `CAUSEWAY_TEST_STORE=postgres` runs all of them on PostgreSQL.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on says so by panicking

mod named;
mod support;

mod bad_input;
mod batch;
mod canary;
mod clock_jump;
mod conformance;
mod contract;
mod contract_grant;
mod contract_ops;
mod contract_release;
mod contract_trust;
mod dead_log;
mod demo_files;
mod disclosures;
mod docs;
mod errors;
mod explorer;
mod files;
mod floods;
mod folding;
mod full_disk;
mod full_store;
mod guess;
mod identity;
mod import_shapes;
mod kill9;
mod layers;
mod links;
mod matching;
mod metrics;
mod other_person;
mod policy;
mod process;
mod release_rules;
mod rest;
mod review;
mod review_race;
mod schema;
mod search_fuzz;
mod search_oracle;
mod store;
mod store_durability;
mod synth;
mod threats;
mod threats_log;
mod threats_search;
mod threats_wire;
mod throttle;
mod trace;
mod withdrawal;
