//! The destination of synthetic resources.

use serde_json::Value;
use std::io;

/// Receives one resource: its type, and its JSON without a line end.
pub type Sink<'a> = &'a mut dyn FnMut(&'static str, &[u8]) -> io::Result<()>;

/// Writes a resource to `sink`.
///
/// # Errors
/// Those of `sink`.
pub(super) fn put(sink: Sink<'_>, kind: &'static str, resource: &Value) -> io::Result<()> {
    sink(kind, &serde_json::to_vec(resource)?)
}
