//! A bulk run that came to its end, as a value. It sends nothing.

use super::wire::ServerAnswer;
use serde_json::Value;

/// A run that came to its end.
#[derive(Clone)]
pub(super) struct BulkRun {
    /// The address of the request that began it.
    pub(super) asked: String,
    /// Its status address.
    pub(super) status: String,
    /// The answer with the manifest.
    pub(super) ended: ServerAnswer,
    /// The manifest.
    pub(super) manifest: Value,
}

impl BulkRun {
    /// The entries of a list of the manifest.
    pub(super) fn files(&self, list: &str) -> impl Iterator<Item = &Value> {
        self.manifest[list].as_array().into_iter().flatten()
    }
}
