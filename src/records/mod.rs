//! Members' records: the gate, the compartments, the release columns, and import.
//!
//! Everything that a release needs is computed here once, when a resource is stored ([`gate`]). This module never decides who may read, and
//! never stores a member's resource outside that member's compartment.

pub mod bring_up;
pub mod compartment;
pub mod demographics;
pub mod dependencies;
pub mod erased;
pub mod gate;
pub mod import;
pub mod index;
pub mod ingest;
pub mod keep;
pub mod other_person;
pub mod prior_authorization;
pub mod rejudge;
pub mod released;
pub mod search_index;
pub mod sensitivity;
pub mod source_version;
pub mod visible;

mod attachment;
mod bases;
mod bundle;
mod chunk;
mod draft;
mod dry_run;
mod in_parallel;
mod labels;
mod lines;
mod links;
pub mod local;
mod meta;
mod narrative;
mod pipeline;
mod rejects;
mod roster_count;
mod rules;
mod seen;
mod service;
mod sniff;
mod source;
mod splice;
mod steady;
mod superseded;

#[cfg(test)]
mod store_for_tests;
