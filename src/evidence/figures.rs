//! What the entries of a packet say of requests and files, a line of JSON for each. What the ledger does not record is null.

use super::entry::EvidenceEntry;
use super::gathered::Gathered;
use crate::clock::rfc3339_ms;
use crate::error::Failure;
use crate::secret::hex;
use crate::store::entries::{BEGUN, COMPLETED};
use crate::store::ingest;
use crate::store::{Db, exchanges};
use serde_json::{Value, json};
use std::collections::HashMap;

/// Most attempts, and most pages that came, of one exchange.
const EACH_MOST: i64 = 10_000;

/// Values as lines of JSON.
pub(super) fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

/// The requests that the entries tell of, and the attempts of exchanges of ours, as they were at `as_of_ms`.
///
/// # Errors
/// Those of the database.
pub(super) fn requests(
    db: &mut Db,
    entries: &[EvidenceEntry],
    found: &Gathered,
    as_of_ms: i64,
) -> Result<Vec<Value>, Failure> {
    let mut told = Vec::new();
    for entry in entries
        .iter()
        .filter(|entry| entry.text("/actor/type") == Some("partner"))
    {
        let facts = &entry.facts;
        told.push(json!({
            "direction": "inbound",
            "index": entry.index,
            "at": entry.at(),
            "action": entry.row.action,
            "partner": facts["partner"],
            "class": facts["outcome"]["class"],
            "status": facts["outcome"]["http"],
            "fault": facts["outcome"]["reason"],
            "request_id": facts["request_id"],
            "correlation_id": facts["correlation_id"],
            "request_sha256": facts["req_digest"],
            "response_sha256": facts["resp_digest"],
            "client_id": facts["actor"]["client_id"],
            "client_certificate_sha256": facts["actor"]["cert_sha256"],
            "tls_version": null,
        }));
    }
    for id in &found.exchanges {
        for row in exchanges::attempts_of(db, id, EACH_MOST)? {
            if row.started_ms > as_of_ms {
                continue;
            }
            let ended = row.ended_ms.filter(|ended_ms| *ended_ms <= as_of_ms);
            let known = ended.is_some();
            told.push(json!({
                "direction": "outbound",
                "exchange": id,
                "step": row.step,
                "round": row.round,
                "attempt": row.attempt,
                "at": rfc3339_ms(row.started_ms),
                "ended_at": ended.map(rfc3339_ms),
                "class": row.class.filter(|_| known),
                "status": row.http_status.filter(|_| known),
                "fault": row.fault.filter(|_| known),
                "idempotency_key": row.idempotency_key,
                "partner_request_id": row.partner_request_id.filter(|_| known),
                "request_sha256": row.request_digest.filter(|_| known).map(|digest| hex(&digest)),
                "response_sha256": row.response_digest.filter(|_| known).map(|digest| hex(&digest)),
                "partner_certificate_sha256": null,
                "tls_version": null,
            }));
        }
    }
    Ok(told)
}

/// What went out, and what came for exchanges of ours until `as_of_ms`.
///
/// # Errors
/// Those of the database.
pub(super) fn files(
    db: &mut Db,
    entries: &[EvidenceEntry],
    found: &Gathered,
    as_of_ms: i64,
) -> Result<Vec<Value>, Failure> {
    let ended = entries.iter().filter(|entry| entry.row.action == COMPLETED);
    let ended: HashMap<&str, &EvidenceEntry> = ended.filter_map(|entry| Some((entry.text("/begun")?, entry))).collect();
    let mut told = Vec::new();
    for entry in entries.iter().filter(|entry| entry.row.action == BEGUN) {
        let end = ended.get(entry.row.id.as_str());
        let of_end = |name: &str| end.map_or(Value::Null, |end| end.facts[name].clone());
        let is_file = entry.facts.get("members").is_some();
        told.push(json!({
            "direction": "sent",
            "index": entry.index,
            "ended_index": end.map(|end| end.index),
            "at": entry.at(),
            "name": entry.row.subject.as_deref().filter(|_| is_file),
            "members": entry.facts["members"],
            "outcome": end.map_or(json!("begun"), |end| end.facts["outcome"]["class"].clone()),
            "bytes": of_end("bytes"),
            "sha256": of_end("resp_digest"),
            "resources": of_end("counts"),
        }));
    }
    for id in &found.exchanges {
        for page in ingest::pages_from(db, id, 0, EACH_MOST)? {
            if page.received_ms <= as_of_ms {
                told.push(json!({
                    "direction": "received",
                    "exchange": id,
                    "at": rfc3339_ms(page.received_ms),
                    "name": format!("{}/{}", page.part, page.page),
                    "bytes": page.bytes,
                    "sha256": hex(&page.sha256),
                    "entries": page.entries,
                }));
            }
        }
    }
    Ok(told)
}
