//! What is kept of a member: the ingest gate, the compartments, the columns a release filters by, and import.
//!
//! Everything a release needs is decided here, once, when a resource is stored ([`gate`]). This module never decides who
//! may read; and it never stores a resource of a member outside that member's compartment.

pub mod compartment;
pub mod demographics;
pub mod dependencies;
pub mod gate;
pub mod import;
pub mod index;
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
mod dry_run;
mod labels;
mod lines;
mod links;
mod narrative;
mod pipeline;
mod rejects;
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
