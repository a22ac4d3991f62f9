//! The FHIR interactions, one file each: read the request, call one use case, write the answer.

pub mod authorised;
pub mod batch;
mod binary;
pub mod bulk;
pub mod code_system;
pub mod conformance;
pub mod describing;
pub mod everything;
pub mod family;
pub mod member_match;
pub mod metadata;
pub mod modes;
mod own;
pub mod read;
pub mod search;
pub mod statement;
pub mod task;
