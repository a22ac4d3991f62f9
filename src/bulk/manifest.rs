//! The manifest of a run that is done (Bulk Data Access 2.0.0, "Response - Complete Status").
//!
//! It names each file with its type, number of resources, and in `extension` its length and SHA-256 before any encoding.

use crate::clock::rfc3339_ms;
use crate::secret::hex;
use crate::store::bulk::{BulkFileRow, BulkJobRow, ERROR, OUTPUT, RECEIPT};
use serde_json::{Value as Json, json};

/// The status address of a run.
pub fn status_url(base_url: &str, id: &str) -> String {
    format!("{base_url}/jobs/{id}")
}

/// The address of a file.
pub fn file_url(base_url: &str, file: &BulkFileRow) -> String {
    format!("{}/files/{}", status_url(base_url, &file.job_id), file.name)
}

/// The manifest of `row` with these files.
pub fn of(base_url: &str, row: &BulkJobRow, files: &[BulkFileRow]) -> Json {
    let side = |side: &str| -> Vec<Json> {
        files
            .iter()
            .filter(|file| file.side == side && file.resources > 0)
            .map(|file| {
                json!({
                    "type": file.resource_type,
                    "url": file_url(base_url, file),
                    "count": file.resources,
                    "extension": {"bytes": file.bytes, "sha256": hex(&file.sha256)},
                })
            })
            .collect()
    };
    let mut manifest = json!({
        "transactionTime": rfc3339_ms(row.transaction_ms.unwrap_or(row.created_ms)),
        "request": row.request_url,
        "requiresAccessToken": true,
        "output": side(OUTPUT),
        "error": side(ERROR),
    });
    if let Some(file) = files.iter().find(|file| file.side == RECEIPT) {
        let url = format!("{}/receipt", status_url(base_url, &row.id));
        manifest["extension"] = json!({"receipt": {"url": url, "sha256": hex(&file.sha256)}});
    }
    manifest
}

/// How far a run is, for `X-Progress`.
pub fn progress(row: &BulkJobRow) -> String {
    match row.pieces {
        0 => "waiting to begin".to_owned(),
        pieces => format!("{} of {pieces} pieces done", row.pieces_done),
    }
}
