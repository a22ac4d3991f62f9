//! The FHIR interactions, one file each: extract, parse, call one use case, render.

pub mod authorised;
pub mod batch;
mod binary;
pub mod code_system;
pub mod conformance;
pub mod everything;
pub mod member_match;
pub mod metadata;
pub mod modes;
pub mod read;
pub mod search;
