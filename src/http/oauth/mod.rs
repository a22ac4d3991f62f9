//! The OAuth endpoints and the discovery documents. Errors here are RFC 6749 JSON, never OperationOutcome.

pub mod token;
pub mod well_known;
