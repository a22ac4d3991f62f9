//! FHIR as bytes and small readings: the pre-screen of untrusted JSON, what we read of a resource, and what we build.
//!
//! Pure: no store, no network, no clock. Member data stays bytes; typed values are only for what is decided on.

pub mod batch;
pub mod elements;
pub mod operations;
pub mod outcome;
pub mod outcome_profile;
pub mod prescreen;
pub mod profiles;
pub mod search;
pub mod shape;
pub mod when;
