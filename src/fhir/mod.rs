//! FHIR as bytes and small typed parts: the pre-screen of untrusted JSON, what is read of a resource, and what is written.
//!
//! Pure: no store, no network, no clock. Member data stays in bytes; only values that decisions depend on are typed.

pub mod batch;
pub mod bundle;
pub mod bundle_reader;
pub mod elements;
pub mod operation_fields;
pub mod operations;
pub mod outcome;
pub mod outcome_profile;
pub mod prescreen;
pub mod profiles;
pub mod search;
pub mod shape;
pub mod when;
